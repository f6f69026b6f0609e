// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// Check is what came of asking both sides the same requests.
type Check struct {
	Unasked     string // why the side that is entered cannot be asked; empty: it was
	Requests    int
	Differences []Difference
	Unread      []model.Finding // of reading back what was written: what its own importer does not understand looks refused
}

// Effect is what becomes of a request.
type Effect string

// The effects.
const (
	Narrows Effect = "narrows" // what was admitted is refused
	Widens  Effect = "widens"  // what was refused is admitted
	Moves   Effect = "moves"   // it goes to other backends
)

// Difference is one way in which the sides do not mean the same, with the simplest request that shows it.
type Difference struct {
	Effect        Effect
	At            model.Ref // the Service that was called, or the workload that answers
	Port          uint16    // of it
	Request       model.Request
	Before, After string
	Objects       []model.Ref     // of SMI, that decided before
	Said          []model.Finding // of the report, about these objects: the difference was announced
	Requests      int             // that show it
}

// Fault says whether the difference is one of anymesh: nothing may ever be admitted that was not, unless the mesh cannot refuse it and the
// report says so.
func (d *Difference) Fault() bool { return d.Effect == Widens && len(d.Said) == 0 }

// check asks both sides.
func (m *Move) check(before *store.Store, written []*mesh.Object, said []model.Finding) (c Check) {
	if m.To.Import == nil {
		c.Unasked = m.To.Title + " has no importer: what it was told cannot be read back, and the report above is all that is known of what changes"
		return c
	}
	after, unread := m.readBack(before, written)
	a := asked{before: look(before), after: look(after), said: said, found: map[string]*Difference{}}
	list := m.vocabularies(a.before, a.after)
	for _, v := range list {
		for q := range v.requests {
			a.ask(v, q)
		}
	}
	if len(list) > 0 {
		r := rand.New(rand.NewPCG(m.Seed, 1))
		for range m.Requests {
			v := list[r.IntN(len(list))]
			if q := v.random(r); q != nil {
				a.ask(v, q)
			}
		}
	}
	c.Requests, c.Unread = a.count, unread
	for _, key := range slices.Sorted(maps.Keys(a.found)) {
		c.Differences = append(c.Differences, *a.found[key])
	}
	order := map[Effect]int{Widens: 0, Narrows: 1, Moves: 2}
	slices.SortStableFunc(c.Differences, func(x, y Difference) int { return order[x.Effect] - order[y.Effect] })
	return c
}

// readBack is the world as the mesh that is entered understands what was written for it. Nothing is closed by the settings of the mesh
// that is left: only what was written closes.
func (m *Move) readBack(before *store.Store, written []*mesh.Object) (*store.Store, []model.Finding) {
	base := m.beside()
	settings := *before.Settings()
	settings.Access = model.AccessTargeted
	base = append(base, store.Event{Object: settings.Ref(), Facts: []model.Fact{&settings}})
	in := &mesh.Input{World: gather(base), Mesh: m.To.Name}
	for _, w := range written {
		text, err := json.Marshal(w)
		if err != nil {
			panic("migrate: " + w.Key().String() + ": " + err.Error())
		}
		list, problems := object.Parse(w.Key().String(), text)
		if len(list) != 1 {
			panic(fmt.Sprintf("migrate: %s does not read back: %v", w.Key(), problems))
		}
		in.Objects = append(in.Objects, list[0])
	}
	m.To.Import(in)
	unread := slices.DeleteFunc(in.Findings, func(f model.Finding) bool { return f.Level < model.Approximate })
	return gather(base, events(in.Facts)), unread
}

// asked is both sides, and what they were found to differ in.
type asked struct {
	before, after *view
	said          []model.Finding
	found         map[string]*Difference
	count         int
}

// ask puts one request to both sides: where it goes, and whether each workload admits it that may answer on either side.
func (a *asked) ask(v *vocabulary, q *model.Request) {
	a.count++
	was, is := a.before.route(v.service.Name), a.after.route(v.service.Name)
	p, o := portOf(was, v.port), portOf(is, v.port)
	if p == nil || o == nil {
		panic("migrate: a port is gone: " + v.service.Name.String()) // both worlds hold the same Services
	}
	here, by := was.Choose(p, q)
	there, _ := is.Choose(o, q)
	if x, y := parts(here), parts(there); x != y {
		var refs []model.Ref
		for _, d := range by {
			refs = append(refs, d.Object)
		}
		for _, s := range was.Splits { // a request that no split took may be taken by one now
			if len(by) == 0 {
				refs = append(refs, s.Ref())
			}
		}
		a.note(&Difference{Effect: Moves, At: model.Ref{Kind: model.KindService, Name: v.service.Name}, Port: v.port.Number, Request: *q, Before: x, After: y, Objects: refs})
	}
	seen := map[string]bool{}
	self := model.Share{Service: v.service.Name, Port: &p.ServicePort}
	for _, s := range slices.Concat([]model.Share{self}, here, there) {
		if s.Port == nil {
			continue
		}
		for _, w := range a.before.Selected(s.Service) {
			port := w.TargetPort(s.Port)
			key := fmt.Sprint(w.Ref(), port)
			if port != 0 && !seen[key] {
				seen[key] = true
				a.admits(w, port, q)
			}
		}
	}
}

// admits compares whether a workload admits a request.
func (a *asked) admits(w *model.Workload, port uint16, q *model.Request) {
	id, host := w.Identity(), a.before.Settings().Host(q.Service)
	was, is := a.before.protects(id), a.after.protects(id)
	x, by, before := was.Admit(w, port, q, host)
	y, _, after := is.Admit(w, port, q, host)
	if x == y {
		return
	}
	d := &Difference{Effect: Narrows, At: w.Ref(), Port: port, Request: *q, Before: before, After: after}
	for _, by := range by {
		d.Objects = append(d.Objects, by.Object)
	}
	if y { // all that closed the workload could have been lost
		d.Effect = Widens
		d.Objects = append(d.Objects, was.Settings.Ref())
		for i := range was.Grants {
			d.Objects = append(d.Objects, was.Grants[i].Permission.Ref())
		}
	}
	a.note(d)
}

// note keeps a difference: of several with one cause the one with the simplest request.
func (a *asked) note(d *Difference) {
	slices.SortFunc(d.Objects, model.Ref.Compare)
	d.Objects = slices.Compact(d.Objects)
	key := fmt.Sprint(d.Effect, d.At, d.Port, d.Objects)
	if d.Effect == Widens || d.Effect == Narrows {
		key = fmt.Sprint(d.Effect, d.Objects, strings.Contains(d.Request.SPIFFE, ":")) // one permission of many workloads is one difference
	}
	old := a.found[key]
	if old == nil {
		d.Requests = 1
		level := model.Approximate
		if d.Effect == Widens { // what is nearly said never admits more
			level = model.Unsupported
		}
		for _, f := range a.said {
			if f.Level >= level && slices.Contains(d.Objects, f.Object) {
				d.Said = append(d.Said, f)
			}
		}
		a.found[key] = d
		return
	}
	old.Requests++
	if simpler(&d.Request, &old.Request) < 0 {
		old.At, old.Port, old.Request, old.Before, old.After = d.At, d.Port, d.Request, d.Before, d.After
	}
}

// parts writes shares as a person reads them: 90% shop/catalog-v1:8080, 10% shop/catalog-v2:8080.
func parts(shares []model.Share) string {
	var total int64
	for _, s := range shares {
		total += s.Weight
	}
	var out []string
	for _, s := range slices.SortedFunc(slices.Values(shares), func(a, b model.Share) int { return a.Service.Compare(b.Service) }) {
		if s.Weight > 0 {
			out = append(out, fmt.Sprintf("%g%% %s:%d", math.Round(1e4*float64(s.Weight)/float64(total))/100, s.Service, s.Port.Number))
		}
	}
	return strings.Join(out, ", ")
}
