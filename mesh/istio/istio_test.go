// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// TestConformance is the story that every driver passes.
func TestConformance(t *testing.T) {
	meshtest.Run(t, meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeAdmit}, CRDs: []string{"istio/crd-all-1.30.3.yaml"}, Same: same})
}

// toldOf is all that the driver says of a world, as a person reads it.
func toldOf(out *output) string {
	var b strings.Builder
	for _, f := range out.findings {
		fmt.Fprintf(&b, "# %s %s %s %s (%s): %s\n", f.Level, f.Code, f.Object, f.Path, f.Feature, f.Message)
	}
	for i := range out.objects {
		b.WriteString("---\n")
		b.Write(object.AppendYAML(nil, &out.objects[i]))
	}
	return b.String()
}

// TestGolden compares what is said of some worlds with what was read and found good before.
func TestGolden(t *testing.T) {
	worlds := fixedWorlds()
	stray := &model.Workload{Kind: model.KindPod, Name: name("stray"), Account: "stray", Labels: map[string]string{"app": "catalog", "version": "v2"}}
	foreign := split("s", []string{"g"}, 1, 2)
	foreign.Root = "shop.example.com"
	closed := model.Defaults()
	closed.Access, closed.TrustDomain = model.AccessDeny, "corp.example"
	long := group("g", model.Match{Path: "/" + strings.Repeat("x+", 600)}, model.Match{Headers: []model.Header{{Name: "x-user", Value: "a.*"}, {Name: "x-user", Value: ".*b"}}})
	friends := permission("t", "canary", by(model.KindGroup, "g"))
	friends.Sources = []model.Subject{{Kind: model.KindBinding, Namespace: "shop", Name: "friends"}}
	worlds = append(worlds,
		fixed{"labels of two accounts", world(append(shop(), stray, permission("t", "catalog", by(model.KindGroup, "g")), group("g", model.Match{Path: "/api"}))...)},
		fixed{"foreign host", world(append(shop(), foreign, group("g", model.Match{Path: "/api$"}))...)},
		fixed{"all closed", world(append(shop(), closed, permission("t", "canary", by(model.KindTCPRoute, "p")), &model.PortRoute{Kind: model.KindTCPRoute, Name: name("p"), Ports: model.PortSet(8080, 9000)})...)},
		fixed{"what a route cannot say", world(append(shop(), split("s", []string{"g"}, 1, 2), long)...)},
		fixed{"what a policy cannot say", world(append(shop(), permission("t", "canary", by(model.KindGroup, "g")),
			group("g", model.Match{Path: "/v[0-9]+"}, model.Match{Path: "/{x}"}, model.Match{Headers: []model.Header{{Name: "a", Value: "v[0-9]+"}}}, model.Match{Path: "/ok"}))...)},
		fixed{"other callers", world(append(shop(), closed, friends, group("g", model.Match{}),
			&model.Binding{Name: name("friends"), SPIFFE: []string{"spiffe://other.example/a/b", "spiffe://cluster.local/ns/shop/sa/web"}, Pods: map[string]string{"a": "b"}})...)},
	)
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			path := filepath.Join("testdata", strings.ReplaceAll(w.name, " ", "-")+".golden")
			got := toldOf(translate(w.world))
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil || got != string(want) {
				t.Errorf("%s differs (%v); run with UPDATE=1 and read the difference. Got:\n%s", path, err, got)
			}
		})
	}
}

// TestSchema asks Istio's own CRDs about all that the driver says of random worlds.
func TestSchema(t *testing.T) {
	path, ok := meshtest.Shared("crds", "istio", "crd-all-1.30.3.yaml")
	if !ok {
		t.Skipf("Istio's CRDs are not here: %s", path)
	}
	schemas := meshtest.Schemas{}
	if err := schemas.Load(path); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(8, 9))
	for range 60 {
		for _, o := range translate(randomWorld(r)).objects {
			text, err := json.Marshal(&o)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range schemas.Check(text) {
				t.Errorf("%s: %s\n%s", o.Key(), p, text)
			}
		}
	}
}

// TestNames holds that no two workloads share the name of a policy, and that every name is one that Kubernetes takes.
func TestNames(t *testing.T) {
	long := strings.Repeat("a", 250)
	seen := map[string]model.Ref{}
	for _, n := range []string{"web", "web-deployment", "web-pod", long, long + "b", long + "c"} {
		for _, k := range []model.Kind{model.KindDeployment, model.KindStatefulSet, model.KindDaemonSet, model.KindPod} {
			ref := model.Ref{Kind: k, Name: name(n)}
			got := policy.Name(ref)
			if o, ok := seen[got]; ok || len(got)+len("-512") > 253 {
				t.Errorf("%s is named %s, as is %s", ref, got, o)
			}
			seen[got] = ref
		}
	}
}

// TestManyRules holds that more rules than a policy takes make more policies, and that all of them are there.
func TestManyRules(t *testing.T) {
	var list []model.Match
	for i := range 1200 {
		list = append(list, model.Match{Path: fmt.Sprintf("/%d$", i), Headers: []model.Header{{Name: "a", Value: "b"}}})
	}
	w := world(append(shop(), permission("t", "canary", by(model.KindGroup, "g")), group("g", list...))...)
	out := translate(w)
	if len(out.objects) != 3 {
		t.Fatalf("%d policies for 1200 rules", len(out.objects))
	}
	wl := w.Workloads(model.Identity{Namespace: "shop", ServiceAccount: "canary"})[0]
	for _, i := range []int{0, 511, 512, 1199, 1200} {
		q := &model.Request{From: model.Identity{Namespace: "shop", ServiceAccount: "web"}, Service: name("catalog-v3"), Method: "GET", Path: fmt.Sprintf("/%d", i), Headers: map[string][]string{"a": {"b"}}}
		if got := judgeAdmit(out.objects, w, wl, 8080, q); got != (i < 1200) {
			t.Errorf("request %d is admitted: %v", i, got)
		}
	}
}

func TestWeights(t *testing.T) {
	for _, c := range []struct {
		in    []int64
		want  string
		exact bool
	}{
		{[]int64{900, 100}, "[9 1]", true},
		{[]int64{0, 7}, "[0 7]", true},
		{[]int64{0, 7, 14}, "[0 1 2]", true},
		{[]int64{1 << 40, 1}, "[2147483644 1]", false},
		{[]int64{1 << 40, 1 << 41}, "[1 2]", true},
	} {
		var shares []model.Share
		for _, w := range c.in {
			shares = append(shares, model.Share{Weight: w})
		}
		if got, exact := weights(shares); fmt.Sprint(got) != c.want || exact != c.exact {
			t.Errorf("%v is %v (%v), want %s", c.in, got, exact, c.want)
		}
	}
}
