// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"strconv"

	"github.com/anymesh/anymesh/model"
)

// TrafficTarget lets sources call a destination (group access).
type TrafficTarget struct {
	Meta
	Destination Subject
	Port        uint16 // of the destination, up to v1alpha2; 0: any
	Rules       []Rule
	Sources     []Subject
}

// Subject names a caller or a destination.
type Subject struct {
	Kind      string `json:"kind"` // ServiceAccount, or IdentityBinding from v1alpha4
	Group     string `json:"group,omitempty"`
	Name      string `json:"name"`
	Namespace string `json:"namespace,omitempty"` // empty: the permission's own
}

// Rule names a route beside the permission.
type Rule struct {
	Kind    string   `json:"kind"` // HTTPRouteGroup, TCPRoute or UDPRoute
	Name    string   `json:"name"`
	Matches []string `json:"matches,omitzero"` // of the group; nil: all of them
}

type targetSpec struct {
	Destination *destination `json:"destination"`
	Rules       []Rule       `json:"rules"`
	Sources     []Subject    `json:"sources"`
}

type destination struct {
	Subject
	Port *int64 `json:"port,omitempty"`
}

func (d *decoder) target() *TrafficTarget {
	var spec targetSpec
	d.read(&spec)
	t := &TrafficTarget{Rules: spec.Rules, Sources: spec.Sources}
	if isMap(d.spec) {
		if spec.Destination != nil {
			t.Destination = spec.Destination.Subject
			t.Port = d.destinationPort(spec.Destination.Port)
			d.subject("spec.destination", t.Destination)
		} else {
			d.missing("destination", "spec.destination", "Name the service account that is called.")
		}
		if d.version >= 3 {
			d.some("rules", len(spec.Rules))
			d.some("sources", len(spec.Sources))
		}
	}
	for i, r := range spec.Rules {
		d.rule(i, r)
	}
	for i, s := range spec.Sources {
		d.subject(at("sources", i, ""), s)
	}
	t.Meta = d.meta
	return t
}

// some wants at least one item, as the page demands from v1alpha3 on.
func (d *decoder) some(list string, n int) {
	if n == 0 {
		d.missing(list, "spec."+list, "From v1alpha3 on a TrafficTarget has at least one: without it nothing is admitted.")
	}
}

func (d *decoder) destinationPort(port *int64) uint16 {
	if port == nil {
		return 0
	}
	if *port < 1 || *port > 65535 {
		d.portFault("spec.destination.port", strconv.FormatInt(*port, 10)+" is not a port", "Ports are 1 to 65535; leave it out for all.")
		return 0
	}
	return uint16(*port)
}

func (d *decoder) rule(i int, r Rule) {
	switch model.Kind(r.Kind) {
	case model.KindGroup, model.KindTCPRoute, model.KindUDPRoute:
	case "":
		d.missing("kind", at("rules", i, "kind"), "Write HTTPRouteGroup, TCPRoute or UDPRoute.")
	default:
		d.invalid(model.CodeKind, at("rules", i, "kind"), "there is no route of kind "+r.Kind, "Write HTTPRouteGroup, TCPRoute or UDPRoute.")
	}
	if r.Name == "" {
		d.missing("name", at("rules", i, "name"), "Name the route.")
	}
	if r.Kind != string(model.KindGroup) && r.Matches != nil {
		d.find(model.Notice, model.CodeUnknownField, at("rules", i, "matches"), "a "+orNothing(r.Kind)+" has no named matches: they say nothing", "Remove them.")
	}
}

// subject checks a caller or a destination. One of a kind that does not exist is nobody, and leaves the others as they are.
func (d *decoder) subject(path string, s Subject) {
	switch model.Kind(s.Kind) {
	case model.KindServiceAccount, model.KindBinding:
	case "":
		d.missing("kind", path+".kind", "Write ServiceAccount or IdentityBinding.")
	case "Group":
		d.find(model.Invalid, model.CodeKind, path+".kind", "SMI never said who a Group is: it is nobody", "Name a ServiceAccount or an IdentityBinding.")
	default:
		d.find(model.Invalid, model.CodeKind, path+".kind", "there is nobody of kind "+s.Kind, "Write ServiceAccount or IdentityBinding.")
	}
	if s.Name == "" {
		d.missing("name", path+".name", "Name it.")
	}
	// An early text of the page wrote the version too.
	if s.Group != "" && (s.Kind != string(model.KindBinding) || s.Group != AccessGroup && s.Group != AccessGroup+"/v1alpha4") {
		d.invalid(model.CodeKind, path+".group", "there is no "+orNothing(s.Kind)+" of SMI in "+s.Group, "Leave it out; an IdentityBinding is of "+AccessGroup+".")
	}
}

// Facts is one permission.
func (t *TrafficTarget) Facts(namespace string) []model.Fact {
	name := t.name(namespace)
	p := &model.Permission{Name: name, Destination: t.Destination.fact(name.Namespace), Port: t.Port, Broken: t.Broken}
	for _, s := range t.Sources {
		p.Sources = append(p.Sources, s.fact(name.Namespace))
	}
	for _, r := range t.Rules {
		p.Rules = append(p.Rules, model.Rule{Kind: model.Kind(r.Kind), Name: r.Name, Matches: r.Matches, All: r.Matches == nil})
	}
	return []model.Fact{p}
}

func (s Subject) fact(namespace string) model.Subject {
	if s.Namespace != "" {
		namespace = s.Namespace
	}
	return model.Subject{Kind: model.Kind(s.Kind), Namespace: namespace, Name: s.Name}
}

func (t *TrafficTarget) spec() any {
	d := destination{Subject: t.Destination}
	if t.Port != 0 {
		port := int64(t.Port)
		d.Port = &port
	}
	return &targetSpec{&d, orEmpty(t.Rules), orEmpty(t.Sources)}
}
