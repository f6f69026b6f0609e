// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"math"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/model"
)

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		in    []int64
		want  []uint32
		exact bool
	}{
		{[]int64{90, 10, 0}, []uint32{90, 10, 0}, true},
		{[]int64{math.MaxUint32}, []uint32{math.MaxUint32}, true},
		{[]int64{math.MaxUint32 - 1, 1}, []uint32{math.MaxUint32 - 1, 1}, true},
		{[]int64{math.MaxUint32, math.MaxUint32}, []uint32{1, 1}, true},
		{[]int64{3 << 40, 1 << 40, 0}, []uint32{3, 1, 0}, true},
		{[]int64{math.MaxInt64, math.MaxInt64, math.MaxInt64}, []uint32{1, 1, 1}, true},
		{[]int64{math.MaxUint32, 1}, []uint32{4294967292, 1}, false},
		{[]int64{math.MaxInt64, math.MaxInt64 - 1, 0}, []uint32{2147483646, 2147483645, 0}, false},
		{[]int64{math.MaxInt64, 1, 1}, []uint32{4294967291, 1, 1}, false},
	} {
		shares := make([]model.Share, len(c.in))
		for i, n := range c.in {
			shares[i].Weight = n
		}
		got, exact := weights(shares)
		if !slices.Equal(got, c.want) || exact != c.exact {
			t.Errorf("weights of %d: %d, exact: %v; want %d, %v", c.in, got, exact, c.want, c.exact)
		}
		var total uint64
		for _, n := range got {
			total += uint64(n)
		}
		if total > math.MaxUint32 {
			t.Errorf("weights of %d add up to %d", c.in, total)
		}
	}
}
