// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"slices"
	"strconv"

	"github.com/anymesh/anymesh/model"
)

// PortRoute names ports: a TCPRoute or a UDPRoute, as its Kind says (group specs).
type PortRoute struct {
	Meta
	Title string   // spec.matches.name, which some tools write; it means nothing
	Ports []uint16 // from v1alpha4; empty: all
}

type portSpec struct {
	Matches portMatches `json:"matches,omitzero"`
}

type portMatches struct {
	Name  string  `json:"name,omitempty"`
	Ports []int64 `json:"ports,omitempty"`
}

// IsZero says whether nothing is said.
func (m portMatches) IsZero() bool { return m.Name == "" && len(m.Ports) == 0 }

func (d *decoder) ports() *PortRoute {
	var spec portSpec
	d.read(&spec)
	r := &PortRoute{Title: spec.Matches.Name}
	for i, p := range spec.Matches.Ports {
		path := "spec.matches.ports[" + strconv.Itoa(i) + "]"
		switch {
		case p < 1 || p > 65535:
			d.portFault(path, strconv.FormatInt(p, 10)+" is not a port", "Ports are 1 to 65535; leave the list out for all.")
		case slices.Contains(r.Ports, uint16(p)):
			d.portFault(path, "port "+strconv.FormatInt(p, 10)+" is named twice", "Remove one of the two.")
		default:
			r.Ports = append(r.Ports, uint16(p))
		}
	}
	r.Meta = d.meta
	return r
}

func (d *decoder) portFault(path, message, hint string) {
	if !d.found(path) { // an item of the wrong type reads as 0
		d.invalid(model.CodePort, path, message, hint)
	}
}

// Facts is one port route; with a fault it has no port at all.
func (r *PortRoute) Facts(namespace string) []model.Fact {
	f := &model.PortRoute{Kind: r.Kind, Name: r.name(namespace)}
	switch {
	case r.Broken:
	case len(r.Ports) == 0:
		f.Ports = model.AnyPort
	default:
		f.Ports = model.PortSet(r.Ports...)
	}
	return []model.Fact{f}
}

func (r *PortRoute) spec() any {
	spec := portSpec{Matches: portMatches{Name: r.Title}}
	for _, p := range r.Ports {
		spec.Matches.Ports = append(spec.Matches.Ports, int64(p))
	}
	return &spec
}
