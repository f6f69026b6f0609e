// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// requests is how many are asked of each world.
const requests = 60

// Safe asks that a mesh never admits what was not permitted, whatever the driver says of its exactness.
func Safe(s Subject, worlds []World) (problems []string) {
	return s.ask(worlds, func(a *answer) string {
		if a.admits && !a.permitted {
			return "admits what is not permitted (" + a.why + ")"
		}
		return ""
	}, nil)
}

// Meaning asks that a mesh does what SMI means wherever the driver says that it is exact: requests go where the evaluator sends them, and
// those that are permitted are admitted.
func Meaning(s Subject, worlds []World) (problems []string) {
	return s.ask(worlds, func(a *answer) string {
		if a.exact && a.known && a.permitted && !a.admits {
			return "refuses what is permitted (" + a.why + ")"
		}
		return ""
	}, s.routed)
}

// answer is what the two sides say of one request at one workload.
type answer struct {
	permitted, admits, exact bool
	known                    bool // the caller has an identity: a mesh may well ask for one where SMI does not
	why                      string
}

// ask puts random requests to both sides.
func (s *Subject) ask(worlds []World, admitted func(*answer) string, routed func(*store.Store, *translated, *model.Request) string) (problems []string) {
	for _, w := range worlds {
		t := translate(s.Driver, w.Store)
		r := rand.New(rand.NewPCG(7, uint64(len(w.Name))))
		vocabulary := words(w.Store)
		for range requests {
			q := vocabulary.request(r)
			if q == nil {
				break
			}
			if q.Layer == model.LayerDatagram && s.Driver.Claim(model.AccessDatagram).Level != model.Exact {
				continue // the mesh does not carry it, and says so
			}
			say := func(problem string) {
				if problem != "" && len(problems) < 50 {
					problems = append(problems, fmt.Sprintf("world %s: %s %s from %s to %s port %d %s headers %v: %s %s", w.Name, q.Method, q.Path, q.From, q.Service, q.Port, q.Host, q.Headers, s.Driver.Name, problem))
				}
			}
			if routed != nil {
				say(routed(w.Store, t, q))
			}
			for _, a := range s.answers(w.Store, t, q) {
				say(admitted(&a))
			}
		}
	}
	return problems
}

// routed compares where the two sides send a request.
func (s *Subject) routed(w *store.Store, t *translated, q *model.Request) string {
	if wishes(t.findings[store.Unit{Kind: store.UnitRoute, Name: q.Service}]) {
		return ""
	}
	route, _ := model.JoinRoute(w, q.Service)
	port, err := route.PortFor(q)
	if err != nil {
		panic(err) // requests are made for ports that are there
	}
	shares, _ := route.Choose(port, q)
	want, total := map[string]float64{}, 0.0
	for _, sh := range shares {
		total += float64(sh.Weight)
	}
	for _, sh := range shares {
		if sh.Weight > 0 {
			want[key(sh.Service, sh.Port.Number)] = float64(sh.Weight) / total
		}
	}
	got, err := s.Judge.Route(t.objects, w, q)
	if err != nil {
		return "cannot be judged: " + err.Error()
	}
	same := len(got) == len(want)
	for k, v := range want {
		same = same && math.Abs(got[k]-v) < 1e-6
	}
	if !same {
		return fmt.Sprintf("sends it to %v, SMI to %v", got, want)
	}
	return ""
}

// key is how a judge names a service's port.
func key(service model.Name, port uint16) string { return fmt.Sprintf("%s:%d", service, port) }

// answers asks both sides about every workload to which a request may go.
func (s *Subject) answers(w *store.Store, t *translated, q *model.Request) (out []answer) {
	route, _ := model.JoinRoute(w, q.Service)
	port, err := route.PortFor(q)
	if err != nil {
		panic(err) // requests are made for ports that are there
	}
	shares, _ := route.Choose(port, q)
	said := true
	for _, list := range t.findings { // labels that find others too narrow what those admit: it is said where it was caused
		said = said && !slices.ContainsFunc(list, func(f model.Finding) bool { return f.Code == model.CodeSelector })
	}
	for _, sh := range shares {
		for _, wl := range w.Selected(sh.Service) {
			n := wl.TargetPort(sh.Port)
			if n == 0 {
				continue
			}
			id := wl.Identity()
			a, _ := model.JoinAccess(w, id)
			permitted, _, why := a.Admit(wl, n, q, q.Host)
			unit := store.Unit{Kind: store.UnitAccess, Name: model.Name{Namespace: id.Namespace, Name: id.ServiceAccount}}
			out = append(out, answer{permitted, s.Judge.Admit(t.objects, w, wl, n, q), !wishes(t.findings[unit]) && said, q.From.ServiceAccount != "",
				fmt.Sprintf("at %s port %d: %s", wl.Ref(), n, why)})
		}
	}
	return out
}

func wishes(list []model.Finding) bool {
	return slices.ContainsFunc(list, func(f model.Finding) bool { return f.Wish && f.Level >= model.Approximate })
}

// RoundTrip asks that what a driver wrote reads back as the same meaning, where all of it was said exactly.
func RoundTrip(d *mesh.Driver, worlds []World) (problems []string) {
	for _, w := range worlds {
		t := translate(d, w.Store)
		if slices.ContainsFunc(slices.Collect(maps.Values(t.findings)), wishes) {
			continue
		}
		back, findings, err := readBack(d, w.Store, t)
		if err != nil {
			problems = append(problems, fmt.Sprintf("world %s: %v", w.Name, err))
			continue
		}
		for _, f := range findings {
			if f.Level >= model.Approximate {
				problems = append(problems, fmt.Sprintf("world %s: %s does not read back %s %s: %s", w.Name, d.Name, f.Object, f.Path, f.Message))
			}
		}
		problems = append(problems, compare(w, back)...)
	}
	return problems
}

// compare asks random requests of a world and of what was read back from a mesh.
func compare(w World, back *store.Store) (problems []string) {
	r := rand.New(rand.NewPCG(11, uint64(len(w.Name))))
	vocabulary := words(w.Store)
	for range requests {
		q := vocabulary.request(r)
		if q == nil {
			break
		}
		a, err := model.Evaluate(w.Store, q)
		b, err2 := model.Evaluate(back, q)
		if err != nil || err2 != nil {
			problems = append(problems, fmt.Sprintf("world %s: %v, read back: %v", w.Name, err, err2))
			break
		}
		if !alike(a, b) {
			problems = append(problems, fmt.Sprintf("world %s: %s %s from %s to %s port %d headers %v: %+v, read back: %+v", w.Name, q.Method, q.Path, q.From, q.Service, q.Port, q.Headers, a, b))
			break
		}
	}
	return problems
}

func alike(a, b *model.Verdict) bool {
	return slices.EqualFunc(sorted(a.Backends), sorted(b.Backends), func(x, y model.Outcome) bool {
		return x.Service == y.Service && x.Port == y.Port && x.Allowed == y.Allowed && math.Abs(x.Share-y.Share) < 1e-6
	})
}

func sorted(list []model.Outcome) []model.Outcome {
	return slices.SortedFunc(slices.Values(list), func(x, y model.Outcome) int { return x.Service.Compare(y.Service) })
}
