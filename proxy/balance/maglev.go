// SPDX-License-Identifier: Apache-2.0

package balance

import "hash/fnv"

// sizes of a table, prime: the smallest that has room for a hundred places of each endpoint is taken. 65537 is Envoy's own.
var sizes = [...]uint64{1021, 8191, 65537}

// Key is the key of a text.
func Key(s string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(s))
	return mix(h.Sum64())
}

// mix spreads what FNV leaves close together (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// maglev fills a table as Maglev does (Eisenbud and others, NSDI 2016, section 3.4): each endpoint claims places in an order of its own, in
// turns. An endpoint that goes leaves the places of the others nearly as they are. The order depends on names alone, so that all
// proxies have the same table whatever order they were told the endpoints in.
func maglev(names []string) []uint16 {
	size := sizes[len(sizes)-1]
	for _, s := range sizes {
		if uint64(len(names))*100 <= s {
			size = s
			break
		}
	}
	const free = 1<<16 - 1
	table := make([]uint16, size)
	for i := range table {
		table[i] = free
	}
	at, step := make([]uint64, len(names)), make([]uint64, len(names))
	order := byName(names)
	for _, i := range order {
		h := Key(names[i])
		at[i], step[i] = h%size, mix(h+1)%(size-1)+1
	}
	for filled := uint64(0); len(names) > 0; {
		for _, i := range order {
			for table[at[i]] != free {
				at[i] = (at[i] + step[i]) % size
			}
			table[at[i]] = uint16(i)
			if filled++; filled == size {
				return table
			}
		}
	}
	return table
}
