// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"iter"
	"slices"

	"github.com/anymesh/anymesh/model"
)

// Output is what one unit becomes: objects, and what is to be said about its intents.
type Output struct {
	Objects  []Object
	Findings []model.Finding // after the driver has returned: of each intent that is not exact
	driver   *Driver
	asker    asker // nil for a unit that asks for nothing
}

// asker is a unit that asks for something.
type asker interface {
	Intents(func(model.Intent) bool)
	Features() model.Features
}

func newOutput(d *Driver) *Output { return &Output{driver: d} }

// Add says an object.
func (o *Output) Add(obj Object) {
	if o.Objects == nil {
		o.Objects = make([]Object, 0, 2)
	}
	o.Objects = append(o.Objects, obj)
}

// Say overrides the driver's claim for one intent of this unit. The worst that is said of an intent stands.
func (o *Output) Say(in model.Intent, l Level, message, hint string) {
	o.say(in, l, code(l), message, hint)
}

// SayAll says the same of several intents: all that a part carries which was left out.
func (o *Output) SayAll(all iter.Seq[model.Intent], l Level, message, hint string) {
	for in := range all {
		o.say(in, l, code(l), message, hint)
	}
}

// SayAs is Say with a code of its own.
func (o *Output) SayAs(in model.Intent, l Level, c model.Code, message, hint string) {
	o.say(in, l, c, message, hint)
}

// Claim is what the driver claims of a feature.
func (o *Output) Claim(f model.Feature) Claim { return o.driver.Claim(f) }

func (o *Output) say(in model.Intent, l Level, c model.Code, message, hint string) {
	if l == model.Exact {
		panic("mesh: " + o.driver.Name + " says that an intent is exact: that is for its claims")
	}
	f := model.Finding{Mesh: o.driver.Name, Level: l, Code: c, Object: in.Object, Path: in.Path, Feature: in.Feature, Wish: true, Message: message, Hint: hint}
	i := o.find(in)
	switch {
	case i < 0:
		o.Findings = append(o.Findings, f)
	case o.Findings[i].Level < l:
		o.Findings[i] = f
	}
}

func (o *Output) find(in model.Intent) int {
	return slices.IndexFunc(o.Findings, func(f model.Finding) bool {
		return f.Feature == in.Feature && f.Path == in.Path && f.Object == in.Object
	})
}

// idle says of permissions for an identity that nothing runs as that nothing was written for them: no mesh has anything to attach
// them to.
func (o *Output) idle(a *model.Access) {
	for i := range a.Grants {
		in := model.Intent{Feature: model.AccessCaller, Object: a.Grants[i].Permission.Ref(), Path: "spec.destination"}
		o.SayAs(in, model.Unsupported, model.CodeNoWorkload, "nothing was written: no workload that is known runs as "+a.Identity.String(),
			"Give the workloads beside the SMI objects: the Deployment, StatefulSet, DaemonSet or Pod.")
	}
}

// settle joins what was asked with what was said. What was said of things that nobody asked is kept too: a driver may know better.
func (o *Output) settle(a asker) *Output {
	o.asker = a
	if o.driver.exact(a.Features()) { // nearly always: then the intents need not even be written out
		return o
	}
	for in := range a.Intents {
		if c := o.driver.Claim(in.Feature); c.Level != model.Exact && o.find(in) < 0 {
			o.say(in, c.Level, code(c.Level), c.Note, "")
		}
	}
	return o
}

// Granted lists a finding for each intent that was met exactly. It is computed when it is asked for: nearly all intents are exact, and
// nobody reads that at run time.
func (o *Output) Granted() []model.Finding {
	var out []model.Finding
	if o.asker != nil {
		for in := range o.asker.Intents {
			if o.find(in) < 0 {
				out = append(out, model.Finding{Mesh: o.driver.Name, Object: in.Object, Path: in.Path, Feature: in.Feature, Wish: true})
			}
		}
	}
	return out
}

func code(l Level) model.Code {
	if l == model.Approximate || l == model.Notice {
		return model.CodeApproximate
	}
	return model.CodeUnsupported
}
