// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// The story is what Cilium itself is asked: what the driver says of worlds, and questions with the evaluator's answers. It is written for the test in
// test/oracle/cilium, a module of its own, since Cilium's dependencies are older than ours.
var storyFile = flag.String("story", "", "write the objects and the questions that Cilium itself is asked to this file")

type storyWorld struct {
	Name    string
	Objects []mesh.Object
	Asks    []storyAsk
}

type storyAsk struct {
	From, To map[string]string // labels, as a pod has them; no caller: one outside the cluster
	Port     uint16
	Request  *model.Request
	Admit    bool
	Sure     bool // the driver says that it is exact
}

// TestStory writes the story; it also asks the judge, so that it holds something where Cilium is not.
func TestStory(t *testing.T) {
	var worlds []storyWorld
	for _, w := range meshtest.Worlds(meshtest.Cases(t)) {
		if story := tell(t, w); len(story.Objects) > 0 {
			worlds = append(worlds, story)
		}
	}
	if *storyFile == "" {
		return
	}
	text, err := json.Marshal(worlds)
	if err == nil {
		err = os.WriteFile(*storyFile, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func tell(t *testing.T, w meshtest.World) storyWorld {
	objs, said, sound := say(w.Store)
	story := storyWorld{Name: w.Name}
	for _, o := range objs {
		if o.Kind == kindPolicy || o.Kind == kindCluster {
			story.Objects = append(story.Objects, o)
		}
	}
	for _, q := range meshtest.Requests(w.Store, 40) {
		service := w.Store.Service(q.Service)
		for _, wl := range w.Store.Selected(q.Service) {
			port := wl.TargetPort(service.Port(q.Port))
			if port == 0 {
				continue
			}
			a, _ := model.JoinAccess(w.Store, wl.Identity())
			ask := storyAsk{Request: q, Port: port, To: labelled(wl.Labels, wl.Identity()), Sure: sound && q.From.ServiceAccount != ""}
			if q.From.ServiceAccount != "" {
				ask.From = labelled(q.Pod, q.From)
			}
			if q.Host == "" {
				q.Host = w.Store.Settings().Host(q.Service)
			}
			ask.Admit, _, _ = a.Admit(wl, port, q, q.Host)
			ask.Sure = ask.Sure && !slices.ContainsFunc(said[wl.Identity()], func(f model.Finding) bool { return f.Level >= model.Approximate })
			if got := judgeAdmit(objs, w.Store, wl, port, q); got && !ask.Admit || ask.Sure && got != ask.Admit {
				t.Fatalf("world %s: %+v at %s: admitted is %v", w.Name, q, wl.Ref(), got)
			}
			story.Asks = append(story.Asks, ask)
		}
	}
	return story
}

func labelled(labels map[string]string, id model.Identity) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	out[bare(namespaceLabel)], out[bare(accountLabel)] = id.Namespace, id.ServiceAccount
	return out
}

// say is all that the driver says of a world, and whether no labels find what they should not.
func say(s *store.Store) (objs []mesh.Object, said map[model.Identity][]model.Finding, sound bool) {
	said, sound = map[model.Identity][]model.Finding{}, true
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		var o *mesh.Output
		switch u.Kind {
		case store.UnitAccess:
			id := model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name}
			a, _ := model.JoinAccess(s, id)
			o = Driver.Accesses(a)
			said[id] = o.Findings
			sound = sound && !slices.ContainsFunc(o.Findings, func(f model.Finding) bool { return f.Code == model.CodeSelector })
		case store.UnitSettings:
			o = Driver.Globals(s.Settings())
		default:
			continue
		}
		objs = append(objs, o.Objects...)
	}
	return objs, said, sound
}
