// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"math/big"
	"slices"

	"github.com/anymesh/anymesh/model"
)

// percent shares out 100 in steps of 0.01, or of 0.25 where the former do not make up exactly 100 when Consul adds them, which it does with floats
// of 32 bits in the order of the list. The largest remainders are rounded up; zero stays zero, and what is not gets a step at least. It says which
// shares are what was asked for; nil where there are more shares than steps.
func percent(shares []model.Share) (out []float32, exact []bool) {
	for _, steps := range []int64{10000, 400} {
		list := apportion(shares, steps)
		if list == nil {
			return nil, nil
		}
		out, exact = nil, nil
		var sum float32
		total := new(big.Int)
		for _, s := range shares {
			total.Add(total, big.NewInt(s.Weight))
		}
		for i, n := range list {
			f := float32(float64(n) * 100 / float64(steps))
			sum += f
			out = append(out, f)
			have := new(big.Int).Mul(big.NewInt(n), total)
			exact = append(exact, have.Cmp(new(big.Int).Mul(big.NewInt(shares[i].Weight), big.NewInt(steps))) == 0)
		}
		if sum == 100 {
			return out, exact
		}
	}
	panic("consul: quarters do not add up") // they are exact in binary
}

// apportion shares out steps by the largest remainder.
func apportion(shares []model.Share, steps int64) []int64 {
	total := new(big.Int)
	some := int64(0)
	for _, s := range shares {
		total.Add(total, big.NewInt(s.Weight))
		some += min(1, s.Weight)
	}
	if some > steps {
		return nil
	}
	out, rest := make([]int64, len(shares)), make([]*big.Int, len(shares))
	left := steps
	for i, s := range shares {
		n, r := new(big.Int).DivMod(new(big.Int).Mul(big.NewInt(s.Weight), big.NewInt(steps)), total, new(big.Int))
		out[i], rest[i] = n.Int64(), r
		if s.Weight > 0 && out[i] == 0 {
			out[i], rest[i] = 1, new(big.Int)
		}
		left -= out[i]
	}
	order := make([]int, len(shares))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rest[b].Cmp(rest[a]) })
	for i := 0; left > 0; i++ {
		out[order[i%len(order)]]++
		left--
	}
	for left < 0 { // what was raised to a step is taken from the largest
		k := 0
		for i := range out {
			if out[i] > out[k] {
				k = i
			}
		}
		out[k]--
		left++
	}
	return out
}
