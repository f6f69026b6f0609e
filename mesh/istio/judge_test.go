// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The judge reads native objects as Istio's reference pages for VirtualService and AuthorizationPolicy say that they work, from
// their JSON and not through the driver's types. Paths are judged as the proxy passes them on, which is after it normalised them.

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

func (t tree) texts() (out []string) {
	for _, v := range t.list() {
		out = append(out, v.text())
	}
	return out
}

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

type native struct {
	kind, namespace, name string
	spec                  tree
}

// parsed is what was read last: objects of one world are asked for many times in a row.
var parsed struct {
	sync.Mutex
	first *mesh.Object
	n     int
	out   []native
}

func read(objs []mesh.Object) (out []native) {
	if len(objs) == 0 {
		return nil
	}
	parsed.Lock()
	defer parsed.Unlock()
	if parsed.first == &objs[0] && parsed.n == len(objs) {
		return parsed.out
	}
	for i := range objs {
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			panic(err)
		}
		t := tree{v}
		meta := t.at("metadata")
		out = append(out, native{t.at("kind").text(), meta.at("namespace").text(), meta.at("name").text(), t.at("spec")})
	}
	parsed.first, parsed.n, parsed.out = &objs[0], len(objs), out
	return out
}

// judgeRoute says which part of such requests goes to which port of which Service.
func judgeRoute(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	s := w.Service(q.Service)
	if s == nil {
		return nil, fmt.Errorf("no Service %s", q.Service)
	}
	j := routeJudge{w: w, q: q, host: w.Settings().Host(q.Service), port: q.Port}
	if j.port == 0 {
		j.port = s.Ports[0].Number
	}
	own := map[string]float64{fmt.Sprintf("%s:%d", q.Service, j.port): 1}
	if q.Layer == model.LayerDatagram {
		return own, nil // not captured
	}
	var vs *native
	for _, o := range read(objs) {
		if o.kind == "VirtualService" && slices.Contains(o.spec.at("hosts").texts(), j.host) {
			if vs != nil {
				return nil, fmt.Errorf("two VirtualServices for %s: only one is taken", j.host)
			}
			vs = &o
		}
	}
	if vs == nil {
		return own, nil
	}
	vs.spec.knows("hosts", "http", "tls", "tcp")
	return j.route(vs.spec, s.Port(j.port).Protocol, own)
}

type routeJudge struct {
	w    model.World
	q    *model.Request
	host string
	port uint16
}

func (j *routeJudge) route(spec tree, p model.Protocol, own map[string]float64) (map[string]float64, error) {
	field, match := "http", j.request
	switch {
	case j.q.Layer == model.LayerStream && p == model.TLS:
		field, match = "tls", j.connection
	case j.q.Layer == model.LayerStream:
		field, match = "tcp", j.connection
	}
	mine := false // something is said of this port
	for _, r := range spec.at(field).list() {
		r.knows("name", "match", "route")
		all := r.at("match").list()
		if len(all) == 0 || slices.ContainsFunc(all, match) {
			return j.shares(r.at("route").list())
		}
		mine = mine || field == "http" && slices.ContainsFunc(all, j.onPort)
	}
	if mine {
		return map[string]float64{}, nil // 404
	}
	return own, nil
}

func (j *routeJudge) onPort(m tree) bool {
	return m.at("port").number(int(j.port)) == int(j.port)
}

func (j *routeJudge) connection(m tree) bool {
	m.knows("port", "sniHosts")
	sni := m.at("sniHosts")
	return j.onPort(m) && (!sni.set() || slices.Contains(sni.texts(), j.name()))
}

func (j *routeJudge) name() string {
	if j.q.Host != "" {
		return j.q.Host
	}
	return j.host
}

func (j *routeJudge) request(m tree) bool {
	m.knows("uri", "method", "authority", "headers", "port")
	path, _, _ := strings.Cut(j.q.Path, "?")
	if !j.onPort(m) || !stringMatches(m.at("uri"), path) || !stringMatches(m.at("method"), j.q.Method) || !stringMatches(m.at("authority"), j.name()) {
		return false
	}
	headers, _ := m.at("headers").v.(map[string]any)
	for name, cond := range headers {
		values, ok := j.q.Headers[name]
		if !ok || !stringMatches(tree{cond}, strings.Join(values, ",")) {
			return false
		}
	}
	return true
}

func stringMatches(m tree, text string) bool {
	m.knows("exact", "prefix", "regex")
	switch {
	case !m.set():
		return true
	case m.at("exact").set():
		return text == m.at("exact").text()
	case m.at("prefix").set():
		return strings.HasPrefix(text, m.at("prefix").text())
	}
	return compiled(`\A(?:` + m.at("regex").text() + `)\z`).MatchString(text)
}

func (j *routeJudge) shares(list []tree) (map[string]float64, error) {
	out, total := map[string]float64{}, 0
	for _, d := range list {
		total += d.at("weight").number(0)
	}
	for _, d := range list {
		d.knows("destination", "weight")
		d.at("destination").knows("host", "port")
		part := 1.0
		if len(list) > 1 {
			part = float64(d.at("weight").number(0)) / float64(total)
		}
		if part == 0 {
			continue
		}
		host := d.at("destination").at("host").text()
		name, ok := strings.CutSuffix(host, ".svc."+j.w.Settings().ClusterDomain)
		svc, ns, two := strings.Cut(name, ".")
		if !ok || !two || j.w.Service(model.Name{Namespace: ns, Name: svc}) == nil {
			return nil, fmt.Errorf("there is no host %s", host)
		}
		port := d.at("destination").at("port").at("number").number(int(j.port))
		out[fmt.Sprintf("%s/%s:%d", ns, svc, port)] += part
	}
	return out, nil
}

// judgeAdmit says whether a workload's sidecar lets a request through.
func judgeAdmit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	if q.Layer == model.LayerDatagram {
		return false // a sidecar lets nothing through that it does not see
	}
	j := admitJudge{q: q, port: port, host: q.Host, caller: strings.TrimPrefix(q.SPIFFE, "spiffe://")}
	if j.host == "" {
		j.host = w.Settings().Host(q.Service)
	}
	if q.From.ServiceAccount != "" {
		j.caller = w.Settings().TrustDomain + "/ns/" + q.From.Namespace + "/sa/" + q.From.ServiceAccount
	}
	return j.admits(read(objs), wl)
}

func (j *admitJudge) admits(policies []native, wl *model.Workload) bool {
	applies, admitted := false, false
	for _, o := range policies {
		if o.kind != "AuthorizationPolicy" || o.namespace != wl.Name.Namespace && o.namespace != "istio-system" {
			continue
		}
		o.spec.knows("selector", "action", "rules")
		labels, _ := o.spec.at("selector").at("matchLabels").v.(map[string]any)
		selected := true
		for k, v := range labels {
			got, ok := wl.Labels[k]
			selected = selected && ok && got == v
		}
		if !selected {
			continue
		}
		j.policy = &o
		switch met := slices.ContainsFunc(o.spec.at("rules").list(), j.rule); o.spec.at("action").text() {
		case "DENY":
			if met {
				return false
			}
		case "", "ALLOW":
			applies, admitted = true, admitted || met
		default:
			panic("the judge knows ALLOW and DENY alone")
		}
	}
	return admitted || !applies
}

type admitJudge struct {
	q            *model.Request
	port         uint16
	host, caller string
	policy       *native // that is being asked
}

// rule says whether a request meets one of the sources, one of the operations and all conditions.
func (j *admitJudge) rule(r tree) bool {
	r.knows("from", "to", "when")
	return (!r.at("from").set() || slices.ContainsFunc(r.at("from").list(), j.from)) &&
		(!r.at("to").set() || slices.ContainsFunc(r.at("to").list(), j.to)) &&
		!slices.ContainsFunc(r.at("when").list(), func(c tree) bool { return !j.when(c) })
}

func (j *admitJudge) from(f tree) bool {
	s := f.at("source")
	s.knows("principals", "serviceAccounts", "namespaces", "notPrincipals")
	_, ns, _ := strings.Cut(j.caller, "/ns/")
	ns, account, _ := strings.Cut(ns, "/sa/")
	return (!s.at("principals").set() || j.caller != "" && anyOf(s.at("principals"), j.caller)) &&
		(!s.at("notPrincipals").set() || !anyOf(s.at("notPrincipals"), j.caller)) &&
		(!s.at("namespaces").set() || j.caller != "" && anyOf(s.at("namespaces"), ns)) &&
		(!s.at("serviceAccounts").set() || j.caller != "" && slices.ContainsFunc(s.at("serviceAccounts").texts(), func(a string) bool {
			return a == ns+"/"+account || ns == j.policy.namespace && a == account
		}))
}

func (j *admitJudge) to(t tree) bool {
	op := t.at("operation")
	op.knows("ports", "methods", "paths", "hosts", "notPaths")
	path, _, _ := strings.Cut(j.q.Path, "?")
	if j.q.Layer != model.LayerHTTP && (op.at("methods").set() || op.at("paths").set() || op.at("hosts").set() || op.at("notPaths").set()) {
		return false
	}
	return (!op.at("ports").set() || slices.Contains(op.at("ports").texts(), strconv.Itoa(int(j.port)))) &&
		(!op.at("methods").set() || anyOf(op.at("methods"), j.q.Method)) &&
		(!op.at("hosts").set() || slices.ContainsFunc(op.at("hosts").texts(), func(h string) bool { return meets(strings.ToLower(h), strings.ToLower(j.host)) })) &&
		(!op.at("notPaths").set() || !slices.ContainsFunc(op.at("notPaths").texts(), func(p string) bool { return pathMeets(p, path) })) &&
		(!op.at("paths").set() || slices.ContainsFunc(op.at("paths").texts(), func(p string) bool { return pathMeets(p, path) }))
}

func (j *admitJudge) when(c tree) bool {
	c.knows("key", "values")
	name, ok := strings.CutPrefix(c.at("key").text(), "request.headers[")
	if !ok {
		panic("the judge knows conditions on headers alone")
	}
	if j.q.Layer != model.LayerHTTP {
		return false
	}
	name = strings.ToLower(strings.TrimSuffix(name, "]"))
	values, ok := j.q.Headers[name]
	if name == ":authority" {
		values, ok = []string{j.host}, true
	}
	return ok && slices.ContainsFunc(c.at("values").texts(), func(v string) bool { return v == "*" || meets(v, strings.Join(values, ",")) })
}

func anyOf(list tree, text string) bool {
	return slices.ContainsFunc(list.texts(), func(v string) bool { return meets(v, text) })
}

// meets is Istio's match of a field: exact, a prefix before *, a suffix after *, or * for what is there.
func meets(value, text string) bool {
	if value == "*" {
		return text != ""
	}
	if end, ok := strings.CutPrefix(value, "*"); ok {
		return strings.HasSuffix(text, end)
	}
	if begin, ok := strings.CutSuffix(value, "*"); ok {
		return strings.HasPrefix(text, begin)
	}
	return value == text
}

// pathMeets knows path templates too: {*} is a segment, {**} any number of them.
func pathMeets(value, path string) bool {
	if !strings.Contains(value, "{*") {
		return meets(value, path)
	}
	const letters = `a-zA-Z0-9\-._~%!$&'()+,;:@=`
	re := strings.NewReplacer(`\{\*\*\}`, "["+letters+"/]*", `\{\*\}`, "["+letters+"]+").Replace(regexp.QuoteMeta(value))
	return compiled(`\A` + re + `\z`).MatchString(path)
}

var expressions sync.Map

// compiled compiles an expression once.
func compiled(expression string) *regexp.Regexp {
	re, ok := expressions.Load(expression)
	if !ok {
		re, _ = expressions.LoadOrStore(expression, regexp.MustCompile(expression))
	}
	return re.(*regexp.Regexp)
}
