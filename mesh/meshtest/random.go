// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// World is a state of the world that drivers are asked about.
type World struct {
	Name  string
	Store *store.Store
}

// randoms is how many worlds are made up beside those of the corpus.
const randoms = 150

// Worlds lists the worlds of the corpus and the made-up ones, which are the same in every run.
func Worlds(cases []Case) []World {
	var out []World
	for _, c := range cases {
		s, _ := c.World()
		bystanders(s)
		out = append(out, World{c.Name, s})
	}
	for i := range randoms {
		s := Random(rand.New(rand.NewPCG(uint64(i), 1)))
		bystanders(s)
		out = append(out, World{fmt.Sprintf("random-%d", i), s})
	}
	return out
}

var (
	somePaths   = []string{"", ".*", "/", "/api", "/api/.*", "/api$", "/api/v[0-9]+/.*", "/a|/b", "/items/[^/]+", ".*\\.css$", "^/static/", "/(api|web)/x"}
	someValues  = []string{".*", "beta", "beta.*", ".*beta", "v[12]", "(a|b)c"}
	someMethods = [][]string{nil, nil, {"GET"}, {"GET", "POST"}, {"DELETE"}}
	someHeaders = []string{"x-user", "user-agent", "host"}
	accounts    = []string{"web", "catalog", "payments", "intruder"}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// Random makes up a small world.
func Random(r *rand.Rand) *store.Store {
	s := store.New()
	set := func(f model.Fact) { s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	settings := *model.Defaults()
	if r.IntN(4) == 0 {
		settings.Access = model.AccessDeny
	}
	set(&settings)
	m := maker{r: r, set: set}
	for _, ns := range []string{"shop", "lab"} {
		m.namespace(ns)
	}
	return s
}

type maker struct {
	r   *rand.Rand
	set func(model.Fact)
}

func (m *maker) namespace(ns string) {
	r := m.r
	protocols := []model.Protocol{model.HTTP, model.HTTP, model.Auto, model.GRPC, model.TCP}
	first, second := pick(r, protocols), pick(r, protocols)
	for _, v := range []string{"catalog", "catalog-v1", "catalog-v2", "payments"} {
		account, _, _ := strings.Cut(v, "-")
		labels := map[string]string{"app": account, "version": v}
		selector := map[string]string{"version": v}
		if v == "catalog" {
			selector = map[string]string{"app": "catalog"}
		}
		svc := &model.Service{Name: model.Name{Namespace: ns, Name: v}, Selector: selector}
		svc.Ports = append(svc.Ports, model.ServicePort{Name: "one", Number: 80, Target: 8080, Protocol: first})
		if v != "catalog-v2" || r.IntN(2) == 0 {
			svc.Ports = append(svc.Ports, model.ServicePort{Name: "two", Number: 9000, Target: 9000, Protocol: second})
		}
		m.set(svc)
		m.set(&model.Workload{Kind: model.KindDeployment, Name: model.Name{Namespace: ns, Name: v}, Labels: labels, Selector: map[string]string{"version": v}, Account: account})
	}
	for i := range 3 {
		m.set(m.group(ns, i))
	}
	m.set(&model.PortRoute{Kind: model.KindTCPRoute, Name: model.Name{Namespace: ns, Name: "p0"}, Ports: model.PortSet(8080)})
	m.set(&model.PortRoute{Kind: model.KindTCPRoute, Name: model.Name{Namespace: ns, Name: "p1"}, Ports: model.AnyPort})
	for i := range r.IntN(3) {
		m.set(m.split(ns, i))
	}
	for i := range r.IntN(4) {
		m.set(m.permission(ns, i))
	}
}

func (m *maker) group(ns string, i int) *model.RouteGroup {
	g := &model.RouteGroup{Name: model.Name{Namespace: ns, Name: fmt.Sprintf("g%d", i)}, FullPath: m.r.IntN(5) == 0}
	for k := range 1 + m.r.IntN(2) {
		match := model.Match{Name: fmt.Sprintf("m%d", k), Path: pick(m.r, somePaths), Methods: pick(m.r, someMethods)}
		if m.r.IntN(3) == 0 {
			match.Headers = append(match.Headers, model.Header{Name: pick(m.r, someHeaders), Value: pick(m.r, someValues)})
		}
		g.Matches = append(g.Matches, match)
	}
	return g
}

func (m *maker) split(ns string, i int) *model.Split {
	s := &model.Split{Name: model.Name{Namespace: ns, Name: fmt.Sprintf("s%d", i)}, Root: "catalog"}
	for _, b := range []string{"catalog-v1", "catalog-v2", "catalog"} {
		if m.r.IntN(3) > 0 {
			s.Backends = append(s.Backends, model.Backend{Service: b, Weight: int64(m.r.IntN(4) * 30)})
		}
	}
	if m.r.IntN(2) == 0 {
		s.Groups = []string{fmt.Sprintf("g%d", m.r.IntN(4))} // g3 is not there
	}
	return s
}

func (m *maker) permission(ns string, i int) *model.Permission {
	r := m.r
	p := &model.Permission{Name: model.Name{Namespace: ns, Name: fmt.Sprintf("t%d", i)},
		Destination: model.Subject{Kind: model.KindServiceAccount, Namespace: ns, Name: pick(r, accounts[1:3])}}
	for range r.IntN(3) {
		p.Sources = append(p.Sources, model.Subject{Kind: model.KindServiceAccount, Namespace: pick(r, []string{"shop", "lab"}), Name: pick(r, accounts)})
	}
	for range 1 + r.IntN(2) {
		switch r.IntN(3) {
		case 0:
			p.Rules = append(p.Rules, model.Rule{Kind: model.KindTCPRoute, Name: fmt.Sprintf("p%d", r.IntN(2)), All: true})
		case 1:
			p.Rules = append(p.Rules, model.Rule{Kind: model.KindGroup, Name: fmt.Sprintf("g%d", r.IntN(4)), Matches: []string{"m0"}})
		default:
			p.Rules = append(p.Rules, model.Rule{Kind: model.KindGroup, Name: fmt.Sprintf("g%d", r.IntN(3)), All: true})
		}
	}
	if r.IntN(6) == 0 {
		p.Port = 8080
	}
	return p
}

// vocabulary is what requests to a world are made of, so that they meet its conditions about as often as not.
type vocabulary struct {
	services []*model.Service
	callers  []caller
	matches  []model.Match
	paths    []string
	methods  []string
	headers  []model.Header
	domain   *model.Settings
}

// caller is who asks: an account, an ID of another domain, or nobody that is known.
type caller struct {
	model.Identity
	spiffe string
	odd    bool // nobody speaks of it
}

func (c caller) compare(o caller) int {
	return cmp.Or(c.Identity.Compare(o.Identity), strings.Compare(c.spiffe, o.spiffe))
}

func words(s *store.Store) *vocabulary {
	v := &vocabulary{domain: s.Settings(), methods: []string{"GET", "POST", "DELETE"}, callers: []caller{{}}}
	for _, f := range slices.SortedFunc(s.Facts, func(a, b model.Fact) int { return a.Ref().Compare(b.Ref()) }) {
		switch f := f.(type) {
		case *model.Service:
			if len(f.Ports) > 0 && !f.Assumed {
				v.services = append(v.services, f)
			}
		case *model.Permission:
			for _, o := range f.Sources {
				if o.Kind == model.KindServiceAccount {
					v.callers = append(v.callers, caller{Identity: model.Identity{Namespace: o.Namespace, ServiceAccount: o.Name}})
				}
			}
		case *model.Binding:
			if f.Account != "" {
				v.callers = append(v.callers, caller{Identity: model.Identity{Namespace: f.Name.Namespace, ServiceAccount: f.Account}})
			}
			for _, id := range f.SPIFFE {
				v.callers = append(v.callers, v.named(id))
			}
		case *model.RouteGroup:
			v.matches = append(v.matches, f.Matches...)
			for _, m := range f.Matches {
				v.paths = append(v.paths, m.Path)
				v.methods = append(v.methods, m.Methods...)
				v.headers = append(v.headers, m.Headers...)
			}
		}
	}
	v.callers = append(v.callers, caller{Identity: model.Identity{Namespace: "nowhere", ServiceAccount: "nobody"}, odd: true}, caller{spiffe: "spiffe://elsewhere.example/nobody", odd: true})
	slices.SortFunc(v.services, func(a, b *model.Service) int { return a.Name.Compare(b.Name) })
	for _, c := range slices.Clone(v.callers) {
		if c.Namespace != "" { // one beside it, and its namesake elsewhere
			v.callers = append(v.callers, caller{Identity: model.Identity{Namespace: c.Namespace, ServiceAccount: "neighbour"}, odd: true},
				caller{Identity: model.Identity{Namespace: "elsewhere", ServiceAccount: c.ServiceAccount}, odd: true})
		}
	}
	slices.SortFunc(v.callers, caller.compare)
	v.callers = slices.Compact(v.callers)
	slices.Sort(v.paths)
	slices.Sort(v.methods)
	slices.SortFunc(v.headers, func(a, b model.Header) int { return strings.Compare(a.Name+a.Value, b.Name+b.Value) })
	return v
}

// named is the caller behind an ID: an account where the domain is the mesh's own.
func (v *vocabulary) named(id string) caller {
	if own, ok := model.ParseSPIFFE(id, v.domain.TrustDomain); ok {
		return caller{Identity: own}
	}
	return caller{spiffe: id}
}

func (v *vocabulary) request(r *rand.Rand) *model.Request {
	if len(v.services) == 0 {
		return nil
	}
	svc := pick(r, v.services)
	p := pick(r, svc.Ports)
	c := pick(r, v.callers)
	q := &model.Request{From: c.Identity, SPIFFE: c.spiffe, Service: svc.Name, Port: p.Number, Host: v.domain.Host(svc.Name), Headers: map[string][]string{}}
	switch {
	case p.Protocol == model.UDP:
		q.Layer = model.LayerDatagram
		return q
	case !p.Protocol.CarriesHTTP(), p.Protocol == model.Auto && r.IntN(3) == 0:
		q.Layer = model.LayerStream
		return q
	}
	q.Method, q.Path = pick(r, v.methods), v.path(r)
	for _, h := range v.headers {
		if r.IntN(2) == 0 && !h.Authority() {
			q.Headers[h.Name] = []string{sample(r, h.Value, "other")}
		}
	}
	return q
}

func (v *vocabulary) path(r *rand.Rand) string {
	fixed := []string{"/", "/api", "/apix", "/api/v1/x", "//api", "/%61pi", "/a;b", "/items/1/2"}
	if len(v.paths) == 0 || r.IntN(4) == 0 {
		return pick(r, fixed)
	}
	p := sample(r, pick(r, v.paths), pick(r, fixed))
	if r.IntN(4) == 0 {
		p += pick(r, []string{"x", "/x", "?q=/api"})
	}
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	return p
}

// sample is a text that an expression covers, or another where it has none to offer.
func sample(r *rand.Rand, expression, other string) string {
	if r.IntN(5) == 0 {
		return other
	}
	return covered(r, expression, other)
}

// covered is the same without chance.
func covered(r *rand.Rand, expression, other string) string {
	re, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return other
	}
	var b strings.Builder
	write(r, &b, re.Simplify())
	return b.String()
}

func write(r *rand.Rand, b *strings.Builder, re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		for range 10 {
			i := 2 * r.IntN(len(re.Rune)/2)
			if c := re.Rune[i]; c > ' ' && c < 127 {
				b.WriteRune(c)
				return
			}
		}
		b.WriteByte('k')
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte("az09-"[r.IntN(5)])
	case syntax.OpCapture, syntax.OpPlus:
		write(r, b, re.Sub[0])
	case syntax.OpStar, syntax.OpQuest:
		for range r.IntN(2) {
			write(r, b, re.Sub[0])
		}
	case syntax.OpConcat:
		for _, s := range re.Sub {
			write(r, b, s)
		}
	case syntax.OpAlternate:
		write(r, b, re.Sub[r.IntN(len(re.Sub))])
	}
}

// Requests are random ones of a world, for what a driver's own tests ask; the same each time.
func Requests(s *store.Store, n int) (out []*model.Request) {
	r, v := rand.New(rand.NewPCG(13, uint64(n))), words(s)
	for range n {
		if q := v.request(r); q != nil {
			out = append(out, q)
		}
	}
	return out
}
