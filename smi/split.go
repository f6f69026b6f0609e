// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi/version"
)

// TrafficSplit shares out the traffic of a root service (group split).
type TrafficSplit struct {
	Meta
	Service  string
	Backends []Backend
	Matches  []GroupRef // from v1alpha3
}

// Backend is one receiver of a split.
type Backend struct {
	Service string `json:"service"`
	Weight  Weight `json:"weight"`
}

// GroupRef names a route group beside the split.
type GroupRef struct {
	APIGroup string `json:"apiGroup,omitempty"`
	Kind     string `json:"kind"`
	Name     string `json:"name"`
}

type splitSpec struct {
	Service  string     `json:"service"`
	Matches  []GroupRef `json:"matches,omitempty"`
	Backends []Backend  `json:"backends"`
}

func (d *decoder) split() *TrafficSplit {
	var spec splitSpec
	d.read(&spec)
	if isMap(d.spec) {
		if spec.Service == "" {
			d.missing("service", "spec.service", "Name the Service that clients call.")
		}
		switch {
		case object.Field(d.spec, "backends") == nil:
			d.missing("backends", "spec.backends", "List the Services that share the traffic.")
		case len(spec.Backends) == 0 && !d.found("spec.backends"):
			d.find(model.Notice, model.CodeNoWeight, "spec.backends", "a split without backends splits nothing: the root's own endpoints serve all", "List the Services that share the traffic.")
		}
	}
	var values []version.Decimal
	for i, b := range spec.Backends {
		if b.Service == "" {
			d.missing("service", at("backends", i, "service"), "Name the Service.")
		}
		d.weight(i, b.Weight)
		values = append(values, b.Weight.value)
	}
	if _, _, ok := version.Scale(values); !ok {
		d.invalid(model.CodeWeight, "spec.backends", "the weights are too large, or too far apart to be whole together", "Use weights up to 1000000000.")
	}
	for i, m := range spec.Matches {
		d.groupRef(i, m)
	}
	return &TrafficSplit{d.meta, spec.Service, spec.Backends, spec.Matches}
}

func (d *decoder) weight(i int, w Weight) {
	switch path := at("backends", i, "weight"); {
	case w.value.Negative():
		d.invalid(model.CodeWeight, path, "a weight cannot be below 0: "+w.String(), "Write 0 for no traffic.")
	case d.version > 1 && w.value.Fraction():
		d.invalid(model.CodeWeight, path, "a weight is a whole number from v1alpha2 on, not "+w.String(), "Multiply all weights of the split by the same number, until they are whole.")
	case d.version > 1 && w.quoted:
		d.find(model.Notice, model.CodeWeight, path, "the weight "+w.String()+" is text: it is read as a number, and other tools may refuse it", "Write it without quotes and suffix.")
	}
}

func (d *decoder) groupRef(i int, m GroupRef) {
	if m.Kind != string(model.KindGroup) {
		d.invalid(model.CodeKind, at("matches", i, "kind"), "a split is matched by an HTTPRouteGroup, not by "+orNothing(m.Kind), "Write kind: HTTPRouteGroup.")
	}
	if group, _, _ := strings.Cut(m.APIGroup, "/"); group != "" && group != SpecsGroup {
		d.invalid(model.CodeKind, at("matches", i, "apiGroup"), "there is no HTTPRouteGroup of SMI in "+m.APIGroup, "Write "+SpecsGroup+", or leave it out.")
	}
	if m.Name == "" {
		d.missing("name", at("matches", i, "name"), "Name the HTTPRouteGroup.")
	}
}

func orNothing(kind string) string {
	if kind == "" {
		return "nothing"
	}
	return kind
}

// Facts is one split.
func (t *TrafficSplit) Facts(namespace string) []model.Fact {
	f := &model.Split{Name: t.name(namespace), Created: t.Created, Root: t.Service, Broken: t.Broken}
	var values []version.Decimal
	for _, b := range t.Backends {
		values = append(values, b.Weight.value)
	}
	_, whole, ok := version.Scale(values)
	f.Broken = f.Broken || !ok
	for i, b := range t.Backends {
		backend := model.Backend{Service: b.Service}
		if ok {
			backend.Weight = max(0, whole[i])
		}
		f.Backends = append(f.Backends, backend)
	}
	for _, m := range t.Matches {
		f.Groups = append(f.Groups, m.Name)
	}
	return []model.Fact{f}
}

func (t *TrafficSplit) spec() any {
	return &splitSpec{t.Service, t.Matches, orEmpty(t.Backends)}
}

// orEmpty is the list that is written where a field must be there.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
