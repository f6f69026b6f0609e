// SPDX-License-Identifier: Apache-2.0

// Package mesh is the contract between anymesh and one mesh: what a driver is given, what it says, and how exactness is told.
//
// A driver is a value. It translates one unit at a time by pure functions, which cannot log, read flags, the clock or a cluster;
// what they need is in their argument. The README beside this file is the guide to adding one.
package mesh

import (
	"slices"

	"github.com/anymesh/anymesh/model"
)

// Driver is one mesh. A nil function means that the mesh has no such side.
//
// Releases of a mesh that speak different APIs are drivers of their own, listed as the Older ones of the newest: which of them a
// cluster can take follows from the Kinds that it serves.
type Driver struct {
	Name      string                  // in commands and findings: istio
	Title     string                  // in prose: Istio
	Version   string                  // the releases of the mesh that it is for, in prose: 1.24 and later; empty: any
	Claims    map[model.Feature]Claim // a feature not listed is unsupported
	Kinds     []Kind                  // what it writes, from which watches, permissions and pruning follow
	Reads     []Kind                  // what Import understands beside Kinds
	Marks     []Kind                  // a cluster that serves any of them has the mesh; none: a cluster does not show it
	Older     []*Driver               // for earlier releases, newest first, with names of their own
	Follows   []Kind                  // that the mesh obeys beside, though the driver neither writes nor understands them
	Injection *Injection              // how pods come to its proxies; nil: not by anything that is written on their namespace
	Route     func(*model.Route, *Output)
	Access    func(*model.Access, *Output)
	Endpoints func(*model.Endpoints, *Output)
	Settings  func(*model.Settings, *Output)
	Import    func(*Input) // native objects to facts
	Queries   *Queries     // the series that its proxies count traffic in; nil: it has none of its own
}

// Kind is a kind of native object.
type Kind struct {
	APIVersion string
	Kind       string
	Resource   string // the plural in URLs; empty for a kind that no Kubernetes API serves
	Clash      string // what an object of the kind that is not ours does to those that are, in prose; empty: both hold
	Helper     bool   // it is written where the settings name a helper, and not otherwise: a cluster need not serve it
}

// Injection says how the pods of a namespace come to have the proxies of a mesh, by what is written on the namespace.
type Injection struct {
	Labels      map[string]string // of a namespace whose pods have them
	Annotations map[string]string
	Others      []string // further labels that may have the same effect: a revision
	Sidecars    bool     // the proxies are in the pods, which have to be made anew to gain or to lose them
	Guest       bool     // it has no proxies: those of whichever mesh is there follow it
	Enter       string   // what is to be done besides to gain them, in prose
	Leave       string   // and to lose them
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

// Writes says whether a driver has anything to say: one without is for reading a mesh that nobody should move to.
func (d *Driver) Writes() bool {
	return d.Route != nil || d.Access != nil || d.Endpoints != nil || d.Settings != nil
}

// Direct says whether the mesh is programmed past the cluster's API: no kind that the driver writes is served there.
func (d *Driver) Direct() bool {
	return !slices.ContainsFunc(d.Kinds, func(k Kind) bool { return k.Resource != "" })
}

// For is the driver for a place that serves certain kinds: d itself or the newest of its Older ones all of whose Kinds are served; nil where
// none can be used.
func (d *Driver) For(served func(Kind) bool) *Driver {
	if !slices.ContainsFunc(d.Kinds, func(k Kind) bool { return k.Resource != "" && !k.Helper && !served(k) }) {
		return d
	}
	for _, o := range d.Older {
		if o.For(served) != nil {
			return o
		}
	}
	return nil
}

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
