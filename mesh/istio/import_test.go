// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// imported reads native objects beside the Services and workloads of a world.
func imported(t *testing.T, w *store.Store, text string) (*mesh.Input, *store.Store) {
	t.Helper()
	back := store.New()
	set := func(f model.Fact) { back.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	for f := range w.Facts {
		switch f.(type) {
		case *model.Service, *model.Workload:
			set(f)
		}
	}
	objects, problems := object.Parse("native.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	in := &mesh.Input{Objects: objects, World: back, Mesh: "istio"}
	Driver.Import(in)
	for _, f := range in.Facts {
		set(f)
	}
	return in, back
}

// TestRoundTrip holds that what the driver wrote reads back as what it was written from, as far as it was written: never more is admitted, and
// where all was said exactly nothing is lost.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	routed, admitted, refused := 0, 0, 0
	for n := range 150 {
		w := randomWorld(r)
		out := translate(w)
		var docs []string
		for i := range out.objects {
			doc, err := json.Marshal(&out.objects[i])
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, string(doc))
		}
		in, back := imported(t, w, strings.Join(docs, "\n"))
		for range 30 {
			q := randomRequest(r)
			if exactRoute(out, q.Service) {
				if a, b := shares(w, q), shares(back, q); !near(a, b) {
					t.Fatalf("world %d: %+v goes to %v, read back to %v\n%s\n%+v", n, q, a, b, strings.Join(docs, "\n"), in.Findings)
				}
				routed++
			}
			for _, wl := range w.Selected(name("catalog")) {
				before, _ := model.JoinAccess(w, wl.Identity())
				after, _ := model.JoinAccess(back, wl.Identity())
				port := wl.TargetPort(w.Service(name("catalog")).Port(q.Port))
				a, _, _ := before.Admit(wl, port, q, w.Settings().Host(q.Service))
				b, _, why := after.Admit(wl, port, q, w.Settings().Host(q.Service))
				sure := exact(out, store.Unit{Kind: store.UnitAccess, Name: model.Name{Namespace: "shop", Name: wl.Account}}) && !mixed(w, wl)
				if a != b && (b || sure) {
					t.Fatalf("world %d: %s port %d admits %+v: %v, read back %v (%s)\n%s\n%+v", n, wl.Ref(), port, q, a, b, why, strings.Join(docs, "\n"), in.Findings)
				}
				if b {
					admitted++
				} else {
					refused++
				}
			}
		}
	}
	if routed < 1000 || admitted < 500 || refused < 500 {
		t.Errorf("the test tests too little: %d %d %d", routed, admitted, refused)
	}
}
