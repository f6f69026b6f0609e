// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"math"
	"math/big"

	"github.com/anymesh/anymesh/model"
)

// weights are those of the shares where they fit: on the wire their sum has 32 bits. Greater ones are scaled down by their greatest
// common divisor, which moves nothing. Where that is not enough they are rounded down, but never to nothing, and it reports
// false.
func weights(shares []model.Share) (list []uint32, exact bool) {
	list = make([]uint32, len(shares))
	if fill(list, shares, 1) {
		return list, true
	}
	var d int64
	for _, s := range shares {
		d = divisor(d, s.Weight)
	}
	if fill(list, shares, d) {
		return list, true
	}
	total := new(big.Int)
	for _, s := range shares {
		total.Add(total, big.NewInt(s.Weight))
	}
	limit := big.NewInt(math.MaxUint32 - int64(len(shares))) // room for those that are rounded up to 1
	for i, s := range shares {
		n := big.NewInt(s.Weight)
		list[i] = uint32(n.Mul(n, limit).Quo(n, total).Uint64())
		if s.Weight > 0 {
			list[i] = max(list[i], 1)
		}
	}
	return list, false
}

// fill writes the weights divided by d, and reports false where they do not fit.
func fill(list []uint32, shares []model.Share, d int64) bool {
	var total uint64
	for i, s := range shares {
		n := s.Weight / d
		if n > math.MaxUint32 {
			return false
		}
		list[i] = uint32(n)
		total += uint64(n)
	}
	return total <= math.MaxUint32
}

func divisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
