// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The judge reads native objects as Kuma's policy reference and its upgrade notes say that they work, from their JSON and not through the driver's
// types. Where releases differ it is the stricter one: a request that no rule of a MeshHTTPRoute takes gets a 404, as in 3.0.
//
// What no permission of ours selects is not ours to decide: other policies of the mesh do. The judge takes it for open, so that a driver which relied
// on Kuma being closed of itself would be found out.

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

func (t tree) number(otherwise float64) float64 {
	if f, ok := t.v.(float64); ok {
		return f
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
	return out
}

func parse(text []byte) native {
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		panic(err)
	}
	t := tree{v}
	meta := t.at("metadata")
	if meta.at("labels").at("kuma.io/mesh").text() == "" && t.at("kind").text()[:4] == "Mesh" {
		panic("an object without a mesh")
	}
	return native{t.at("kind").text(), meta.at("namespace").text(), meta.at("name").text(), t.at("spec")}
}

// labelled says whether a selection by labels finds what has labels.
func (t tree) labelled(labels map[string]string) bool {
	m, ok := t.v.(map[string]any)
	for k, v := range m {
		if labels[k] != v {
			return false
		}
	}
	return ok
}

// judgeRoute says which part of such requests goes to which port of which Service.
func judgeRoute(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	j := routeJudge{w: w, q: q, svc: w.Service(q.Service)}
	if j.svc == nil {
		return nil, fmt.Errorf("no Service %s", q.Service)
	}
	for i := range j.svc.Ports {
		if p := &j.svc.Ports[i]; j.port == nil && (q.Port == 0 || p.Number == q.Port) && (p.Protocol == model.UDP) == (q.Layer == model.LayerDatagram) {
			j.port = p
		}
	}
	own := map[string]float64{fmt.Sprintf("%s:%d", q.Service, j.port.Number): 1}
	if q.Layer == model.LayerDatagram {
		return own, nil // not captured
	}
	http, err := j.rules(read(objs), "MeshHTTPRoute")
	if err != nil {
		return nil, err
	}
	tcp, err := j.rules(read(objs), "MeshTCPRoute")
	switch {
	case err != nil:
		return nil, err
	case http != nil && q.Layer == model.LayerStream:
		return map[string]float64{}, nil // the port speaks HTTP alone now
	case http != nil:
		return j.http(http)
	case tcp != nil:
		tcp[0].knows("default")
		return j.shares(tcp[0].at("default"))
	}
	return own, nil
}

type routeJudge struct {
	w    model.World
	q    *model.Request
	svc  *model.Service
	port *model.ServicePort
}

func sectionOf(p *model.ServicePort, number uint16) string {
	if p.Name != "" {
		return p.Name
	}
	return strconv.Itoa(int(number))
}

func meshService(w model.World, n model.Name) map[string]string {
	out := map[string]string{"kuma.io/display-name": n.Name, "k8s.kuma.io/namespace": n.Namespace}
	if d := strings.Split(w.Settings().TrustDomain, "."); len(d) == 4 {
		out["kuma.io/zone"] = d[1]
	}
	return out
}

// rules are those of a kind of route for the port that is asked; nil where none speaks of it.
func (j *routeJudge) rules(objs []native, kind string) (out []tree, err error) {
	for _, o := range objs {
		if o.kind != kind {
			continue
		}
		o.spec.knows("targetRef", "to")
		if o.namespace != "kuma-system" || o.spec.at("targetRef").at("kind").text() != "Mesh" {
			return nil, fmt.Errorf("%s %s is not for every client", kind, o.name)
		}
		for _, to := range o.spec.at("to").list() {
			to.knows("targetRef", "rules")
			ref := to.at("targetRef")
			ref.knows("kind", "name", "labels", "sectionName")
			tagged := fmt.Sprintf("%s_%s_svc_%d", j.svc.Name.Name, j.svc.Name.Namespace, j.port.Number)
			if ref.at("name").text() != tagged && !ref.at("labels").labelled(meshService(j.w, j.svc.Name)) {
				continue
			}
			if s := ref.at("sectionName"); s.set() && s.text() != sectionOf(j.port, j.port.Number) {
				continue
			}
			if out != nil {
				return nil, fmt.Errorf("two %ss speak of %s", kind, j.svc.Name)
			}
			if out = to.at("rules").list(); len(out) == 0 {
				return nil, fmt.Errorf("no rules")
			}
		}
	}
	return out, nil
}

// asked is a match with what it leads to, and how much it says.
type asked struct {
	match, to tree
	rank      [4]int // less is asked first
}

func (j *routeJudge) http(rules []tree) (map[string]float64, error) {
	var all []asked
	for _, r := range rules {
		r.knows("matches", "default")
		if len(r.at("matches").list()) == 0 {
			return nil, fmt.Errorf("a rule without matches")
		}
		for _, m := range r.at("matches").list() {
			m.knows("path", "method", "headers")
			a := asked{match: m, to: r.at("default")}
			length := len(m.at("path").at("value").text())
			switch m.at("path").at("type").text() {
			case "Exact":
				a.rank[0], a.rank[1] = 0, 0
			case "PathPrefix":
				a.rank[0], a.rank[1] = 1, -length
			case "RegularExpression":
				a.rank[0], a.rank[1] = 2, -length
			default:
				a.rank[0] = 3
			}
			if !m.at("method").set() {
				a.rank[2] = 1
			}
			a.rank[3] = -len(m.at("headers").list())
			all = append(all, a)
		}
	}
	slices.SortStableFunc(all, func(a, b asked) int { return slices.Compare(a.rank[:], b.rank[:]) })
	for _, a := range all {
		if j.matches(a.match) {
			return j.shares(a.to)
		}
	}
	return map[string]float64{}, nil // 404
}

func (j *routeJudge) matches(m tree) bool {
	path, _, _ := strings.Cut(j.q.Path, "?")
	value := m.at("path").at("value").text()
	ok := true
	switch m.at("path").at("type").text() {
	case "Exact":
		ok = path == value
	case "PathPrefix":
		if value != "/" && (strings.HasSuffix(value, "/") || !strings.HasPrefix(value, "/")) {
			panic("Kuma refuses the prefix " + value)
		}
		ok = path == value || strings.HasPrefix(path, strings.TrimSuffix(value, "/")+"/")
	case "RegularExpression":
		ok = whole(value, path)
	}
	if m.at("method").set() {
		ok = ok && m.at("method").text() == j.q.Method
	}
	for _, h := range m.at("headers").list() {
		ok = ok && j.header(h)
	}
	return ok
}

func whole(expression, text string) bool {
	return regexp.MustCompile(`\A(?:` + expression + `)\z`).MatchString(text)
}

func (j *routeJudge) header(h tree) bool {
	h.knows("type", "name", "value")
	name := h.at("name").text()
	if strings.Contains(name, ":") || strings.ToLower(name) != name {
		panic("Kuma refuses the name " + name)
	}
	values, ok := j.q.Headers[name]
	got := strings.Join(values, ",")
	if name == "host" {
		if got, ok = j.q.Host, true; got == "" {
			got = j.w.Settings().Host(j.q.Service)
		}
	}
	switch want := h.at("value").text(); h.at("type").text() {
	case "", "Exact":
		return ok && got == want
	case "Prefix":
		return ok && strings.HasPrefix(got, want)
	case "Present":
		return ok
	case "Absent":
		return !ok
	default:
		return ok && whole(want, got)
	}
}

func (j *routeJudge) shares(d tree) (map[string]float64, error) {
	out, total := map[string]float64{}, 0.0
	list := d.at("backendRefs").list()
	for _, b := range list {
		total += b.at("weight").number(1)
	}
	for _, b := range list {
		b.knows("kind", "name", "labels", "port", "weight")
		n, port := model.Name{}, b.at("port").number(0)
		if labels := b.at("labels"); labels.set() {
			n = model.Name{Namespace: labels.at("k8s.kuma.io/namespace").text(), Name: labels.at("kuma.io/display-name").text()}
			if !labels.labelled(meshService(j.w, n)) {
				return nil, fmt.Errorf("nothing has the labels %v", labels.v)
			}
		} else {
			part := strings.Split(b.at("name").text(), "_")
			n = model.Name{Namespace: part[1], Name: part[0]}
			port, _ = strconv.ParseFloat(part[3], 64)
		}
		s := j.w.Service(n)
		if s == nil || s.Port(uint16(port)) == nil {
			return nil, fmt.Errorf("there is no %s port %v", n, port)
		}
		if weight := b.at("weight").number(1); weight > 0 {
			out[fmt.Sprintf("%s:%v", n, port)] += weight / total
		}
	}
	return out, nil
}

// judgeAdmit says whether a workload's proxy lets a request through.
func judgeAdmit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	return admits(read(objs), w, wl, port, q, w.Settings().Access != model.AccessDeny, false)
}

// admits asks all permissions. What none of them selects is open where otherwise says so; Kuma itself would refuse it. Alone: a permission that
// permits nobody refuses by itself, as in Kuma; without, it does not stand in the way of what others permit, so that a translation may not rest on it.
func admits(policies []native, w model.World, wl *model.Workload, port uint16, q *model.Request, otherwise, alone bool) bool {
	labels := map[string]string{"k8s.kuma.io/namespace": wl.Name.Namespace, "k8s.kuma.io/service-account": wl.Account}
	for k, v := range wl.Labels {
		labels[k] = v
	}
	id := q.SPIFFE
	if q.From.ServiceAccount != "" {
		id = "spiffe://" + w.Settings().TrustDomain + "/ns/" + q.From.Namespace + "/sa/" + q.From.ServiceAccount
	}
	selected, permits, allowed, denied := false, false, false, false
	particular, byTags := -1, ""
	for _, o := range policies {
		if o.kind != "MeshTrafficPermission" || o.namespace != wl.Name.Namespace && o.namespace != "kuma-system" {
			continue
		}
		o.spec.knows("targetRef", "rules", "from")
		ref := o.spec.at("targetRef")
		ref.knows("kind", "labels", "tags", "sectionName")
		rank := slices.Index([]string{"Mesh", "MeshSubset", "Dataplane"}, ref.at("kind").text())
		if rank == 2 && !ref.at("labels").labelled(labels) || rank == 1 && !ref.at("tags").labelled(labels) {
			continue
		}
		selected = true
		for _, r := range o.spec.at("rules").list() {
			permits = permits || len(r.at("default").at("allow").list()) > 0
		}
		if s := ref.at("sectionName"); s.set() && !slices.Contains(inbounds(w, wl, port), s.text()) {
			continue
		}
		for _, r := range o.spec.at("rules").list() {
			r.knows("default")
			r.at("default").knows("allow", "deny")
			denied = denied || slices.ContainsFunc(r.at("default").at("deny").list(), func(c tree) bool { return isCaller(c, id) })
			allowed = allowed || slices.ContainsFunc(r.at("default").at("allow").list(), func(c tree) bool { return isCaller(c, id) })
		}
		for _, f := range o.spec.at("from").list() {
			if f.at("targetRef").at("kind").text() != "Mesh" {
				panic("the judge knows callers of the whole mesh alone")
			}
			if !f.at("default").at("action").set() {
				continue // it says nothing
			}
			permits = true // or not, but that is decided here
			if rank >= particular {
				particular, byTags = rank, f.at("default").at("action").text()
			}
		}
	}
	if !selected {
		return otherwise
	}
	if !permits && !alone { // what permits nobody stands beside what others permit to everybody, and holds by what it denies alone
		return id != "" && !denied
	}
	return id != "" && !denied && (allowed || byTags == "Allow")
}

// inbounds are the names of a port of a workload: those of the Services' ports that lead to it.
func inbounds(w model.World, wl *model.Workload, port uint16) (out []string) {
	for _, n := range w.Selecting(wl) {
		s := w.Service(n)
		for i := range s.Ports {
			if p := &s.Ports[i]; wl.TargetPort(p) == port && p.Protocol != model.UDP {
				out = append(out, sectionOf(p, port))
			}
		}
	}
	return out
}

func isCaller(c tree, id string) bool {
	c.knows("spiffeID")
	value := c.at("spiffeID").at("value").text()
	switch c.at("spiffeID").at("type").text() {
	case "Exact":
		return id == value
	case "Prefix":
		return id != "" && strings.HasPrefix(id, value)
	}
	panic("a caller of no kind")
}
