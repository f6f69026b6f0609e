// SPDX-License-Identifier: Apache-2.0

package diff

// context is how many lines are shown on each side of one that changed, so that a reader knows where he is.
const context = 2

// table is the largest table of common sequences, in cells; beyond it the differing part goes as a whole, and comes as a whole.
const table = 4 << 20

// Lines shows what went ("- "), what came ("+ ") and the lines around ("  "); "..." stands for those between.
func Lines(a, b []string) []string {
	all := edits(a, b)
	show := make([]bool, len(all))
	for i, l := range all {
		if l[0] == ' ' {
			continue
		}
		for k := max(0, i-context); k < min(len(all), i+context+1); k++ {
			show[k] = true
		}
	}
	var out []string
	for i, l := range all {
		if show[i] {
			out = append(out, l)
		} else if i > 0 && show[i-1] {
			out = append(out, "...")
		}
	}
	if n := len(out); n > 0 && out[n-1] == "..." {
		out = out[:n-1]
	}
	return out
}

// edits is the whole of both texts, each line with its sign.
func edits(a, b []string) (out []string) {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		out = append(out, "  "+a[head])
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	out = append(out, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, l := range a[len(a)-tail:] {
		out = append(out, "  "+l)
	}
	return out
}

// middle compares by the longest common sequence.
func middle(a, b []string) (out []string) {
	common := func(int, int) int { return 0 }
	small := (len(a)+1)*(len(b)+1) <= table
	if small {
		common = sequence(a, b)
	}
	i, k := 0, 0
	for i < len(a) || k < len(b) {
		switch {
		case small && i < len(a) && k < len(b) && a[i] == b[k]:
			out = append(out, "  "+a[i])
			i, k = i+1, k+1
		case k == len(b) || i < len(a) && common(i+1, k) >= common(i, k+1):
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[k])
			k++
		}
	}
	return out
}

// sequence tells the length of the longest common sequence of a from i and b from k.
func sequence(a, b []string) func(i, k int) int {
	width := len(b) + 1
	cell := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i] == b[k] {
				cell[i*width+k] = cell[(i+1)*width+k+1] + 1
			} else {
				cell[i*width+k] = max(cell[(i+1)*width+k], cell[i*width+k+1])
			}
		}
	}
	return func(i, k int) int { return int(cell[i*width+k]) }
}
