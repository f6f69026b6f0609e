// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

// heaviest is the largest weight that App Mesh takes.
const heaviest = 100

// weights reduces weights to 0 to 100, all of them together, and says whether their ratio stayed what it was. What is to be rounded is made
// percent by the largest remainder; a weight above zero stays above zero.
func weights(shares []model.Share) (out []int64, exact bool) {
	var divisor, total, most int64
	for _, s := range shares {
		total, most = total+s.Weight, max(most, s.Weight)
		for a, b := divisor, s.Weight; ; a, b = b, a%b {
			if b == 0 {
				divisor = a
				break
			}
		}
	}
	if most <= heaviest {
		divisor = 1 // as they were written
	}
	if most/divisor <= heaviest {
		for _, s := range shares {
			out = append(out, s.Weight/divisor)
		}
		return out, true
	}
	left := int64(heaviest)
	rest := make([]float64, len(shares))
	for i, s := range shares {
		part := float64(s.Weight) * heaviest / float64(total)
		n := int64(part)
		if rest[i] = part - float64(n); s.Weight > 0 && n == 0 {
			n, rest[i] = 1, -1
		}
		out = append(out, n)
		left -= n
	}
	order := make([]int, len(shares))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if rest[a] > rest[b] {
			return -1
		} else if rest[a] < rest[b] {
			return 1
		}
		return 0
	})
	for _, i := range order {
		if left <= 0 {
			break
		}
		if rest[i] > 0 {
			out[i]++
			left--
		}
	}
	return out, false
}
