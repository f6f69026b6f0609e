// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The judge reads native objects as Consul's reference of configuration entries says that they work, from their JSON and not through the driver's
// types. It is stricter than most installations: the default of the mesh is to allow, so that whatever no intention decides is admitted. A pod is of
// the service that is called as its account, as ACLs have it; namespaces are mirrored; a wildcard is everybody.

// tree is a part of an object.
type tree struct{ v any }

func (t tree) at(name string) tree {
	m, _ := t.v.(map[string]any)
	return tree{m[name]}
}

func (t tree) list() (out []tree) {
	l, _ := t.v.([]any)
	for _, v := range l {
		out = append(out, tree{v})
	}
	return out
}

func (t tree) text() string { s, _ := t.v.(string); return s }
func (t tree) set() bool    { return t.v != nil }

// knows panics on a field that the judge would overlook.
func (t tree) knows(fields ...string) {
	m, _ := t.v.(map[string]any)
	for k := range m {
		if !slices.Contains(fields, k) {
			panic("the judge does not know the field " + k)
		}
	}
}

type native struct {
	kind, namespace, name string
	spec                  tree
}

// The suites ask many questions about the same objects: they are parsed once.
var latest struct {
	objs []mesh.Object
	read []native
}

func read(objs []mesh.Object) (out []native) {
	if len(objs) > 0 && len(objs) == len(latest.objs) && &objs[0] == &latest.objs[0] {
		return latest.read
	}
	defer func() { latest.objs, latest.read = objs, out }()
	for i := range objs {
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		out = append(out, parse(text))
	}
	for _, o := range out {
		o.checked(out)
	}
	return out
}

// checked panics on what Consul's servers refuse to store, beside what the schema refuses.
func (n native) checked(all []native) {
	switch n.kind {
	case "ServiceRouter", "ServiceSplitter": // the whole graph speaks HTTP of one kind
		want := entry(all, "ServiceDefaults", n.namespace, n.name).at("protocol").text()
		parts := append(n.spec.at("routes").list(), n.spec.at("splits").list()...)
		for _, to := range parts {
			service := to.at("service").text() + to.at("destination").at("service").text()
			if service == "" {
				service = n.name
			}
			if got := entry(all, "ServiceDefaults", n.namespace, service).at("protocol").text(); got != want || !speaksHTTP(got) {
				panic(fmt.Sprintf("a chain of %s with %s, which carries %q", n.name, service, got))
			}
		}
	case "ServiceIntentions":
		sources := n.spec.at("sources").list()
		wellNamed(n.spec.at("destination").at("name").text())
		if len(sources) == 0 {
			panic("an intention without sources")
		}
		for _, s := range sources {
			wellNamed(s.at("name").text())
			if a := s.at("action").text(); a != "allow" && a != "deny" && !s.at("permissions").set() {
				panic("an action " + a)
			}
			for _, p := range s.at("permissions").list() {
				if a := p.at("action").text(); a != "allow" && a != "deny" || !p.at("http").set() {
					panic("a permission of no action, or for nothing")
				}
			}
		}
	}
}

// wellNamed panics on a name that an intention may not have.
func wellNamed(name string) {
	if name == "" || name != "*" && strings.Contains(name, "*") {
		panic("an intention with the name " + name)
	}
}

// speaksHTTP says whether Consul knows requests of a protocol; all others are bytes to it.
func speaksHTTP(protocol string) bool {
	return slices.Contains([]string{"http", "http2", "grpc"}, protocol)
}

func parse(text []byte) native {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		panic(err)
	}
	t := tree{v}
	return native{t.at("kind").text(), t.at("metadata").at("namespace").text(), t.at("metadata").at("name").text(), t.at("spec")}
}

// entry is the one of a kind for a service; a second one is refused.
func entry(objs []native, kind, namespace, name string) (out tree) {
	for _, o := range objs {
		if o.kind == kind && o.namespace == namespace && o.name == name {
			if out.set() {
				panic("two " + kind + " for " + name)
			}
			out = o.spec
		}
	}
	return out
}

type routeJudge struct {
	objs []native
	w    model.World
	q    *model.Request
	out  map[string]float64
	want string // the protocol that all of a chain have to have
}

// judgeRoute says which part of such requests goes to which Service.
func judgeRoute(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	j := routeJudge{read(objs), w, q, map[string]float64{}, ""}
	n := q.Service
	router, splitter := entry(j.objs, "ServiceRouter", n.Namespace, n.Name), entry(j.objs, "ServiceSplitter", n.Namespace, n.Name)
	if q.Layer == model.LayerDatagram || !router.set() && !splitter.set() {
		return map[string]float64{fmt.Sprintf("%s:%d", n, j.port()): 1}, nil
	}
	if j.want = j.protocol(n); j.want == "" || q.Layer == model.LayerStream {
		return nil, fmt.Errorf("a chain of %s, which carries raw TCP", n)
	}
	for _, r := range router.at("routes").list() {
		r.knows("match", "destination")
		r.at("destination").knows("service")
		if !r.at("match").set() || matches(r.at("match").at("http"), q, w.Settings().Host(n)) {
			return j.out, j.chain(model.Name{Namespace: n.Namespace, Name: r.at("destination").at("service").text()}, 1, nil)
		}
	}
	return j.out, j.chain(n, 1, nil)
}

func (j *routeJudge) port() uint16 {
	if j.q.Port != 0 {
		return j.q.Port
	}
	return j.w.Service(j.q.Service).Ports[0].Number
}

func (j *routeJudge) protocol(n model.Name) string {
	return entry(j.objs, "ServiceDefaults", n.Namespace, n.Name).at("protocol").text()
}

// chain follows the splits of a service, and of what they lead to.
func (j *routeJudge) chain(n model.Name, part float64, seen []model.Name) error {
	if slices.Contains(seen, n) {
		return fmt.Errorf("a circle at %s", n)
	}
	if j.protocol(n) != j.want {
		return fmt.Errorf("%s carries %q, and the chain %q", n, j.protocol(n), j.want)
	}
	splitter := entry(j.objs, "ServiceSplitter", n.Namespace, n.Name)
	if !splitter.set() {
		s := j.w.Service(n)
		if s == nil {
			return fmt.Errorf("nothing is registered as %s", n)
		}
		port := j.port()
		if s.Port(port) == nil {
			port = s.Ports[0].Number
		}
		j.out[fmt.Sprintf("%s:%d", n, port)] += part
		return nil
	}
	var sum float32
	for _, s := range splitter.at("splits").list() {
		s.knows("weight", "service")
		w, ok := s.at("weight").v.(float64)
		if !ok || w != 0 && (w < 0.01 || w > 100) {
			return fmt.Errorf("Consul refuses the weight %v", w)
		}
		sum += float32(w)
		to := model.Name{Namespace: n.Namespace, Name: s.at("service").text()}
		if w == 0 {
			continue
		}
		if to == n { // its own plain endpoints
			j.out[fmt.Sprintf("%s:%d", n, j.port())] += part * w / 100
			continue
		}
		if err := j.chain(to, part*w/100, append(seen, n)); err != nil {
			return err
		}
	}
	if sum != 100 {
		return fmt.Errorf("the shares of %s make up %v", n, sum)
	}
	return nil
}

// matches says whether a request meets all conditions; none are no such thing.
func matches(m tree, q *model.Request, host string) bool {
	m.knows("pathExact", "pathPrefix", "pathRegex", "header", "methods")
	path, _, _ := strings.Cut(q.Path, "?")
	paths := 0
	ok := true
	if e := m.at("pathExact"); e.set() {
		paths, ok = paths+1, path == e.text()
	}
	if p := m.at("pathPrefix"); p.set() {
		paths, ok = paths+1, strings.HasPrefix(path, p.text())
	}
	if e := m.at("pathRegex"); e.set() {
		paths, ok = paths+1, whole(e.text(), path)
	}
	if paths > 1 || paths == 0 && !m.at("header").set() && !m.at("methods").set() {
		panic("Consul refuses these conditions")
	}
	if l := m.at("methods").list(); len(l) > 0 {
		ok = ok && slices.ContainsFunc(l, func(t tree) bool { return t.text() == q.Method })
	}
	for _, h := range m.at("header").list() {
		h.knows("name", "regex", "exact", "prefix", "suffix", "present")
		values, there := q.Headers[h.at("name").text()]
		got := strings.Join(values, ",")
		if h.at("name").text() == ":authority" {
			if got, there = q.Host, true; got == "" {
				got = host
			}
		}
		switch {
		case !there:
			ok = false
		case h.at("regex").set():
			ok = ok && whole(h.at("regex").text(), got)
		case h.at("exact").set():
			ok = ok && got == h.at("exact").text()
		case h.at("prefix").set():
			ok = ok && strings.HasPrefix(got, h.at("prefix").text())
		case h.at("suffix").set():
			ok = ok && strings.HasSuffix(got, h.at("suffix").text())
		}
	}
	return ok
}

func whole(expression, text string) bool {
	return regexp.MustCompile(`\A(?:` + expression + `)\z`).MatchString(text)
}

// judgeAdmit says whether a workload's proxy lets a request through.
func judgeAdmit(objs []mesh.Object, w model.World, wl *model.Workload, _ uint16, q *model.Request) bool {
	return admits(read(objs), w, wl, q)
}

func admits(objs []native, w model.World, wl *model.Workload, q *model.Request) bool {
	var own, every tree
	for _, o := range objs {
		if o.kind != "ServiceIntentions" {
			continue
		}
		o.spec.knows("destination", "sources")
		switch to := o.spec.at("destination").at("name").text(); {
		case to == "*":
			every = o.spec
		case o.namespace == wl.Name.Namespace && to == wl.Account:
			if own.set() {
				panic("two intentions for " + to)
			}
			own = o.spec
		}
	}
	for _, spec := range []tree{own, every} {
		if !spec.set() {
			continue
		}
		exact, wild := tree{}, tree{}
		for _, s := range spec.at("sources").list() {
			s.knows("name", "namespace", "action", "permissions")
			ns := s.at("namespace").text()
			if ns == "" {
				ns = wl.Name.Namespace
			}
			switch name := s.at("name").text(); {
			case name == "*":
				wild = s
			case name == q.From.ServiceAccount && ns == q.From.Namespace:
				if exact.set() {
					panic("a source twice")
				}
				exact = s
			}
		}
		for _, s := range []tree{exact, wild} {
			if s.set() {
				return decides(objs, s, w, wl, q)
			}
		}
	}
	return true // by default
}

// decides says what one source's intention makes of a request.
func decides(objs []native, s tree, w model.World, wl *model.Workload, q *model.Request) bool {
	list := s.at("permissions").list()
	if a := s.at("action"); a.set() == (len(list) > 0) {
		panic("either an action or permissions")
	} else if a.set() {
		return a.text() == "allow" && q.From.ServiceAccount != ""
	}
	if !speaksHTTP(entry(objs, "ServiceDefaults", wl.Name.Namespace, wl.Account).at("protocol").text()) {
		panic("permissions for a service that carries raw TCP")
	}
	if q.Layer == model.LayerStream {
		return false // no request
	}
	for _, p := range list {
		p.knows("action", "http")
		if matches(p.at("http"), q, w.Settings().Host(q.Service)) {
			return p.at("action").text() == "allow"
		}
	}
	return true // by default
}
