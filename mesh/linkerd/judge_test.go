// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The judge reads native objects as Linkerd's reference pages and its proxy say that they work, from their JSON and not through the
// driver's types. Linkerd has changed the rank of methods and headers between releases, and the age of objects decides among routes:
// the judge asks in every order, and a driver whose objects mean different things in them fails.

// tree is a part of an object.
type tree struct{ v any }

func (t tree) at(path ...string) tree {
	for _, p := range path {
		m, _ := t.v.(map[string]any)
		t = tree{m[p]}
	}
	return t
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

func (t tree) or(text string) string { return cmp.Or(t.text(), text) }

func (t tree) number(otherwise int) int {
	if f, ok := t.v.(float64); ok {
		return int(f)
	}
	return otherwise
}

// knows panics on a field that the judge would overlook.
func (t tree) knows(fields ...string) {
	m, _ := t.v.(map[string]any)
	for k := range m {
		if !slices.Contains(fields, k) {
			panic("the judge does not know the field " + k)
		}
	}
}

type told struct {
	group, kind, namespace, name string
	spec                         tree
}

var seen = struct {
	sync.Mutex
	first *mesh.Object
	n     int
	out   []told
}{}

// read parses objects; those of one world are asked for many times in a row.
func read(objs []mesh.Object) []told {
	if len(objs) == 0 {
		return nil
	}
	seen.Lock()
	defer seen.Unlock()
	if seen.first == &objs[0] && seen.n == len(objs) {
		return seen.out
	}
	var out []told
	for i := range objs {
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		out = append(out, parse(string(text))...)
	}
	seen.first, seen.n, seen.out = &objs[0], len(objs), out
	return out
}

func parse(text string) (out []told) {
	dec := json.NewDecoder(strings.NewReader(text))
	for dec.More() {
		var v any
		if err := dec.Decode(&v); err != nil {
			panic(err)
		}
		t := tree{v}
		group, _, _ := strings.Cut(t.at("apiVersion").text(), "/")
		out = append(out, told{group, t.at("kind").text(), t.at("metadata", "namespace").text(), t.at("metadata", "name").text(), t.at("spec")})
	}
	return out
}

// asked is a request as a proxy sees it when it looks for a route.
type asked struct {
	method, path string
	headers      map[string][]string
}

func see(q *model.Request) *asked {
	path, _, _ := strings.Cut(q.Path, "?")
	return &asked{q.Method, path, q.Headers}
}

// rank is what a match says of a request.
type rank struct{ path, method, headers int }

// orders are those in which releases compare ranks.
var orders = []func(a, b rank) int{
	func(a, b rank) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method), cmp.Compare(a.headers, b.headers))
	},
	func(a, b rank) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.headers, b.headers), cmp.Compare(a.method, b.method))
	},
}

// chosen lists the rules that may be asked: for each order of ranks and of ages the best match, and of equals the first. A route is nil where none is.
func (r *asked) chosen(routes []told) (out []choice) {
	for _, order := range orders {
		for _, backwards := range []bool{false, true} {
			list := slices.Clone(routes)
			slices.SortFunc(list, func(a, b told) int { return cmp.Compare(a.name, b.name) })
			if backwards {
				slices.Reverse(list)
			}
			var best choice
			for i := range list {
				for _, rule := range list[i].spec.at("rules").list() {
					rule.knows("matches", "backendRefs", "filters")
					if got, ok := r.meets(rule, order); ok && (best.route == nil || order(got, best.rank) > 0) {
						best = choice{&list[i], rule, got}
					}
				}
			}
			out = append(out, best)
		}
	}
	return out
}

type choice struct {
	route *told
	rule  tree
	rank  rank
}

func (r *asked) meets(rule tree, order func(a, b rank) int) (best rank, ok bool) {
	list := rule.at("matches").list()
	if len(list) == 0 {
		return rank{path: 1}, true
	}
	for _, m := range list {
		if got, hit := r.match(m); hit && (!ok || order(got, best) > 0) {
			best, ok = got, true
		}
	}
	return best, ok
}

func (r *asked) match(m tree) (out rank, ok bool) {
	m.knows("path", "method", "headers")
	if m.at("method").set() {
		out.method = 1
		if m.at("method").text() != r.method {
			return out, false
		}
	}
	for _, h := range m.at("headers").list() {
		h.knows("type", "name", "value")
		out.headers++
		if !slices.ContainsFunc(r.headers[strings.ToLower(h.at("name").text())], func(v string) bool {
			return h.at("type").or("Exact") == "Exact" && v == h.at("value").text() || h.at("type").text() == "RegularExpression" && spans(h.at("value").text(), v)
		}) {
			return out, false
		}
	}
	p := m.at("path")
	p.knows("type", "value")
	value := p.at("value").or("/")
	switch p.at("type").or("PathPrefix") {
	case "Exact":
		out.path = len(r.path)
		return out, value == r.path
	case "RegularExpression":
		out.path = len(r.path)
		return out, spans(value, r.path)
	}
	if value == "/" {
		out.path = 1
		return out, true
	}
	value = strings.TrimRight(value, "/")
	rest, ok := strings.CutPrefix(strings.TrimRight(r.path, "/"), value)
	out.path = len(value)
	return out, ok && (rest == "" || rest[0] == '/')
}

var compiled sync.Map

// spans says whether the leftmost match of an expression, and of alternatives the first, is all of a text.
func spans(expression, text string) bool {
	re, ok := compiled.Load(expression)
	if !ok {
		re, _ = compiled.LoadOrStore(expression, regexp.MustCompile(expression))
	}
	at := re.(*regexp.Regexp).FindStringIndex(text)
	return at != nil && at[0] == 0 && at[1] == len(text)
}

// judgeRoute says which part of such requests goes to which port of which Service.
func judgeRoute(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	s := w.Service(q.Service)
	if s == nil {
		return nil, fmt.Errorf("no Service %s", q.Service)
	}
	j := routeJudge{all: read(objs), w: w, q: q, port: int(q.Port)}
	if q.Port == 0 {
		j.port = int(s.Ports[0].Number)
	}
	j.own = map[string]float64{fmt.Sprintf("%s:%d", q.Service, j.port): 1}
	if q.Layer == model.LayerDatagram {
		return j.own, nil // not captured
	}
	return j.route(s.Port(uint16(j.port)).Protocol)
}

type routeJudge struct {
	all  []told
	w    model.World
	q    *model.Request
	port int
	own  map[string]float64
}

// route asks the profile of a Service first; then a port is looked at in one way alone, by its requests where there are routes for them.
func (j *routeJudge) route(p model.Protocol) (map[string]float64, error) {
	for _, o := range j.all {
		if o.kind == "ServiceProfile" && o.namespace == j.q.Service.Namespace && o.name == j.w.Settings().Host(j.q.Service) &&
			len(o.spec.at("routes").list())+len(o.spec.at("dstOverrides").list()) > 0 {
			return j.profile(o.spec)
		}
	}
	web, raw := j.attached("HTTPRoute"), j.attached("TCPRoute")
	blind := p == model.TCP || p == model.TLS || p == model.Auto && slices.Contains([]int{25, 587, 3306, 4444, 5432, 6379, 9300, 11211}, j.port)
	switch {
	case blind && len(raw) > 0, !blind && len(web) == 0 && len(raw) > 0:
		return j.shares(raw[0].spec.at("rules").list()[0].at("backendRefs").list())
	case blind, len(web) == 0, j.q.Layer == model.LayerStream:
		return j.own, nil
	}
	var out map[string]float64
	for i, c := range see(j.q).chosen(web) {
		got := map[string]float64{} // 404
		if c.route != nil {
			var err error
			if got, err = j.shares(c.rule.at("backendRefs").list()); err != nil {
				return nil, err
			}
		}
		if i > 0 && fmt.Sprint(got) != fmt.Sprint(out) {
			return nil, fmt.Errorf("it depends on the release, or on the age of objects: %v or %v", out, got)
		}
		out = got
	}
	return out, nil
}

// attached lists the routes of a kind that are the producer's own.
func (j *routeJudge) attached(kind string) (out []told) {
	for _, o := range j.all {
		if o.kind != kind || o.namespace != j.q.Service.Namespace {
			continue
		}
		o.spec.knows("parentRefs", "rules")
		for _, p := range o.spec.at("parentRefs").list() {
			p.knows("group", "kind", "name", "port")
			if g := p.at("group"); g.set() && (g.text() == "" || g.text() == "core") && p.at("kind").text() == "Service" && p.at("name").text() == j.q.Service.Name && p.at("port").number(j.port) == j.port {
				out = append(out, o)
			}
		}
	}
	return out
}

func (j *routeJudge) profile(spec tree) (map[string]float64, error) {
	spec.knows("dstOverrides", "routes")
	list := spec.at("dstOverrides").list()
	if len(list) == 0 {
		return j.own, nil
	}
	out, total := map[string]float64{}, 0
	for _, d := range list {
		total += d.at("weight").number(0)
	}
	for _, d := range list {
		name, ok := strings.CutSuffix(d.at("authority").text(), ".svc."+j.w.Settings().ClusterDomain)
		svc, ns, two := strings.Cut(name, ".")
		if !ok || !two {
			return nil, fmt.Errorf("there is no %s", d.at("authority").text())
		}
		if n := d.at("weight").number(0); n > 0 {
			out[fmt.Sprintf("%s/%s:%d", ns, svc, j.port)] += float64(n) / float64(total)
		}
	}
	return out, nil
}

func (j *routeJudge) shares(list []tree) (map[string]float64, error) {
	if len(list) == 0 {
		return j.own, nil
	}
	out, total := map[string]float64{}, 0
	for _, b := range list {
		total += b.at("weight").number(1)
	}
	for _, b := range list {
		b.knows("name", "port", "weight")
		name := model.Name{Namespace: j.q.Service.Namespace, Name: b.at("name").text()}
		if j.w.Service(name) == nil || !b.at("port").set() {
			return nil, fmt.Errorf("no Service %s, or no port", name)
		}
		if n := b.at("weight").number(1); n > 0 {
			out[fmt.Sprintf("%s:%d", name, b.at("port").number(0))] += float64(n) / float64(total)
		}
	}
	return out, nil
}

// judgeAdmit says whether a workload's proxy lets a request through. Without a Server a port follows the default policy, which lets everybody in.
func judgeAdmit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	return admits(read(objs), w, wl, port, q)
}

func admits(all []told, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	if q.Layer == model.LayerDatagram {
		return false // a proxy lets nothing through that it does not see
	}
	j := admitJudge{all: all, wl: wl, port: port, q: q, caller: q.SPIFFE}
	if q.From.ServiceAccount != "" {
		j.caller = q.From.ServiceAccount + "." + q.From.Namespace + ".serviceaccount.identity.linkerd." + w.Settings().TrustDomain
	}
	var server *told
	for i := range all {
		if o := &all[i]; o.kind == "Server" && o.namespace == wl.Name.Namespace && j.selects(o.spec) {
			if server != nil {
				panic(fmt.Sprintf("two Servers for port %d of %s: Linkerd refuses the second", port, wl.Ref()))
			}
			server = o
		}
	}
	return server == nil || j.server(server)
}

type admitJudge struct {
	all    []told
	wl     *model.Workload
	port   uint16
	q      *model.Request
	caller string
}

func (j *admitJudge) selects(spec tree) bool {
	spec.knows("podSelector", "port", "proxyProtocol", "accessPolicy")
	spec.at("podSelector").knows("matchLabels")
	labels, _ := spec.at("podSelector", "matchLabels").v.(map[string]any)
	for k, v := range labels {
		if got, ok := j.wl.Labels[k]; !ok || got != v {
			return false
		}
	}
	named := slices.ContainsFunc(j.wl.Ports, func(c model.ContainerPort) bool {
		return c.Number == j.port && c.Name == spec.at("port").text() && c.Name != ""
	})
	return named || spec.at("port").number(0) == int(j.port)
}

func (j *admitJudge) server(s *told) bool {
	open := false
	switch s.spec.at("accessPolicy").or("deny") {
	case "deny":
	case "all-unauthenticated", "audit":
		open = true
	case "all-authenticated":
		open = j.caller != ""
	default:
		panic("the judge does not know the access policy " + s.spec.at("accessPolicy").text())
	}
	all := open || j.authorized(s, "policy.linkerd.io", "Server") || j.authorization(s)
	protocol := s.spec.at("proxyProtocol").or("unknown")
	if !slices.Contains([]string{"unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS"}, protocol) {
		panic("the judge does not know the protocol " + protocol)
	}
	if protocol == "opaque" || j.q.Layer == model.LayerStream {
		return all && protocol != "HTTP/1" && protocol != "HTTP/2"
	}
	var routes []told
	for _, o := range j.all {
		if o.kind != "HTTPRoute" || o.namespace != s.namespace {
			continue
		}
		for _, p := range o.spec.at("parentRefs").list() {
			if p.at("group").text() == "policy.linkerd.io" && p.at("kind").text() == "Server" && p.at("name").text() == s.name {
				routes = append(routes, o)
			}
		}
	}
	r := see(j.q)
	if len(routes) == 0 { // Linkerd's own two routes
		return all || r.method == "GET" && slices.ContainsFunc(j.wl.Probes, func(p model.Probe) bool { return p.Port == j.port && p.Path == r.path && p.Path != "" })
	}
	return j.routed(r, routes, all)
}

// routed asks the chosen route, which the Server's own authorizations open too.
func (j *admitJudge) routed(r *asked, routes []told, all bool) (out bool) {
	headers := map[string][]string{}
	for k, v := range r.headers {
		headers[k] = v
	}
	delete(headers, "l5d-client-id")
	if j.caller != "" {
		headers["l5d-client-id"] = []string{j.caller}
	}
	r.headers = headers
	for i, c := range r.chosen(routes) {
		got := c.route != nil && (all || j.authorized(c.route, c.route.group, "HTTPRoute"))
		if i > 0 && got != out {
			panic(fmt.Sprintf("whether %s is admitted to %s %s at port %d of %s depends on the release, or on the age of objects", j.caller, r.method, r.path, j.port, j.wl.Ref()))
		}
		out = got
	}
	return out
}

// authorized says whether a policy admits the caller to a target: one all of whose authentications hold. One that names what is not there is ignored.
func (j *admitJudge) authorized(target *told, group, kind string) bool {
	return slices.ContainsFunc(j.all, func(o told) bool {
		if o.kind != "AuthorizationPolicy" || o.namespace != target.namespace {
			return false
		}
		o.spec.knows("targetRef", "requiredAuthenticationRefs")
		ref := o.spec.at("targetRef")
		if ns := ref.at("kind").text() == "Namespace" && kind == "Server" && ref.at("name").text() == target.namespace; !ns &&
			(ref.at("group").text() != group || ref.at("kind").text() != kind || ref.at("name").text() != target.name) {
			return false
		}
		return !slices.ContainsFunc(o.spec.at("requiredAuthenticationRefs").list(), func(a tree) bool { return !j.authentic(a, o.namespace) })
	})
}

func (j *admitJudge) authentic(ref tree, namespace string) bool {
	namespace = ref.at("namespace").or(namespace)
	if ref.at("kind").text() == "ServiceAccount" {
		return j.is(ref.at("name").text(), namespace)
	}
	for _, o := range j.all {
		if o.kind != ref.at("kind").text() || o.namespace != namespace || o.name != ref.at("name").text() || ref.at("group").text() != "policy.linkerd.io" {
			continue
		}
		if o.kind == "NetworkAuthentication" {
			return slices.ContainsFunc(o.spec.at("networks").list(), func(n tree) bool { return n.at("cidr").text() == "0.0.0.0/0" })
		}
		o.spec.knows("identities", "identityRefs")
		if o.spec.at("identities").set() == o.spec.at("identityRefs").set() {
			panic("a MeshTLSAuthentication has one of its two")
		}
		return j.listed(o.spec.at("identities")) || slices.ContainsFunc(o.spec.at("identityRefs").list(), func(r tree) bool {
			if k := r.at("kind").text(); k != "ServiceAccount" && k != "Namespace" {
				panic("an identity is that of a ServiceAccount, or of all of a Namespace: " + k)
			}
			ns := r.at("namespace").or(namespace)
			if !r.at("name").set() {
				_, rest, _ := strings.Cut(j.caller, ".")
				return strings.HasPrefix(rest, ns+".serviceaccount.identity.")
			}
			return j.is(r.at("name").text(), ns)
		})
	}
	return false
}

func (j *admitJudge) is(account, namespace string) bool {
	return strings.HasPrefix(j.caller, account+"."+namespace+".serviceaccount.identity.linkerd.cluster.local")
}

func (j *admitJudge) listed(identities tree) bool {
	return slices.ContainsFunc(identities.list(), func(v tree) bool {
		rest, many := strings.CutPrefix(v.text(), "*")
		return v.text() == j.caller && j.caller != "" || many && j.caller != "" && strings.HasSuffix(j.caller, rest)
	})
}

// authorization is the same by ServerAuthorizations.
func (j *admitJudge) authorization(s *told) bool {
	return slices.ContainsFunc(j.all, func(o told) bool {
		if o.kind != "ServerAuthorization" || o.namespace != s.namespace || o.spec.at("server", "name").text() != s.name {
			return false
		}
		o.spec.knows("server", "client")
		o.spec.at("client").knows("meshTLS")
		tls := o.spec.at("client", "meshTLS")
		tls.knows("identities", "serviceAccounts")
		return j.listed(tls.at("identities")) || slices.ContainsFunc(tls.at("serviceAccounts").list(), func(a tree) bool { return j.is(a.at("name").text(), a.at("namespace").or(s.namespace)) })
	})
}
