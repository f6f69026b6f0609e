// SPDX-License-Identifier: Apache-2.0

package ambient

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway/gatewaytest"
	"github.com/anymesh/anymesh/model"
)

// The judge has both places at which ambient mode asks. ztunnel asks the policies that select a workload, those of its namespace and
// those of the root namespace; it knows principals and ports, and of an ALLOW policy it leaves out each rule that speaks of requests. A
// waypoint asks the policies whose targetRefs name it, and those alone; it sees the port of the Service, and calls the pod as itself.

// judgeRoute is what a waypoint makes of routes; a Service that has routes is taken to have one.
var judgeRoute = gatewaytest.Judge{Both: true}.Route

// judgeAdmit says whether a request can reach a workload on any way: directly, and through each waypoint that there may be, by each port
// of a Service that leads there.
func judgeAdmit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	j := newJudge(objs, w, q)
	if j.direct(wl, port) {
		return true
	}
	waypoints := []string{"waypoint"}
	for _, o := range j.policies {
		for _, r := range o.At("spec", "targetRefs").List() {
			waypoints = append(waypoints, r.At("name").Text(""))
		}
	}
	for _, s := range w.Selecting(wl) {
		for _, p := range w.Service(s).Ports {
			for _, name := range waypoints {
				if wl.TargetPort(&p) == port && j.through(model.Name{Namespace: wl.Name.Namespace, Name: name}, p.Number, wl, port) {
					return true
				}
			}
		}
	}
	return false
}

type judge struct {
	w        model.World
	q        *model.Request
	policies []gatewaytest.Tree
	host     string
}

func newJudge(objs []mesh.Object, w model.World, q *model.Request) *judge {
	j := &judge{w: w, q: q, host: q.Host}
	if j.host == "" {
		j.host = w.Settings().Host(q.Service)
	}
	for i := range objs {
		if objs[i].Kind == "AuthorizationPolicy" {
			o := gatewaytest.Read(&objs[i])
			o.At("spec").Knows("selector", "targetRefs", "action", "rules")
			if a := o.At("spec", "action").Text("ALLOW"); a != "ALLOW" {
				panic("the judge does not know the action " + a)
			}
			j.policies = append(j.policies, o)
		}
	}
	return j
}

// caller is the principal of who asks.
func (j *judge) caller() string {
	if j.q.From.ServiceAccount != "" {
		return j.principal(model.Name{Namespace: j.q.From.Namespace, Name: j.q.From.ServiceAccount})
	}
	return strings.TrimPrefix(j.q.SPIFFE, "spiffe://")
}

func (j *judge) principal(n model.Name) string {
	return j.w.Settings().TrustDomain + "/ns/" + n.Namespace + "/sa/" + n.Name
}

// direct asks ztunnel about the caller itself.
func (j *judge) direct(wl *model.Workload, port uint16) bool {
	return j.q.Layer != model.LayerDatagram && j.ztunnel(wl, port, j.caller())
}

// through asks a waypoint about the caller, and then ztunnel about the waypoint.
func (j *judge) through(waypoint model.Name, called uint16, wl *model.Workload, port uint16) bool {
	applies, met := false, false
	for _, o := range j.policies {
		for _, r := range o.At("spec", "targetRefs").List() {
			r.Knows("group", "kind", "name")
			if o.At("metadata", "namespace").Text("") == waypoint.Namespace && r.At("kind").Text("") == "Gateway" && r.At("name").Text("") == waypoint.Name {
				applies = true
				met = met || slices.ContainsFunc(o.At("spec", "rules").List(), func(r gatewaytest.Tree) bool { return j.rule(r, called) })
			}
		}
	}
	return j.q.Layer != model.LayerDatagram && (met || !applies) && j.ztunnel(wl, port, j.principal(waypoint))
}

func (j *judge) ztunnel(wl *model.Workload, port uint16, caller string) bool {
	applies, met := false, false
	for _, o := range j.policies {
		ns := o.At("metadata", "namespace").Text("")
		if len(o.At("spec", "targetRefs").List()) > 0 || ns != wl.Name.Namespace && ns != "istio-system" || !selected(o.At("spec", "selector", "matchLabels"), wl.Labels) {
			continue
		}
		applies = true
		met = met || slices.ContainsFunc(o.At("spec", "rules").List(), func(r gatewaytest.Tree) bool { return bytes(r, port, caller) })
	}
	return met || !applies
}

func selected(labels gatewaytest.Tree, have map[string]string) bool {
	want, _ := labels.V.(map[string]any)
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// bytes is a rule as ztunnel reads it: one that speaks of requests admits nobody.
func bytes(r gatewaytest.Tree, port uint16, caller string) bool {
	r.Knows("from", "to", "when")
	from, to := !has(r.At("from")), !has(r.At("to"))
	for _, f := range r.At("from").List() {
		f.At("source").Knows("principals")
		from = from || caller != "" && slices.ContainsFunc(f.At("source", "principals").List(), func(p gatewaytest.Tree) bool { return meets(p.Text(""), caller) })
	}
	for _, t := range r.At("to").List() {
		op := t.At("operation")
		op.Knows("ports", "methods", "paths", "hosts")
		if has(op.At("methods")) || has(op.At("paths")) || has(op.At("hosts")) {
			return false
		}
		to = to || onPort(op, port)
	}
	return from && to && !has(r.At("when"))
}

func has(t gatewaytest.Tree) bool { return len(t.List()) > 0 }

func onPort(op gatewaytest.Tree, port uint16) bool {
	return !has(op.At("ports")) || anyOf(op.At("ports"), func(p string) bool { return p == strconv.Itoa(int(port)) })
}

func anyOf(list gatewaytest.Tree, f func(string) bool) bool {
	return slices.ContainsFunc(list.List(), func(t gatewaytest.Tree) bool { return f(t.Text("")) })
}

// rule is one as a waypoint reads it, by the port of the Service.
func (j *judge) rule(r gatewaytest.Tree, port uint16) bool {
	from, to := !has(r.At("from")), !has(r.At("to"))
	caller := j.caller()
	for _, f := range r.At("from").List() {
		from = from || caller != "" && anyOf(f.At("source", "principals"), func(p string) bool { return meets(p, caller) })
	}
	path, _, _ := strings.Cut(j.q.Path, "?")
	for _, t := range r.At("to").List() {
		op := t.At("operation")
		if (has(op.At("methods")) || has(op.At("paths")) || has(op.At("hosts"))) && j.q.Layer != model.LayerHTTP {
			continue
		}
		to = to || onPort(op, port) &&
			(!has(op.At("methods")) || anyOf(op.At("methods"), func(m string) bool { return meets(m, j.q.Method) })) &&
			(!has(op.At("paths")) || anyOf(op.At("paths"), func(p string) bool { return pathMeets(p, path) }))
	}
	for _, c := range r.At("when").List() {
		if j.q.Layer != model.LayerHTTP || !j.when(c) {
			return false
		}
	}
	return from && to
}

func (j *judge) when(c gatewaytest.Tree) bool {
	c.Knows("key", "values")
	name, ok := strings.CutPrefix(c.At("key").Text(""), "request.headers[")
	if !ok {
		panic("the judge knows conditions on headers alone")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "]"))
	values, ok := j.q.Headers[name]
	if name == ":authority" {
		values, ok = []string{j.host}, true
	}
	return ok && anyOf(c.At("values"), func(v string) bool { return v == "*" || meets(v, strings.Join(values, ",")) })
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
	return regexp.MustCompile(`\A` + re + `\z`).MatchString(path)
}
