// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strconv"
)

// World is what is known while units are joined. Store is the one implementation that anymesh runs on.
type World interface {
	Settings() *Settings
	Service(Name) *Service
	Splits(root Name) []*Split // in any order
	Group(Name) *RouteGroup
	PortRoute(Kind, Name) *PortRoute
	Binding(Name) *Binding
	Permissions(Identity) []*Permission                              // whose destination is the identity, in any order
	Workloads(Identity) []*Workload                                  // that run as the identity, in any order
	Selected(service Name) []*Workload                               // behind a service, in any order
	Selecting(workload *Workload) []Name                             // services before a workload, in any order
	Labelled(namespace string, labels map[string]string) []*Workload // the caller's own slice, in any order
	Addresses(service Name, port *ServicePort) []Address
}

// Route is all that decides where the requests to one root go: the unit of routing.
type Route struct {
	Settings *Settings
	Name     Name     // of the root; a foreign host has its host name for a name
	Service  *Service // nil for a foreign host
	Splits   []*Split // in effect, in the order in which they are asked
	Ports    []RoutePort
}

// RoutePort is one port of a root, with what happens to a request that comes to it.
type RoutePort struct {
	ServicePort
	Arms []Arm // asked in order; what none takes goes to the root's own endpoints
}

// Arm takes the requests that match and shares them out.
type Arm struct {
	Split   *Split
	Any     bool       // takes every request
	Matches []ArmMatch // where not Any: alternatives, at least one
	Shares  []Share    // at least one has a weight
}

// ArmMatch is a match with the place it was written at.
type ArmMatch struct {
	*Match
	Group *RouteGroup
	Index int // in the group
}

// Share is one backend's part on one port.
type Share struct {
	Service Name
	Of      *Service // that it names; nil for a foreign host
	Port    *ServicePort
	Weight  int64
	Index   int  // in the split's backends: the first of them where the same is named twice
	Chain   bool // the backend is the root of another split, which is not asked: its plain endpoints are meant
}

// Host is the full DNS name of the root.
func (r *Route) Host() string {
	if r.Service == nil {
		return r.Name.Name
	}
	return r.Settings.Host(r.Name)
}

// Host is the full DNS name of a service.
func (s *Settings) Host(n Name) string { return n.Name + "." + n.Namespace + ".svc." + s.ClusterDomain }

// Stream is the arm that raw TCP takes on the port, or nil: connections show no path and no header, so that only an arm that
// takes every request can take them.
func (p *RoutePort) Stream() *Arm {
	for i := range p.Arms {
		if p.Arms[i].Any {
			return &p.Arms[i]
		}
	}
	return nil
}

// JoinRoute joins what is known of one root. Faults are what no mesh could help.
func JoinRoute(w World, root Name) (*Route, []Finding) {
	j := routeJoin{w: w, r: &Route{Settings: w.Settings(), Name: root, Service: w.Service(root)}}
	j.order()
	switch {
	case j.r.Service != nil:
		for _, p := range j.r.Service.Ports {
			j.r.Ports = append(j.r.Ports, RoutePort{ServicePort: p, Arms: j.arms(&p)})
		}
	case len(j.r.Splits) > 0 && j.host():
		p := ServicePort{}
		j.r.Ports = []RoutePort{{ServicePort: p, Arms: j.arms(&p)}}
	}
	j.judge()
	return j.r, j.faults
}

type routeJoin struct {
	w      World
	r      *Route
	faults []Finding
}

// sizes: the parts of a finding, in the order in which they are read
func (j *routeJoin) fault(l Level, c Code, s *Split, path, message, hint string) {
	f := Finding{Level: l, Code: c, Object: s.Ref(), Path: path, Message: message, Hint: hint}
	if !slices.Contains(j.faults, f) {
		j.faults = append(j.faults, f)
	}
}

// order puts the splits in the order in which they are asked: those with matches by age and name, then the oldest without.
func (j *routeJoin) order() {
	all := slices.DeleteFunc(slices.Clone(j.w.Splits(j.r.Name)), func(s *Split) bool { return s.Broken || j.foreign(s) })
	slices.SortFunc(all, func(a, b *Split) int {
		return cmp.Or(cmp.Compare(min(1, len(b.Groups)), min(1, len(a.Groups))), cmp.Compare(a.Created, b.Created), a.Name.Compare(b.Name))
	})
	for i, s := range all {
		if len(s.Groups) == 0 && i > 0 && len(all[i-1].Groups) == 0 {
			first := j.r.Splits[len(j.r.Splits)-1]
			j.fault(Invalid, CodeConflict, s, "spec.service", "conflicts with "+first.Ref().String()+", which splits the same root and is older",
				"Delete one of the two, or give this one matches.")
			continue
		}
		j.r.Splits = append(j.r.Splits, s)
	}
}

// foreign refuses a split that reaches into another namespace: one tenant could redirect another's traffic.
func (j *routeJoin) foreign(s *Split) bool {
	if s.Name.Namespace == j.r.Name.Namespace {
		return false
	}
	j.fault(Invalid, CodeForeignRoot, s, "spec.service", "the root "+j.r.Name.String()+" is a Service of another namespace",
		"A split serves its own namespace: move it to "+j.r.Name.Namespace+".")
	return true
}

// host says whether the root is a host that is not a Service of ours, and finds what is wrong with it otherwise.
func (j *routeJoin) host() bool {
	host := false
	for _, s := range j.r.Splits {
		name, ours := ParseServiceName(s.Root, s.Name.Namespace, j.r.Settings.ClusterDomain)
		switch {
		case ours && name.Namespace == s.Name.Namespace:
			j.fault(Invalid, CodeNoRoot, s, "spec.service", "there is no Service "+name.String(),
				"Create the Service, or correct the name: until then nothing is split.")
		case ours || name.Namespace != "" && j.w.Service(name) != nil:
			j.fault(Invalid, CodeForeignRoot, s, "spec.service", "the root "+name.String()+" is a Service of another namespace",
				"A split serves its own namespace: move it to "+name.Namespace+".")
		default:
			host = true
		}
	}
	return host
}

// arms lists what the splits do on one port.
func (j *routeJoin) arms(p *ServicePort) []Arm {
	var arms []Arm
	for _, s := range j.r.Splits {
		a := Arm{Split: s, Any: len(s.Groups) == 0, Shares: j.shares(s, p)}
		if len(a.Shares) == 0 || !a.Any && !p.Protocol.CarriesHTTP() {
			continue
		}
		for i, name := range s.Groups {
			a.Matches = append(a.Matches, j.matches(s, i, name)...)
		}
		if a.Any || len(a.Matches) > 0 {
			arms = append(arms, a)
		}
	}
	return arms
}

func (j *routeJoin) matches(s *Split, i int, name string) []ArmMatch {
	g := j.w.Group(Name{s.Name.Namespace, name})
	if g == nil {
		j.fault(Invalid, CodeNoGroup, s, at("spec.matches", i, "name"), "there is no HTTPRouteGroup "+s.Name.Namespace+"/"+name,
			"Create the group, or correct the name: until then no request matches it.")
		return nil
	}
	out := make([]ArmMatch, 0, len(g.Matches))
	for k := range g.Matches {
		if !g.Matches[k].Never {
			out = append(out, ArmMatch{&g.Matches[k], g, k})
		}
	}
	return out
}

// shares lists the backends that take part on a port; none when no weight is left.
func (j *routeJoin) shares(s *Split, p *ServicePort) []Share {
	out := make([]Share, 0, len(s.Backends))
	var total int64
	for i := range s.Backends {
		name, port := j.backend(s, i, p)
		if port == nil {
			continue
		}
		total += s.Backends[i].Weight
		if k := slices.IndexFunc(out, func(o Share) bool { return o.Service == name }); k >= 0 {
			out[k].Weight += s.Backends[i].Weight
			j.fault(Notice, CodeBackendTwice, s, at("spec.backends", i, "service"), name.String()+" is named twice: its weights add up", "")
			continue
		}
		out = append(out, Share{Service: name, Of: j.w.Service(name), Port: port, Weight: s.Backends[i].Weight, Index: i, Chain: name != j.r.Name && len(j.w.Splits(name)) > 0})
	}
	if total == 0 {
		j.fault(Notice, CodeNoWeight, s, "spec.backends", "no backend has a weight on port "+portName(p)+": the root's own endpoints serve it",
			"Give at least one backend that exists a weight above 0.")
		return nil
	}
	return out
}

// backend finds the service and the port of one backend; nil when it takes no part.
func (j *routeJoin) backend(s *Split, i int, p *ServicePort) (Name, *ServicePort) {
	path := item("spec.backends", i, "service")
	name, ours := ParseServiceName(s.Backends[i].Service, s.Name.Namespace, j.r.Settings.ClusterDomain)
	if !ours || name.Namespace != s.Name.Namespace {
		j.fault(Invalid, CodeNoBackend, s, path.String(), s.Backends[i].Service+" is not a Service of namespace "+s.Name.Namespace,
			"A backend is the name of a Service beside the split.")
		return name, nil
	}
	svc := j.w.Service(name)
	if svc == nil {
		j.fault(Notice, CodeNoBackend, s, path.String(), "there is no Service "+name.String()+": it is left out, the other backends share",
			"Create the Service, or correct the name.")
		return name, nil
	}
	port := svc.Like(p)
	if port == nil {
		j.fault(Notice, CodeBackendPort, s, path.String(), name.String()+" has no port "+portName(p)+": it is left out on that port",
			"Give the Service the port number that the root has.")
	}
	return name, port
}

// judge finds what is legal and yet may not be meant.
func (j *routeJoin) judge() {
	http := slices.ContainsFunc(j.r.Ports, func(p RoutePort) bool { return p.Protocol.CarriesHTTP() })
	for _, s := range j.r.Splits {
		if len(s.Groups) > 0 && !http && len(j.r.Ports) > 0 {
			j.fault(Invalid, CodeStreamMatch, s, "spec.matches", "no port of "+j.r.Name.String()+" carries HTTP: no request can match",
				"Name the port http-… or set its appProtocol, if it does.")
		}
		for i := range s.Backends {
			name, _ := ParseServiceName(s.Backends[i].Service, s.Name.Namespace, j.r.Settings.ClusterDomain)
			switch {
			case name == j.r.Name:
				j.fault(Notice, CodeSelf, s, at("spec.backends", i, "service"), "the root is one of its own backends: its plain endpoints are meant", "")
			case len(j.w.Splits(name)) > 0:
				j.fault(Notice, CodeChain, s, at("spec.backends", i, "service"), name.String()+" is the root of another split: its plain endpoints are meant, that split is not asked again", "")
			}
		}
	}
}

func portName(p *ServicePort) string {
	if p.Number == 0 {
		return "(any)"
	}
	return strconv.Itoa(int(p.Number))
}
