// SPDX-License-Identifier: Apache-2.0

package diff

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestLines(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"a", "a", ""},
		{"a b", "a c", "  a|- b|+ c"},
		{"1 2 3 4 5 6 7", "1 2 3 x 5 6 7", "  2|  3|- 4|+ x|  5|  6"},
		{"a 2 3 4 5 6 7 8 b", "x 2 3 4 5 6 7 8 y", "- a|+ x|  2|  3|...|  7|  8|- b|+ y"},
		{"1 2 3 4", "1 2 3", "  2|  3|- 4"},
	} {
		if got := strings.Join(Lines(strings.Fields(c.a), strings.Fields(c.b)), "|"); got != c.want {
			t.Errorf("%s to %s: got %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

// TestEdits holds that the edits of any two texts make the one of the other.
func TestEdits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) (out []string) {
		for range n {
			out = append(out, strconv.Itoa(r.IntN(4)))
		}
		return out
	}
	check := func(a, b []string) {
		var x, y []string
		for _, l := range edits(a, b) {
			if l[0] != '+' {
				x = append(x, l[2:])
			}
			if l[0] != '-' {
				y = append(y, l[2:])
			}
		}
		if !slices.Equal(x, a) || !slices.Equal(y, b) {
			t.Fatalf("%v to %v is %v to %v", a, b, x, y)
		}
	}
	for range 2000 {
		check(text(r.IntN(9)), text(r.IntN(9)))
	}
	check(text(5000), text(5000)) // beyond the table
}
