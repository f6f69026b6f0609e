// SPDX-License-Identifier: Apache-2.0

package version

import (
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestQuantities(t *testing.T) {
	for _, c := range []struct {
		text string
		want Decimal
		ok   bool
	}{
		{"0", Decimal{}, true}, {"1", Decimal{1, 0}, true}, {"100", Decimal{1, 2}, true}, {"1500m", Decimal{15, -1}, true}, {"0.5", Decimal{5, -1}, true},
		{"-2", Decimal{-2, 0}, true}, {"+3k", Decimal{3, 3}, true}, {"1Ki", Decimal{1024, 0}, true}, {"2E", Decimal{2, 18}, true}, {"1e3", Decimal{1, 3}, true},
		{"1E-2", Decimal{1, -2}, true}, {"7u", Decimal{7, -6}, true}, {"7n", Decimal{7, -9}, true}, {".5", Decimal{5, -1}, true}, {"5.", Decimal{5, 0}, true},
		{"", Decimal{}, false}, {"m", Decimal{}, false}, {"1 ", Decimal{}, false}, {"1x", Decimal{}, false}, {"+-1", Decimal{}, false}, {"1.2.3", Decimal{}, false},
		{"1e99", Decimal{}, false}, {"99999999999999999999", Decimal{}, false}, {"1Xi", Decimal{}, false}, {"9007199254740993Ei", Decimal{}, false}, {"1e", Decimal{}, false},
	} {
		got, ok := parseDecimal(c.text)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q is %v, %v", c.text, got, ok)
		}
	}
	if got, ok := Quantity(&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: "0x10"}); !ok || got != Whole(16) {
		t.Errorf("0x10 is %v", got)
	}
}

func TestScaleTakesTheSmallestPowerOfTen(t *testing.T) {
	for _, c := range []struct {
		in    []Decimal
		power int
		want  []int64
		ok    bool
	}{
		{[]Decimal{Whole(1), {5, -1}}, 1, []int64{10, 5}, true},
		{[]Decimal{Whole(1000), Whole(0)}, 0, []int64{1000, 0}, true},
		{[]Decimal{{1, -9}, {1, -3}}, 9, []int64{1, 1000000}, true},
		{[]Decimal{{1, -9}, Whole(10000)}, 9, nil, false},
		{[]Decimal{{-1, 15}}, 0, nil, false},
		{nil, 0, []int64{}, true},
	} {
		power, got, ok := Scale(c.in)
		if power != c.power || ok != c.ok || !slices.Equal(got, c.want) {
			t.Errorf("%v: %d, %v, %v", c.in, power, got, ok)
		}
	}
	for _, c := range []struct {
		n     int64
		power int
		want  string
	}{{5, 1, "500m"}, {10, 1, "1"}, {0, 3, "0"}, {7, 0, "7"}, {1200, 3, "1200m"}, {3, 6, "3u"}, {3, 9, "3n"}, {3, 12, "3e-12"}} {
		if got := unscale(c.n, c.power); got != c.want {
			t.Errorf("%d / 10^%d is %s", c.n, c.power, got)
		}
	}
}
