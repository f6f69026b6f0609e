// SPDX-License-Identifier: Apache-2.0

package version

import (
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

// maxWeight is the largest weight that is taken: so many backends as one object can hold still add up.
const maxWeight = 1_000_000_000_000

// Quantity reads a node as a number, or as a quantity of Kubernetes.
func Quantity(n *yaml.Node) (Decimal, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" && n.Tag != "!!float" && n.Tag != "!!str" {
		return Decimal{}, false
	}
	if n.Tag == "!!int" { // YAML has more ways to write one than a quantity has
		if i, ok := object.Value(n).(int64); ok {
			return Decimal{i, 0}.trim(), true
		}
	}
	return parseDecimal(n.Value)
}

// Decimal is m times ten to the power of e: exact, as quantities have to be.
type Decimal struct {
	m int64
	e int
}

// Whole is a whole number.
func Whole(n int64) Decimal { return Decimal{n, 0}.trim() }

// Negative says whether the number is below 0.
func (d Decimal) Negative() bool { return d.m < 0 }

// Fraction says whether the number is not whole.
func (d Decimal) Fraction() bool { return d.e < 0 }

func (d Decimal) trim() Decimal {
	if d.m == 0 {
		return Decimal{}
	}
	for d.m%10 == 0 {
		d.m, d.e = d.m/10, d.e+1
	}
	return d
}

// suffixes of Kubernetes quantities: powers of ten, and of 1024.
const (
	tens     = "num kMGTPE"
	binaries = "KMGTPE"
)

// parseDecimal reads a quantity of Kubernetes: 1, -0.5, 500m, 2k, 1Ki, 1e3.
func parseDecimal(s string) (Decimal, bool) {
	var d Decimal
	rest := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	digits, dot := 0, false
	for ; rest != ""; rest = rest[1:] {
		c := rest[0]
		if c == '.' && !dot {
			dot = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		if d.m > (1<<62)/10 {
			return d, false
		}
		d.m, digits = d.m*10+int64(c-'0'), digits+1
		if dot {
			d.e--
		}
	}
	if digits == 0 || strings.HasPrefix(s, "+-") {
		return d, false
	}
	if !d.suffix(rest) {
		return d, false
	}
	if s[0] == '-' {
		d.m = -d.m
	}
	d = d.trim()
	return d, d.e >= -24 && d.e <= 24
}

func (d *Decimal) suffix(s string) bool {
	if s == "" {
		return true
	}
	if len(s) == 1 && s != " " {
		if i := strings.IndexByte(tens, s[0]); i >= 0 {
			d.e += 3*i - 9
			return true
		}
		return false
	}
	if len(s) == 2 && s[1] == 'i' {
		if i := strings.IndexByte(binaries, s[0]); i >= 0 {
			for range i + 1 {
				if d.m > (1<<62)/1024 {
					return false
				}
				d.m *= 1024
			}
			return true
		}
		return false
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	e, err := strconv.ParseInt(s[1:], 10, 8)
	d.e += int(e)
	return err == nil
}

// Scale makes numbers whole by multiplying all with the smallest power of ten that does; false where one gets too large.
func Scale(list []Decimal) (power int, out []int64, ok bool) {
	for _, d := range list {
		power = max(power, -d.e)
	}
	out = make([]int64, len(list))
	for i, d := range list {
		for range d.e + power {
			if d.m *= 10; d.m > maxWeight || d.m < -maxWeight {
				return power, nil, false
			}
		}
		if d.m > maxWeight || d.m < -maxWeight {
			return power, nil, false
		}
		out[i] = d.m
	}
	return power, out, true
}

// unscale writes n divided by a power of ten as a quantity.
func unscale(n int64, power int) string {
	d := Decimal{n, -power}.trim()
	for i, unit := range [...]string{"", "m", "u", "n"} {
		if d.e >= -3*i {
			return strconv.FormatInt(d.m, 10) + strings.Repeat("0", d.e+3*i) + unit
		}
	}
	return strconv.FormatInt(d.m, 10) + "e" + strconv.Itoa(d.e)
}
