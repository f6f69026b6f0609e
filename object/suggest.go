// SPDX-License-Identifier: Apache-2.0

package object

import "strings"

// Suggest is a hint for a name that is none of the known ones: the one that was likely meant, or all where they are few.
func Suggest(name string, known []string) string {
	best, least := "", 1+len(name)/3
	for _, k := range known {
		if n := distance(strings.ToLower(name), strings.ToLower(k)); n <= least {
			if n < least || best == "" {
				best, least = k, n
			}
		}
	}
	switch {
	case best != "":
		return "Did you mean " + best + "?"
	case len(known) == 0 || len(known) > 12:
		return ""
	}
	return "The fields here are " + strings.Join(known, ", ") + "."
}

// distance is how many letters have to be changed, added, removed or swapped with their neighbour to make one word of the other.
func distance(a, b string) int {
	before, last, now := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		now[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			now[j] = min(last[j]+1, now[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				now[j] = min(now[j], before[j-2]+1)
			}
		}
		before, last, now = last, now, before
	}
	return last[len(b)]
}
