// SPDX-License-Identifier: Apache-2.0

// Package learn proposes permissions and routes from requests that were seen, for a person to read before anybody applies them.
//
// A proposal admits what was seen and was admitted, pair by pair. Where it must say more than that (a number or a key in a path stands for all
// of them) it says so beside, with what it saw. What was refused is named and not proposed.
package learn

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/up/tap"
)

// Book counts what was seen. The zero value is empty.
type Book struct {
	pairs   map[pair]map[call]*seen
	refused map[string]int
	other   map[string]int // what cannot be proposed, and why
}

type pair struct{ source, destination string } // namespace/account

type call struct{ method, pattern string }

type seen struct {
	n     int
	paths map[string]int
}

// examples is how many paths are named beside what stands for them.
const examples = 5

// Add takes in what the proxy of the called saw; what others saw is passed over.
func (b *Book) Add(e *tap.Event) {
	if b.pairs == nil {
		b.pairs, b.refused, b.other = map[pair]map[call]*seen{}, map[string]int{}, map[string]int{}
	}
	path, _, _ := strings.Cut(e.Path, "?")
	switch {
	case e.Side != "server":
	case e.Verdict == "denied":
		b.refused[strings.TrimSpace(fmt.Sprintf("%s to %s: %s %s", who(e.Source), e.Account, e.Method, path))]++
	case !account(e.Source):
		b.other[fmt.Sprintf("%s to %s: the caller is no account of this mesh", who(e.Source), e.Account)]++
	case e.Method == "":
		b.other[fmt.Sprintf("%s to %s: bytes; write a TCPRoute of their port", e.Source, e.Account)]++
	default:
		p, c := pair{e.Source, e.Account}, call{e.Method, pattern(path)}
		if b.pairs[p] == nil {
			b.pairs[p] = map[call]*seen{}
		}
		s := b.pairs[p][c]
		if s == nil {
			s = &seen{paths: map[string]int{}}
			b.pairs[p][c] = s
		}
		s.n++
		if len(s.paths) < examples || s.paths[path] > 0 {
			s.paths[path]++
		}
	}
}

func who(source string) string { return cmp.Or(source, "somebody without identity") }

func account(source string) bool {
	ns, name, ok := strings.Cut(source, "/")
	return ok && ns != "" && name != "" && !strings.Contains(source, ":") && !strings.Contains(name, "/")
}

// pattern is a path as an expression over the whole of it: numbers stand for numbers, and what was taken out for any one part.
func pattern(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		switch {
		case p != "" && strings.Trim(p, "0123456789") == "":
			parts[i] = "[0-9]+"
		case strings.Contains(p, "…"):
			parts[i] = "[^/]+"
		default:
			parts[i] = regexp.QuoteMeta(p)
		}
	}
	return strings.Join(parts, "/")
}

// wider says whether an expression takes more than the one path that it was made of.
func wider(pattern string) bool {
	return strings.Contains(pattern, "[0-9]+") || strings.Contains(pattern, "[^/]+")
}

// Empty says whether there is nothing to propose.
func (b *Book) Empty() bool { return len(b.pairs) == 0 }

// YAML is the proposal, with what it was made of as comments.
func (b *Book) YAML() string {
	var w strings.Builder
	for n, p := range slices.SortedFunc(maps.Keys(b.pairs), func(x, y pair) int {
		return cmp.Or(strings.Compare(x.destination, y.destination), strings.Compare(x.source, y.source))
	}) {
		b.write(&w, n+1, p)
	}
	for _, note := range []struct {
		about string
		lines map[string]int
	}{{"refused, and not proposed", b.refused}, {"cannot be proposed", b.other}} {
		for _, l := range slices.Sorted(maps.Keys(note.lines)) {
			fmt.Fprintf(&w, "# %s: %s (%d times)\n", note.about, printable(l), note.lines[l])
		}
	}
	return w.String()
}

// write proposes what one account may ask of another. The number keeps names apart that joining could make the same.
func (b *Book) write(w *strings.Builder, n int, p pair) {
	ns, to, _ := strings.Cut(p.destination, "/")
	from, who, _ := strings.Cut(p.source, "/")
	name := fmt.Sprintf("learned-%d-%s-from-%s.%s", n, to, from, who)
	fmt.Fprintf(w, "# %s asks %s.\napiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata:\n  name: %s\n  namespace: %s\n  annotations: {anymesh.dev/path-regex: full}\nspec:\n  matches:\n",
		p.source, p.destination, name, ns)
	calls := b.pairs[p]
	for i, c := range slices.SortedFunc(maps.Keys(calls), func(x, y call) int {
		return cmp.Or(strings.Compare(x.pattern, y.pattern), strings.Compare(x.method, y.method))
	}) {
		s := calls[c]
		if wider(c.pattern) {
			fmt.Fprintf(w, "  # wider than what was seen: %s\n", printable(strings.Join(slices.Sorted(maps.Keys(s.paths)), " ")))
		}
		fmt.Fprintf(w, "  # seen %d times\n  - name: seen-%d\n    pathRegex: %s\n    methods: [%s]\n", s.n, i+1, strconv.Quote(c.pattern), strconv.Quote(c.method))
	}
	fmt.Fprintf(w, "---\napiVersion: access.smi-spec.io/v1alpha4\nkind: TrafficTarget\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n  destination: {kind: ServiceAccount, name: %s, namespace: %s}\n"+
		"  rules:\n  - {kind: HTTPRouteGroup, name: %s}\n  sources:\n  - {kind: ServiceAccount, name: %s, namespace: %s}\n---\n", name, ns, to, ns, name, who, from)
}

// printable keeps a comment on its line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
