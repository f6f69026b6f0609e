// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The judge reads SMI objects as Traefik Mesh does, by its own sources: pkg/topology/builder.go, pkg/provider (provider.go, rule.go), and the
// router of Traefik v2 behind it. It speaks for clients that call a Service by its name in the mesh, where access is controlled. A Service is
// of one kind of traffic: HTTP where any of its ports carries it. Rules of one length may be asked in any order: surely says that a request
// is admitted whatever the order is.
type judge struct {
	depth  int // of splits whose backends have splits
	surely bool
	first  *mesh.Object
	count  int
	read   []traefikObject
}

type traefikMatch struct {
	Name, PathRegex string
	Methods         []string
	Headers         []map[string]string
}

type traefikObject struct {
	APIVersion, Kind string
	Metadata         struct{ Name, Namespace string }
	Spec             json.RawMessage
	target           struct {
		Destination struct {
			Name, Namespace string
			Port            *uint16
		}
		Sources []struct{ Name, Namespace string }
		Rules   []struct {
			Kind, Name string
			Matches    []string
		}
	}
	group struct{ Matches []traefikMatch }
	split struct {
		Service  string
		Matches  []struct{ Kind, Name string }
		Backends []struct {
			Service string
			Weight  int64
		}
	}
}

func (j *judge) objects(objs []mesh.Object) []traefikObject {
	if len(objs) > 0 && j.first == &objs[0] && j.count == len(objs) {
		return j.read
	}
	j.read, j.count, j.first = nil, len(objs), nil
	for i := range objs {
		j.first = &objs[0]
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		var o traefikObject
		if err := json.Unmarshal(text, &o); err != nil {
			panic(err)
		}
		var into any
		switch o.APIVersion + " " + o.Kind {
		case "access.smi-spec.io/v1alpha2 TrafficTarget":
			into = &o.target
		case "specs.smi-spec.io/v1alpha3 HTTPRouteGroup":
			into = &o.group
		case "split.smi-spec.io/v1alpha3 TrafficSplit":
			into = &o.split
		case "specs.smi-spec.io/v1alpha3 TCPRoute":
			into = &struct{}{}
		default:
			continue
		}
		if err := json.Unmarshal(o.Spec, into); err != nil {
			panic(err)
		}
		j.read = append(j.read, o)
	}
	return j.read
}

func find(all []traefikObject, kind, ns, n string) *traefikObject {
	for i := range all {
		if o := &all[i]; o.Kind == kind && o.Metadata.Namespace == ns && o.Metadata.Name == n {
			return o
		}
	}
	return nil
}

// rule is a rule of Traefik's router: one of some matches, or any request.
type rule struct {
	any     bool
	matches []traefikMatch
	length  int
}

// ruleOf builds the rule of some matches: one without conditions has no part in it. It is not ok where Traefik refuses it.
func ruleOf(list []traefikMatch) (r rule, ok bool) {
	r = rule{length: 1}
	for _, m := range list {
		parts, headers := 0, 0
		if m.PathRegex != "" {
			if parts++; mux(m.PathRegex) == nil {
				return r, false
			}
		}
		if len(m.Methods) > 0 && !slices.Contains(m.Methods, "*") {
			parts++
		}
		for _, h := range m.Headers {
			headers += len(h)
		}
		if parts += headers; parts > 0 {
			r.matches = append(r.matches, m)
			r.length += parts
		}
	}
	r.any = len(r.matches) == 0
	return r, true
}

// mux is the expression that the router makes of a path; nil where it refuses it.
func mux(path string) *regexp.Regexp {
	path = strings.TrimPrefix(path, "/")
	level := 0
	for _, r := range path {
		if r == '{' {
			level++
		} else if r == '}' {
			level--
		}
		if level < 0 {
			return nil
		}
	}
	re, err := regexp.Compile(`^/(?P<v0>` + path + `)`)
	if err != nil || level != 0 || path == "" || re.NumSubexp() != 1 || strings.Contains(path, "`") {
		return nil
	}
	return re
}

func (r *rule) takes(q *model.Request) bool {
	return r.any || slices.ContainsFunc(r.matches, func(m traefikMatch) bool { return m.takes(q) })
}

func (m *traefikMatch) takes(q *model.Request) bool {
	path, _, _ := strings.Cut(q.Path, "?")
	if m.PathRegex != "" && !mux(m.PathRegex).MatchString(path) || len(m.Methods) > 0 && !slices.Contains(m.Methods, "*") && !slices.Contains(m.Methods, q.Method) {
		return false
	}
	kept := map[string]string{} // as the SDK keeps them
	for _, h := range m.Headers {
		for k, v := range h {
			kept[k] = v
		}
	}
	for name, value := range kept {
		re := regexp.MustCompile(value)
		if !slices.ContainsFunc(q.Headers[strings.ToLower(name)], re.MatchString) {
			return false
		}
	}
	return true
}

func carries(s *model.Service) bool {
	return slices.ContainsFunc(s.Ports, func(p model.ServicePort) bool { return p.Protocol.CarriesHTTP() })
}

// splits are those of a Service that Traefik Mesh takes: their groups and backends are there, and they do not lead back to themselves.
func splits(all []traefikObject, w model.World, root model.Name) (out []traefikObject) {
	for _, o := range all {
		if o.Kind != "TrafficSplit" || o.Metadata.Namespace != root.Namespace || o.split.Service != root.Name {
			continue
		}
		ok := true
		for _, m := range o.split.Matches {
			ok = ok && find(all, "HTTPRouteGroup", root.Namespace, m.Name) != nil
		}
		for _, b := range o.split.Backends {
			s := w.Service(model.Name{Namespace: root.Namespace, Name: b.Service})
			ok = ok && s != nil && b.Service != root.Name
			for _, p := range w.Service(root).Ports {
				ok = ok && s.Port(p.Number) != nil
			}
		}
		if ok {
			out = append(out, o)
		}
	}
	return out
}

// route says which part of requests goes to which port of which Service.
func (j *judge) route(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	s := w.Service(q.Service)
	port := q.Port
	if port == 0 {
		port = s.Ports[0].Number
	}
	own := map[string]float64{fmt.Sprintf("%s:%d", q.Service, port): 1}
	all := j.objects(objs)
	list := splits(all, w, q.Service)
	if len(list) == 0 {
		return own, nil
	}
	if carries(s) && q.Layer != model.LayerHTTP {
		return map[string]float64{}, nil
	}
	var best *traefikObject
	longest, twice := 0, false
	for i := range list {
		var matches []traefikMatch
		for _, m := range list[i].split.Matches {
			matches = append(matches, find(all, "HTTPRouteGroup", q.Service.Namespace, m.Name).group.Matches...)
		}
		r, ok := ruleOf(matches)
		if !ok || !r.takes(q) {
			continue
		}
		if r.length == longest {
			twice = true
		} else if r.length > longest {
			best, longest, twice = &list[i], r.length, false
		}
	}
	switch {
	case best == nil:
		return own, nil
	case twice:
		return nil, fmt.Errorf("two splits take it, and which is asked first is not told")
	}
	return j.backends(objs, w, q, best, port)
}

// backends sends each part on by its name in the mesh: one that is split itself is split again.
func (j *judge) backends(objs []mesh.Object, w model.World, q *model.Request, split *traefikObject, port uint16) (map[string]float64, error) {
	if j.depth++; j.depth > 8 {
		panic("splits that lead to one another")
	}
	defer func() { j.depth-- }()
	out, total := map[string]float64{}, 0.0
	for _, b := range split.split.Backends {
		total += float64(b.Weight)
	}
	for _, b := range split.split.Backends {
		if b.Weight == 0 {
			continue
		}
		next := *q
		next.Service, next.Port = model.Name{Namespace: q.Service.Namespace, Name: b.Service}, port
		parts, err := j.route(objs, w, &next)
		if err != nil {
			return nil, err
		}
		for k, v := range parts {
			out[k] += v * float64(b.Weight) / total
		}
	}
	return out, nil
}

// admit says whether a request gets through to a port of a workload, by any of the Services before it.
func (j *judge) admit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	if w.Settings().Access == model.AccessAllow {
		return true
	}
	all := j.objects(objs)
	some, every := false, true
	for _, n := range w.Selecting(wl) {
		s := w.Service(n)
		if !slices.ContainsFunc(s.Ports, func(p model.ServicePort) bool { return wl.TargetPort(&p) == port && p.Protocol != model.UDP }) {
			continue
		}
		ok := j.service(all, s, wl, port, q)
		some, every = some || ok, every && ok
	}
	return some && (every || !j.surely)
}

// service asks the routers before one Service: the longest rule that takes the request decides.
func (j *judge) service(all []traefikObject, s *model.Service, wl *model.Workload, port uint16, q *model.Request) bool {
	if !slices.ContainsFunc(s.Ports, func(p model.ServicePort) bool { return p.TargetName == "" && p.Target == port }) {
		return false // a target port by name reads as 0
	}
	if !carries(s) {
		return q.Layer == model.LayerStream && slices.ContainsFunc(all, func(o traefikObject) bool { return o.opens(s, wl) })
	}
	if q.Layer != model.LayerHTTP {
		return false
	}
	longest, some, every := 0, false, true
	for i := range all {
		o := &all[i]
		r, ok := o.ruleFor(all, s, wl, port)
		if !ok || !r.takes(q) || r.length < longest {
			continue
		}
		admits := slices.ContainsFunc(o.target.Sources, func(x struct{ Name, Namespace string }) bool {
			return q.From.ServiceAccount != "" && x.Name == q.From.ServiceAccount && x.Namespace == q.From.Namespace
		})
		if r.length > longest {
			longest, some, every = r.length, false, true
		}
		some, every = some || admits, every && admits
	}
	return some && (every || !j.surely)
}

// to says whether a target is for a workload.
func (o *traefikObject) to(wl *model.Workload) bool {
	ns := o.target.Destination.Namespace
	if ns == "" {
		ns = o.Metadata.Namespace
	}
	return o.Kind == "TrafficTarget" && o.target.Destination.Name == wl.Account && ns == wl.Name.Namespace
}

// opens says whether a target opens a Service of raw TCP, which it then does to everybody.
func (o *traefikObject) opens(s *model.Service, wl *model.Workload) bool {
	return o.to(wl) && slices.ContainsFunc(o.target.Rules, func(r struct {
		Kind, Name string
		Matches    []string
	}) bool {
		return r.Kind == "TCPRoute"
	})
}

// ruleFor is the rule of a target on a port; not ok where it has none there, or is not understood.
func (o *traefikObject) ruleFor(all []traefikObject, s *model.Service, wl *model.Workload, port uint16) (rule, bool) {
	if !o.to(wl) || o.target.Destination.Port != nil && *o.target.Destination.Port != port {
		return rule{}, false
	}
	var matches []traefikMatch
	for _, r := range o.target.Rules {
		x := find(all, r.Kind, o.Metadata.Namespace, r.Name)
		switch {
		case x == nil || r.Kind != "HTTPRouteGroup" && r.Kind != "TCPRoute":
			return rule{}, false
		case r.Kind == "TCPRoute":
		case len(r.Matches) == 0:
			matches = append(matches, x.group.Matches...)
		}
		for _, n := range r.Matches {
			i := slices.IndexFunc(x.group.Matches, func(m traefikMatch) bool { return m.Name == n })
			if i < 0 {
				return rule{}, false
			}
			matches = append(matches, x.group.Matches[i])
		}
	}
	return ruleOf(matches)
}
