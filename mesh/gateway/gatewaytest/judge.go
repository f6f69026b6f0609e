// SPDX-License-Identifier: Apache-2.0

// Package gatewaytest judges routes of the Gateway API in the tests of the drivers that write them. It is written from the API's own
// documents (HTTPRouteRule, GEP-1294 for parents that are Services) and from what meshes make of the points that those leave open, reads
// objects from their JSON, and shares no code with the drivers.
package gatewaytest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// Tree is a part of an object.
type Tree struct{ V any }

// seen are the objects that were read last: those of one world are asked for many times in a row.
var seen = struct {
	sync.Mutex
	trees map[*mesh.Object]Tree
}{trees: map[*mesh.Object]Tree{}}

// Read is an object as its JSON has it. Objects are not altered once they are read.
func Read(o *mesh.Object) Tree {
	seen.Lock()
	defer seen.Unlock()
	if t, ok := seen.trees[o]; ok {
		return t
	}
	if len(seen.trees) >= 512 {
		clear(seen.trees)
	}
	t := parse(o)
	seen.trees[o] = t
	return t
}

func parse(o *mesh.Object) Tree {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		panic(err)
	}
	return Tree{v}
}

// At is a field; one of a field that is not there is not there either.
func (t Tree) At(names ...string) Tree {
	for _, n := range names {
		m, _ := t.V.(map[string]any)
		t = Tree{m[n]}
	}
	return t
}

// List are the items of a list.
func (t Tree) List() (out []Tree) {
	l, _ := t.V.([]any)
	for _, v := range l {
		out = append(out, Tree{v})
	}
	return out
}

// Text is a string, or what stands for it where it is not there.
func (t Tree) Text(otherwise string) string {
	if s, ok := t.V.(string); ok {
		return s
	}
	return otherwise
}

// Number is a number, or what stands for it where it is not there.
func (t Tree) Number(otherwise int) int {
	if f, ok := t.V.(float64); ok {
		return int(f)
	}
	return otherwise
}

// Knows panics on a field that the judge would overlook.
func (t Tree) Knows(fields ...string) {
	m, _ := t.V.(map[string]any)
	for k := range m {
		if !slices.Contains(fields, k) {
			panic("the judge does not know the field " + k)
		}
	}
}

// Refused is the share of requests that no rule takes, Failed that of requests for which there is no backend: a status of 500.
const Refused, Failed = "refused", "failed"

// Judge reads routes. Both says that a port may have an HTTPRoute for requests and a TCPRoute for what is none.
type Judge struct{ Both bool }

// Route says which part of such requests goes to which port of which Service. It asks in every order in which a mesh may ask, and reports an
// error where two of them differ.
func (j Judge) Route(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	s := w.Service(q.Service)
	if s == nil {
		return nil, fmt.Errorf("no Service %s", q.Service)
	}
	a := asking{w: w, q: q, port: q.Port}
	if a.port == 0 {
		a.port = s.Port(0).Number
	}
	web, bytes := a.attached(objs, "HTTPRoute"), a.attached(objs, map[bool]string{true: "UDPRoute", false: "TCPRoute"}[q.Layer == model.LayerDatagram])
	own := map[string]float64{fmt.Sprintf("%s:%d", q.Service, a.port): 1}
	switch {
	case q.Layer == model.LayerHTTP && len(web) > 0:
		return a.requests(web)
	case len(bytes) > 1:
		return nil, fmt.Errorf("%d routes for all that comes to port %d: the oldest has it, and which that is nobody knows", len(bytes), a.port)
	case len(bytes) == 1 && (len(web) == 0 || j.Both):
		return a.shares(bytes[0].At("spec", "rules").List()[0])
	}
	return own, nil
}

type asking struct {
	w    model.World
	q    *model.Request
	port uint16
}

// attached are the routes of a kind whose parent is the Service, on its port.
func (a *asking) attached(objs []mesh.Object, kind string) (out []Tree) {
	for i := range objs {
		if objs[i].Kind != kind {
			continue
		}
		o := Read(&objs[i])
		o.At("spec").Knows("parentRefs", "rules")
		for _, p := range o.At("spec", "parentRefs").List() {
			p.Knows("group", "kind", "name", "port")
			if p.At("group").Text("gateway.networking.k8s.io") == "" && p.At("kind").Text("Gateway") == "Service" && p.At("name").Text("") == a.q.Service.Name &&
				objs[i].Name.Namespace == a.q.Service.Namespace && p.At("port").Number(int(a.port)) == int(a.port) {
				out = append(out, o)
			}
		}
	}
	return out
}

// shares are a rule's. The part of a backend that is not there is answered with a 500, and so is all where no weight is left.
func (a *asking) shares(rule Tree) (map[string]float64, error) {
	rule.Knows("matches", "backendRefs")
	out, total := map[string]float64{}, 0
	for _, b := range rule.At("backendRefs").List() {
		total += b.At("weight").Number(1)
	}
	for _, b := range rule.At("backendRefs").List() {
		b.Knows("name", "port", "weight")
		n := model.Name{Namespace: a.q.Service.Namespace, Name: b.At("name").Text("")}
		port := b.At("port").Number(0)
		to := fmt.Sprintf("%s:%d", n, port)
		if s := a.w.Service(n); s == nil || !slices.ContainsFunc(s.Ports, func(p model.ServicePort) bool { return int(p.Number) == port }) {
			to = Failed
		}
		if part := b.At("weight").Number(1); part > 0 {
			out[to] += float64(part) / float64(total)
		}
	}
	if total == 0 {
		out[Failed] = 1
	}
	return out, nil
}

// requests asks the routes in every order.
func (a *asking) requests(routes []Tree) (first map[string]float64, err error) {
	for i, order := range orders {
		ages := [][]Tree{routes}
		if len(routes) > 1 {
			ages = append(ages, reversed(routes)) // nobody knows which is older
		}
		for _, list := range ages {
			got, err := a.ask(list, order)
			if err != nil {
				return nil, err
			}
			if first == nil {
				first = got
			} else if !maps.EqualFunc(first, got, func(x, y float64) bool { return math.Abs(x-y) < 1e-9 }) {
				return nil, fmt.Errorf("a mesh that asks %s sends it to %v, and one that asks %s to %v", orders[0].name, first, orders[i].name, got)
			}
		}
	}
	return first, nil
}

func reversed(list []Tree) []Tree {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

func (a *asking) ask(routes []Tree, o order) (map[string]float64, error) {
	var best []int
	var rule Tree
	for _, r := range routes {
		for _, candidate := range r.At("spec", "rules").List() {
			matches := candidate.At("matches").List()
			if len(matches) == 0 {
				matches = []Tree{{}}
			}
			for _, m := range matches {
				rank, ok := a.rank(m, o)
				if ok && (best == nil || slices.Compare(rank, best) > 0) {
					best, rule = rank, candidate
				}
			}
		}
	}
	if best == nil {
		return map[string]float64{Refused: 1}, nil
	}
	return a.shares(rule)
}

// order is a way to tell which of two matches is the more specific.
type order struct {
	name string
	// path ranks a path of a type, with the text of the match and what it matched.
	path func(kind, text, matched string) []int
	// leftmost says that an expression has to cover a text by its leftmost alternative.
	leftmost bool
}

// orders are those of the meshes that read such routes. The API says exact paths, then longer prefixes, and leaves expressions open.
var orders = []order{
	{name: "expressions last (Istio, Kuma)", path: func(kind, text, _ string) []int {
		return []int{map[string]int{"Exact": 3, "PathPrefix": 2, "RegularExpression": 1}[kind], len(text)}
	}},
	{name: "expressions before prefixes (Cilium)", path: func(kind, text, _ string) []int {
		return []int{map[string]int{"Exact": 3, "PathPrefix": 1, "RegularExpression": 2}[kind], len(text)}
	}},
	{name: "expressions in the order in which they are written", path: func(kind, text, _ string) []int {
		if kind == "RegularExpression" {
			return []int{2, 0}
		}
		return []int{map[string]int{"Exact": 3, "PathPrefix": 1}[kind], len(text)}
	}},
	{name: "the most letters of the path (Linkerd)", leftmost: true, path: func(_, _, matched string) []int { return []int{len(matched), 0} }},
}

// rank is how specific a match is that a request meets.
func (a *asking) rank(m Tree, o order) ([]int, bool) {
	m.Knows("path", "method", "headers")
	path, _, _ := strings.Cut(a.q.Path, "?")
	kind, text := m.At("path", "type").Text("PathPrefix"), m.At("path", "value").Text("/")
	matched, ok := a.pathMatch(kind, text, path, o.leftmost)
	if !ok {
		return nil, false
	}
	rank := append(o.path(kind, text, matched), 0, 0)
	if name := m.At("method").Text(""); name != "" {
		if name != a.q.Method {
			return nil, false
		}
		rank[2] = 1
	}
	seen := map[string]bool{}
	for _, h := range m.At("headers").List() {
		h.Knows("type", "name", "value")
		name := strings.ToLower(h.At("name").Text(""))
		if seen[name] {
			continue // the first alone counts
		}
		seen[name] = true
		values, ok := a.q.Headers[name]
		text := strings.Join(values, ",")
		if h.At("type").Text("Exact") == "Exact" {
			ok = ok && text == h.At("value").Text("")
		} else {
			ok = ok && a.covers(h.At("value").Text(""), text, o.leftmost)
		}
		if !ok {
			return nil, false
		}
		rank[3]++
	}
	return rank, true
}

// pathMatch says whether a path is met, and by which of its letters.
func (a *asking) pathMatch(kind, text, path string, leftmost bool) (string, bool) {
	switch kind {
	case "Exact":
		return path, path == text
	case "PathPrefix":
		text = strings.TrimSuffix(text, "/")
		rest, ok := strings.CutPrefix(path, text)
		return text, ok && (text == "" || rest == "" || rest[0] == '/')
	}
	return path, a.covers(text, path, leftmost)
}

// covers says whether an expression covers a whole text.
func (a *asking) covers(expression, text string, leftmost bool) bool {
	if !leftmost {
		expression = `\A(?:` + expression + `)\z`
	}
	re, ok := compiled.Load(expression)
	if !ok {
		re, _ = compiled.LoadOrStore(expression, regexp.MustCompile(expression))
	}
	at := re.(*regexp.Regexp).FindStringIndex(text)
	return at != nil && at[0] == 0 && at[1] == len(text)
}

// compiled are the expressions that were met.
var compiled sync.Map
