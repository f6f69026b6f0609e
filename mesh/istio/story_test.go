// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// The story is what Istio itself is asked: worlds, what the driver says of them, and questions with the evaluator's answers. It is written
// for the test in test/oracle/istio, a module of its own, since Istio's dependencies are older than ours and building both together
// would build all of Istio anew at each change of ours.
var storyFile = flag.String("story", "", "write the worlds, the objects and the questions that Istio itself is asked to this file")

type storyWorld struct {
	Name      string
	Services  []*model.Service
	Workloads []*model.Workload
	Objects   []mesh.Object
	Asks      []storyAsk
}

type storyAsk struct {
	Request *model.Request
	Caller  string             // SPIFFE ID
	Port    model.ServicePort  // of the root
	Shares  map[string]float64 // nil: the driver does not say that it is exact
	Admits  []storyAdmit       // by workload
}

type storyAdmit struct {
	Port  uint16
	Admit bool
	Sure  bool // the driver says that it is exact
}

func TestStory(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var worlds []storyWorld
	for i := range 40 {
		worlds = append(worlds, tell(fmt.Sprintf("random %d", i), randomWorld(r), r))
	}
	for _, c := range fixedWorlds() {
		worlds = append(worlds, tell(c.name, c.world, r))
	}
	for i := range 20 {
		w := tell(fmt.Sprintf("helped %d", i), helped(randomWorld(r)), r)
		for k := range w.Asks {
			w.Asks[k].Shares = nil // the helper is one for permissions
		}
		worlds = append(worlds, w)
	}
	asks := 0
	for _, w := range worlds {
		asks += len(w.Asks)
	}
	if asks < 500 {
		t.Errorf("the story asks %d questions: too few", asks)
	}
	writeStory(t, worlds)
}

func writeStory(t *testing.T, worlds []storyWorld) {
	t.Helper()
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

type fixed struct {
	name  string
	world *store.Store
}

// fixedWorlds are those that chance would seldom make.
func fixedWorlds() []fixed {
	beta := group("g", model.Match{Path: "/", Headers: []model.Header{{Name: "x-user", Value: "beta|gamma"}, {Name: "x-user", Value: "b.*"}}})
	all := permission("t", "catalog", by(model.KindGroup, "g"))
	stream := permission("t", "catalog", by(model.KindTCPRoute, "p2"))
	half := permission("t", "catalog", by(model.KindGroup, "g"))
	half.Destination = model.Subject{Kind: model.KindBinding, Namespace: "shop", Name: "v2"}
	with := func(more ...model.Fact) *store.Store {
		return world(append(append(shop(), &model.Binding{Name: name("v2"), Pods: map[string]string{"version": "v2"}},
			&model.PortRoute{Kind: model.KindTCPRoute, Name: name("p2"), Ports: model.AnyPort}), more...)...)
	}
	return []fixed{
		{"plain split", with(split("s", nil, 90, 10))},
		{"split with a backend that gets nothing", with(split("s", nil, 1, 0))},
		{"one backend", with(split("s", nil, 0, 0, 5))},
		{"matched split", with(split("s", []string{"g"}, 1, 1), beta)},
		{"any request is no raw TCP", with(all, group("g", model.Match{}))},
		{"raw TCP is every request", with(stream)},
		{"closed by a permission of nobody", with(&model.Permission{Name: name("t"), Destination: all.Destination})},
		{"some of an identity", with(half, group("g", model.Match{Path: "/api"}))},
		{"templates", with(all, group("g", model.Match{Path: "/items/[^/]+"}, model.Match{Path: "/x/[^/]+/y", Headers: []model.Header{{Name: "x-user", Value: ".*"}}}))},
		{"hosts", with(all, group("g", model.Match{Headers: []model.Header{{Name: "host", Value: `catalog\..*`}}}))},
	}
}

// tell puts random questions about a world.
func tell(title string, w *store.Store, r *rand.Rand) storyWorld {
	out := translate(w)
	story := storyWorld{Name: title, Objects: out.objects}
	for f := range w.Facts {
		switch f := f.(type) {
		case *model.Service:
			story.Services = append(story.Services, f)
		case *model.Workload:
			story.Workloads = append(story.Workloads, f)
		}
	}
	slices.SortFunc(story.Services, func(a, b *model.Service) int { return a.Name.Compare(b.Name) })
	slices.SortFunc(story.Workloads, func(a, b *model.Workload) int { return a.Ref().Compare(b.Ref()) })
	for range 40 {
		q := randomRequest(r)
		q.Host = w.Settings().Host(q.Service)
		a := storyAsk{Request: q, Port: *w.Service(q.Service).Port(q.Port)}
		if q.From.ServiceAccount != "" {
			a.Caller = q.From.SPIFFE(w.Settings().TrustDomain)
		}
		if exactRoute(out, q.Service) {
			a.Shares = shares(w, q)
		}
		for _, wl := range story.Workloads {
			access, _ := model.JoinAccess(w, wl.Identity())
			n := wl.TargetPort(&a.Port)
			admit, _, _ := access.Admit(wl, n, q, q.Host)
			sure := exact(out, store.Unit{Kind: store.UnitAccess, Name: model.Name{Namespace: wl.Name.Namespace, Name: wl.Account}}) && !mixed(w, wl)
			a.Admits = append(a.Admits, storyAdmit{n, admit, sure})
		}
		story.Asks = append(story.Asks, a)
	}
	return story
}
