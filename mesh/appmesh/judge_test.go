// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The judge reads native objects as App Mesh's user guide (routes, virtual nodes, mutual TLS) and the controller's CRDs say that they
// work, from their JSON and through types of its own, which know no field that it would overlook.

type judgedRef struct{ Name, Namespace string }

type judgedTLS struct {
	Mode        string
	Certificate struct{ SDS struct{ SecretName string } }
	Validation  struct {
		Trust                   struct{ SDS struct{ SecretName string } }
		SubjectAlternativeNames struct{ Match struct{ Exact []string } }
	}
}

type judgedMapping struct {
	Port     uint16
	Protocol string
}

type judgedNode struct {
	AWSName     string
	PodSelector *struct{ MatchLabels map[string]string }
	Listeners   []struct {
		PortMapping judgedMapping
		TLS         *judgedTLS
	}
	ServiceDiscovery *struct{ DNS struct{ Hostname string } }
}

type judgedText struct{ Exact, Prefix, Suffix, Regex *string }

type judgedAction struct {
	WeightedTargets []struct {
		VirtualNodeRef judgedRef
		Weight         int
		Port           uint16
	}
}

type judgedHTTP struct {
	Match struct {
		Prefix  *string
		Path    *judgedText
		Method  string
		Headers []struct {
			Name  string
			Match *judgedText
		}
		Port uint16
	}
	Action judgedAction
}

type judgedRoute struct {
	Name                  string
	Priority              int
	HTTPRoute, HTTP2Route *judgedHTTP
	TCPRoute              *struct {
		Match  struct{ Port uint16 }
		Action judgedAction
	}
}

type judged[T any] struct {
	name model.Name
	spec T
}

// strictly reads the objects of a kind.
func strictly[T any](objs []mesh.Object, kind string) (out []judged[T]) {
	for i := range objs {
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		var o struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
			Spec     json.RawMessage
		}
		if err := json.Unmarshal(text, &o); err != nil {
			panic(err)
		}
		if o.Kind != kind {
			continue
		}
		var spec T
		dec := json.NewDecoder(bytes.NewReader(o.Spec))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&spec); err != nil {
			panic("the judge does not know this: " + err.Error())
		}
		out = append(out, judged[T]{model.Name{Namespace: o.Metadata.Namespace, Name: o.Metadata.Name}, spec})
	}
	return out
}

func find[T any](list []judged[T], ns string, r judgedRef) *T {
	for i := range list {
		if list[i].name == (model.Name{Namespace: cmp.Or(r.Namespace, ns), Name: r.Name}) {
			return &list[i].spec
		}
	}
	return nil
}

type judgedService struct {
	AWSName  string
	Provider struct {
		VirtualRouter struct{ VirtualRouterRef judgedRef }
	}
}

type judgedRouter struct {
	Listeners []struct{ PortMapping judgedMapping }
	Routes    []judgedRoute
}

// judge keeps what it read of the objects that it was asked about last.
type judge struct {
	first    *mesh.Object
	count    int
	services []judged[judgedService]
	routers  []judged[judgedRouter]
	nodes    []judged[judgedNode]
}

func (j *judge) read(objs []mesh.Object) {
	if len(objs) > 0 && j.first == &objs[0] && j.count == len(objs) {
		return
	}
	defer func() {
		for i := range j.nodes {
			j.nodes[i].spec.checked()
		}
	}()
	*j = judge{count: len(objs), services: strictly[judgedService](objs, "VirtualService"), routers: strictly[judgedRouter](objs, "VirtualRouter"), nodes: strictly[judgedNode](objs, "VirtualNode")}
	if len(objs) > 0 {
		j.first = &objs[0]
	}
}

// checked panics on what App Mesh's API refuses, beside what the schema refuses: a listener with TLS has a certificate, and trust where it validates.
func (n *judgedNode) checked() {
	for _, l := range n.Listeners {
		if t := l.TLS; t != nil && t.Mode == "STRICT" && t.Certificate.SDS.SecretName == "" {
			panic("a listener without a certificate")
		}
	}
}

// route says which part of such requests goes to which port of which Service, for a client that has all VirtualServices among its
// backends.
func (j *judge) route(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	j.read(objs)
	s := w.Service(q.Service)
	port := cmp.Or(q.Port, s.Ports[0].Number)
	own := map[string]float64{fmt.Sprintf("%s:%d", q.Service, port): 1}
	var router *judgedRouter
	for _, v := range j.services {
		if v.spec.AWSName == w.Settings().Host(q.Service) {
			router = find(j.routers, v.name.Namespace, v.spec.Provider.VirtualRouter.VirtualRouterRef)
		}
	}
	if router == nil || q.Layer == model.LayerDatagram {
		return own, nil
	}
	protocol := ""
	for _, l := range router.Listeners {
		if l.PortMapping.Port == port {
			protocol = l.PortMapping.Protocol
		}
	}
	if protocol == "" {
		return own, nil // the proxy has no listener there, and lets it pass
	}
	if protocol != "tcp" && q.Layer == model.LayerStream {
		return map[string]float64{}, nil // the HTTP codec refuses it
	}
	list := slices.Clone(router.Routes)
	slices.SortStableFunc(list, func(a, b judgedRoute) int { return a.Priority - b.Priority })
	for _, r := range list {
		if a := r.takes(protocol, port, q); a != nil {
			return j.targets(w, q.Service.Namespace, a)
		}
	}
	return map[string]float64{}, nil // 404
}

func (r *judgedRoute) takes(protocol string, port uint16, q *model.Request) *judgedAction {
	switch {
	case protocol == "tcp" && r.TCPRoute != nil && (r.TCPRoute.Match.Port == 0 || r.TCPRoute.Match.Port == port):
		return &r.TCPRoute.Action
	case protocol == "http" && r.HTTPRoute != nil && r.HTTPRoute.takes(port, q):
		return &r.HTTPRoute.Action
	case protocol == "http2" && r.HTTP2Route != nil && r.HTTP2Route.takes(port, q):
		return &r.HTTP2Route.Action
	}
	return nil
}

func (h *judgedHTTP) takes(port uint16, q *model.Request) bool {
	m := &h.Match
	path, _, _ := strings.Cut(q.Path, "?")
	if m.Prefix == nil && m.Path == nil {
		panic("App Mesh wants a prefix or a path")
	}
	if m.Port != 0 && m.Port != port || m.Method != "" && m.Method != q.Method ||
		m.Prefix != nil && !strings.HasPrefix(path, *m.Prefix) || m.Path != nil && !m.Path.covers(path) {
		return false
	}
	for _, c := range m.Headers {
		values, there := q.Headers[strings.ToLower(c.Name)]
		if !there || c.Match != nil && !c.Match.covers(strings.Join(values, ",")) {
			return false
		}
	}
	return true
}

func (t *judgedText) covers(text string) bool {
	switch {
	case t.Exact != nil:
		return text == *t.Exact
	case t.Prefix != nil:
		return strings.HasPrefix(text, *t.Prefix)
	case t.Suffix != nil:
		return strings.HasSuffix(text, *t.Suffix)
	}
	return regexp.MustCompile(`\A(?:` + *t.Regex + `)\z`).MatchString(text)
}

func (j *judge) targets(w model.World, ns string, a *judgedAction) (map[string]float64, error) {
	out, total := map[string]float64{}, 0
	for _, t := range a.WeightedTargets {
		if t.Weight > 100 || len(a.WeightedTargets) > 10 {
			return nil, fmt.Errorf("weight %d, %d targets", t.Weight, len(a.WeightedTargets))
		}
		total += t.Weight
	}
	for _, t := range a.WeightedTargets {
		n := find(j.nodes, ns, t.VirtualNodeRef)
		if n == nil || n.ServiceDiscovery == nil {
			return nil, fmt.Errorf("%s is not found by DNS", t.VirtualNodeRef.Name)
		}
		on := false
		if t.Port == 0 && len(n.Listeners) == 1 {
			t.Port = n.Listeners[0].PortMapping.Port
		}
		for _, l := range n.Listeners {
			on = on || l.PortMapping.Port == t.Port
		}
		name, _ := strings.CutSuffix(n.ServiceDiscovery.DNS.Hostname, ".svc."+w.Settings().ClusterDomain)
		svc, ns, _ := strings.Cut(name, ".")
		if s := w.Service(model.Name{Namespace: ns, Name: svc}); s == nil || !on || s.Port(t.Port) == nil {
			return nil, fmt.Errorf("no such port: %s %d", n.ServiceDiscovery.DNS.Hostname, t.Port)
		}
		if t.Weight > 0 {
			out[fmt.Sprintf("%s/%s:%d", ns, svc, t.Port)] += float64(t.Weight) / float64(total)
		}
	}
	return out, nil
}

// admit says whether a workload's proxy lets a request through, of a caller that presents the certificate that it has.
func (j *judge) admit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	j.read(objs)
	var mine []judgedNode
	for _, n := range j.nodes {
		if s := n.spec.PodSelector; s != nil && n.name.Namespace == wl.Name.Namespace && len(s.MatchLabels) > 0 && model.Selects(s.MatchLabels, wl.Labels) {
			mine = append(mine, n.spec)
		}
	}
	if len(mine) > 1 {
		return false // the pod does not start
	}
	if len(mine) == 0 || q.Layer == model.LayerDatagram {
		return true
	}
	for _, l := range mine[0].Listeners {
		if l.PortMapping.Port == port {
			return l.PortMapping.admits(l.TLS, w, wl, q)
		}
	}
	return true // not captured
}

func (m *judgedMapping) admits(t *judgedTLS, w model.World, wl *model.Workload, q *model.Request) bool {
	if m.Protocol != "tcp" && q.Layer == model.LayerStream {
		return false
	}
	if t == nil || t.Mode != "STRICT" {
		return true
	}
	own := "spiffe://" + w.Settings().TrustDomain + "/ns/" + wl.Name.Namespace + "/sa/" + wl.Account
	if t.Certificate.SDS.SecretName != own {
		return false // the agent has no such certificate for the pod, and the listener never comes up
	}
	id := q.SPIFFE
	if q.From.ServiceAccount != "" {
		id = "spiffe://" + w.Settings().TrustDomain + "/ns/" + q.From.Namespace + "/sa/" + q.From.ServiceAccount
	}
	names := t.Validation.SubjectAlternativeNames.Match.Exact
	if t.Validation.Trust.SDS.SecretName == "" {
		return true // it asks for no certificate
	}
	return id != "" && strings.HasPrefix(id, t.Validation.Trust.SDS.SecretName+"/") && (len(names) == 0 || slices.Contains(names, id))
}
