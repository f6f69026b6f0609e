// SPDX-License-Identifier: Apache-2.0

// Package mesh is the contract between anymesh and one mesh: what a driver is given, what it says, and how exactness is told.
//
// A driver is a value. It translates one unit at a time by pure functions, which cannot log, read flags, the clock or a cluster;
// what they need is in their argument. The README beside this file is the guide to adding one.
package mesh

import (
	"github.com/anymesh/anymesh/model"
)

// Driver is one mesh. A nil function means that the mesh has no such side.
type Driver struct {
	Name      string                  // in commands and findings: istio
	Title     string                  // in prose: Istio
	Claims    map[model.Feature]Claim // a feature not listed is unsupported
	Kinds     []Kind                  // what it writes, from which watches, permissions and pruning follow
	Route     func(*model.Route, *Output)
	Access    func(*model.Access, *Output)
	Endpoints func(*model.Endpoints, *Output)
	Settings  func(*model.Settings, *Output)
	Import    func(*Input) // native objects to facts
}

// Kind is a kind of native object.
type Kind struct {
	APIVersion string
	Kind       string
	Resource   string // the plural in URLs; empty for a kind that no Kubernetes API serves
}

// Claim is what a driver says of a feature in general.
type Claim struct {
	Level Level
	Note  string // how near, or why not
}

// Level is the model's; a claim is Exact, Approximate or Unsupported.
type Level = model.Level

// Yes claims that a feature is said exactly.
func Yes() Claim { return Claim{Level: model.Exact} }

// Where claims that a feature is said exactly within limits, which the note names; beyond them the driver says so, case by case.
func Where(note string) Claim { return Claim{model.Exact, note} }

// Nearly claims that a feature is said approximately; the note says how near.
func Nearly(note string) Claim { return Claim{model.Approximate, note} }

// No says that a mesh cannot say a feature; the note says why.
func No(note string) Claim { return Claim{model.Unsupported, note} }

// Claim is what the driver says of a feature. Silence is unsupported.
func (d *Driver) Claim(f model.Feature) Claim {
	if c, ok := d.Claims[f]; ok {
		return c
	}
	return No(d.Title + " has no way to say it")
}

// exact says whether the driver claims all of the features.
func (d *Driver) exact(all model.Features) bool {
	for f := range model.Feature(model.NumFeatures) {
		if !all.Has(f) {
			continue
		}
		if c, ok := d.Claims[f]; !ok || c.Level != model.Exact {
			return false
		}
	}
	return true
}

// Routes translates one root.
func (d *Driver) Routes(r *model.Route) *Output {
	o := newOutput(d)
	if d.Route != nil {
		d.Route(r, o)
	}
	return o.settle(r)
}

// Accesses translates one identity.
func (d *Driver) Accesses(a *model.Access) *Output {
	o := newOutput(d)
	if d.Access != nil {
		d.Access(a, o)
	}
	if len(a.Workloads) == 0 && a.Identity.ServiceAccount != "" {
		o.idle(a)
	}
	return o.settle(a)
}

// Addresses translates one service's endpoints.
func (d *Driver) Addresses(e *model.Endpoints) *Output {
	o := newOutput(d)
	if d.Endpoints != nil && e != nil {
		d.Endpoints(e, o)
	}
	return o
}

// Globals translates what belongs to no unit.
func (d *Driver) Globals(s *model.Settings) *Output {
	o := newOutput(d)
	if d.Settings != nil {
		d.Settings(s, o)
	}
	return o
}
