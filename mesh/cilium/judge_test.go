// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway/gatewaytest"
	"github.com/anymesh/anymesh/model"
)

// The judge is written from Cilium's documents: "Policy Enforcement Modes" and "Rule Basics" (default deny), "Layer 3", "Layer 4" and "Layer 7
// Policies", "GAMMA Support", and where those are silent from what the agent of 1.18 makes of a rule for its Envoy. It shares no code with
// the translation.

type tree = gatewaytest.Tree

// judgeRoute says where requests go. A Service's port to which an HTTPRoute is attached is led to the Envoy of the node, which takes requests
// alone; no other route of the Gateway API has a Service for its parent.
func judgeRoute(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	routes := slices.DeleteFunc(slices.Clone(objs), func(o mesh.Object) bool { return !strings.HasSuffix(o.Kind, "Route") })
	for i := range routes {
		if routes[i].Kind != "HTTPRoute" {
			return nil, fmt.Errorf("Cilium reads no %s for a Service", routes[i].Kind)
		}
		for _, p := range gatewaytest.Read(&routes[i]).At("spec", "parentRefs").List() {
			port := p.At("port").Number(int(q.Port))
			if q.Layer == model.LayerStream && routes[i].Name.Namespace == q.Service.Namespace && p.At("name").Text("") == q.Service.Name && port == int(q.Port) {
				return map[string]float64{gatewaytest.Refused: 1}, nil
			}
		}
	}
	return gatewaytest.Judge{}.Route(routes, w, q)
}

// judgeAdmit says whether a pod is reached.
func judgeAdmit(objs []mesh.Object, w model.World, wl *model.Workload, number uint16, q *model.Request) bool {
	j := judge{q: q, wl: wl, port: number, host: q.Host}
	if j.host == "" {
		j.host = w.Settings().Host(q.Service)
	}
	j.own = labelsOf(wl.Labels, wl.Name.Namespace, wl.Account)
	if q.From.ServiceAccount != "" {
		j.caller = labelsOf(q.Pod, q.From.Namespace, q.From.ServiceAccount)
	}
	for i := range objs {
		switch objs[i].Kind {
		case "CiliumNetworkPolicy":
			if objs[i].Name.Namespace == wl.Name.Namespace {
				j.namespace = wl.Name.Namespace
				j.policy(gatewaytest.Read(&objs[i]).At("spec"))
			}
		case "CiliumClusterwideNetworkPolicy":
			j.namespace = ""
			j.spares(gatewaytest.Read(&objs[i]).At("spec", "endpointSelector"))
			j.policy(gatewaytest.Read(&objs[i]).At("spec"))
		}
	}
	switch {
	case !j.closed:
		return true
	case q.Layer == model.LayerHTTP:
		return j.raw || j.met
	}
	return j.raw && !j.proxied
}

// judge gathers what all policies together say of one question.
type judge struct {
	q           *model.Request
	wl          *model.Workload
	port        uint16
	host        string
	own, caller map[string]string // caller is nil where it is no pod of the cluster
	namespace   string            // of the policy that is read
	closed      bool              // some policy selects the pod
	raw         bool              // some rule admits the caller to the port whatever it sends
	proxied     bool              // some rule leads what the caller sends to the port through Envoy
	met         bool              // some rule on requests is met
}

// filtered are labels that are not part of an identity (Limiting Identity-Relevant Labels, the default filter).
var filtered = regexp.MustCompile(`^(io\.kubernetes|kubernetes\.io|statefulset\.kubernetes\.io/pod-name|apps\.kubernetes\.io/pod-index|batch\.kubernetes\.io/job-completion-index|batch\.kubernetes\.io/controller-uid|.*beta\.kubernetes\.io|k8s\.io|pod-template-generation|pod-template-hash|controller-revision-hash|controller-uid|annotation.*|etcd_node|io\.cilium\.)`)

func labelsOf(labels map[string]string, namespace, account string) map[string]string {
	out := map[string]string{"io.kubernetes.pod.namespace": namespace, "io.cilium.k8s.policy.serviceaccount": account}
	for k, v := range labels {
		if strings.HasPrefix(k, "app.kubernetes.io") || !filtered.MatchString(k) {
			out[k] = v
		}
	}
	return out
}

func (j *judge) policy(spec tree) {
	spec.Knows("endpointSelector", "ingress")
	if spec.At("endpointSelector").V == nil {
		panic("a policy selects endpoints or nodes")
	}
	if !j.selects(spec.At("endpointSelector"), j.own) {
		return
	}
	for _, r := range spec.At("ingress").List() {
		j.closed = true // "contains the respective rule section"
		j.rule(r)
	}
}

// spares panics on a policy of the cluster that closes what the cluster itself lives by: its DNS, the webhook, and the endpoints by which
// Cilium checks its health, which are of no namespace.
func (j *judge) spares(s tree) {
	for _, own := range []map[string]string{{}, labelsOf(nil, "kube-system", "coredns"), labelsOf(nil, "anymesh-system", "anymesh")} {
		if j.selects(s, own) {
			panic("the cluster's own pods are closed")
		}
	}
}

// selects says whether labels meet a selector. One in a namespaced policy that names no namespace is of the policy's own.
func (j *judge) selects(s tree, labels map[string]string) bool {
	s.Knows("matchLabels", "matchExpressions")
	key := func(k string) string { return strings.TrimPrefix(strings.TrimPrefix(k, "k8s:"), "any:") }
	named, ok := false, true
	all, _ := s.At("matchLabels").V.(map[string]any)
	for k, v := range all {
		named = named || key(k) == "io.kubernetes.pod.namespace"
		got, there := labels[key(k)]
		ok = ok && there && got == v
	}
	for _, e := range s.At("matchExpressions").List() {
		e.Knows("key", "operator", "values")
		k := key(e.At("key").Text(""))
		named = named || k == "io.kubernetes.pod.namespace"
		got, there := labels[k]
		in := slices.ContainsFunc(e.At("values").List(), func(v tree) bool { return v.Text("") == got })
		switch e.At("operator").Text("") {
		case "In":
			ok = ok && there && in
		case "NotIn":
			ok = ok && (!there || !in)
		case "Exists":
			ok = ok && there
		case "DoesNotExist":
			ok = ok && !there
		default:
			panic("no such operator")
		}
	}
	return ok && (named || j.namespace == "" || labels["io.kubernetes.pod.namespace"] == j.namespace)
}

func (j *judge) rule(r tree) {
	r.Knows("fromEndpoints", "toPorts")
	from, to := r.At("fromEndpoints").List(), r.At("toPorts").List()
	if len(from) == 0 && len(to) == 0 {
		return // an empty rule admits nobody
	}
	if len(from) > 0 && (j.caller == nil || !slices.ContainsFunc(from, func(s tree) bool { return j.selects(s, j.caller) })) {
		return
	}
	if len(to) == 0 {
		j.raw = true // every port and protocol
	}
	for _, p := range to {
		p.Knows("ports", "rules")
		ports, http := p.At("ports").List(), p.At("rules", "http").List()
		if len(ports) > 40 {
			panic("a rule of more than 40 ports is not taken")
		}
		p.At("rules").Knows("http")
		on := false // without ports a rule is for none
		for _, one := range ports {
			on = j.on(one, len(http) > 0) || on
		}
		switch {
		case !on:
		case len(http) == 0:
			j.raw = true
		default:
			j.proxied = true
			j.met = j.met || j.q.Layer == model.LayerHTTP && slices.ContainsFunc(http, j.request)
		}
	}
}

// on says whether a port is the one that is called, in the protocol that is spoken.
func (j *judge) on(p tree, http bool) bool {
	p.Knows("port", "endPort", "protocol")
	want := "TCP"
	if j.q.Layer == model.LayerDatagram {
		want = "UDP"
	}
	protocol := p.At("protocol").Text("ANY")
	number, err := strconv.Atoi(p.At("port").Text(""))
	if http && (protocol != "TCP" || err == nil && number == 0) {
		panic("rules on requests are for ports of TCP")
	}
	if protocol != "ANY" && protocol != want {
		return false
	}
	if err != nil { // a name of the pod's
		return slices.ContainsFunc(j.wl.Ports, func(c model.ContainerPort) bool { return c.Name == p.At("port").Text("") && c.Number == j.port })
	}
	last := max(number, p.At("endPort").Number(0))
	return number == 0 || number <= int(j.port) && int(j.port) <= last
}

// request says whether one rule on requests is met: its texts cover the whole of the pseudo headers, of which :path has the query.
func (j *judge) request(r tree) bool {
	r.Knows("path", "method", "host", "headers", "headerMatches")
	met := func(field, text string) bool {
		e := r.At(field).Text("")
		return e == "" || covers(e, text)
	}
	if !met("path", j.q.Path) || !met("method", j.q.Method) || !met("host", j.host) {
		return false
	}
	for _, h := range r.At("headers").List() {
		name, value, _ := strings.Cut(h.Text(""), " ")
		if !j.header(strings.TrimRight(name, ":"), value) {
			return false
		}
	}
	for _, h := range r.At("headerMatches").List() {
		h.Knows("name", "value")
		if !j.header(h.At("name").Text(""), h.At("value").Text("")) {
			return false
		}
	}
	return true
}

// header says whether a header is there, with exactly the value where there is one.
func (j *judge) header(name, value string) bool {
	values, ok := j.q.Headers[strings.ToLower(name)]
	return ok && (value == "" || strings.Join(values, ",") == value)
}

var compiled sync.Map

func covers(expression, text string) bool {
	re, ok := compiled.Load(expression)
	if !ok {
		re, _ = compiled.LoadOrStore(expression, regexp.MustCompile(`\A(?:`+expression+`)\z`))
	}
	return re.(*regexp.Regexp).MatchString(text)
}
