// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
)

// randomRoutes writes routes of the catalog whose matches overlap in every way.
func randomRoutes(r *rand.Rand) string {
	var docs []string
	for i := range 1 + r.IntN(2) {
		var rules []string
		for range 1 + r.IntN(4) {
			var matches []string
			for range r.IntN(3) {
				var m []string
				if r.IntN(4) > 0 {
					m = append(m, `"path":`+pick(r, `{"type":"Exact","value":"/api"}`, `{"type":"PathPrefix","value":"/api"}`, `{"type":"PathPrefix","value":"/api/x/"}`, `{"type":"RegularExpression","value":"^(?:/api).*$"}`, `{"type":"RegularExpression","value":"^.*$"}`, `{"value":"/"}`))
				}
				if r.IntN(3) == 0 {
					m = append(m, `"method":"`+pick(r, "GET", "POST")+`"`)
				}
				if r.IntN(3) == 0 {
					m = append(m, `"headers":[{"name":"x-user","value":"beta"}]`)
				}
				matches = append(matches, "{"+strings.Join(m, ",")+"}")
			}
			to := fmt.Sprintf(`"backendRefs":[{"name":"catalog","port":80,"weight":%d},{"name":"catalog-v2","port":80,"weight":%d}]`, r.IntN(3), 1+r.IntN(3))
			if r.IntN(3) == 0 {
				to = `"backendRefs":[{"name":"` + pick(r, "catalog", "catalog-v2") + `","port":80}]`
			}
			rules = append(rules, `{"matches":[`+strings.Join(matches, ",")+`],`+to+`}`)
		}
		docs = append(docs, fmt.Sprintf(`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"r%d","namespace":"shop"},"spec":{"parentRefs":[{"group":"","kind":"Service","name":"catalog","port":80}],"rules":[%s]}}`, i, strings.Join(rules, ",")))
	}
	return strings.Join(docs, "\n")
}

// TestImportMeansTheSame holds that requests go where Linkerd sends them in every release and whatever the age of objects, where nothing is reported.
func TestImportMeansTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	s := world(t, shop)
	agreed, split := 0, 0
	for range 2000 {
		native := randomRoutes(r)
		in, back := imported(t, s, native)
		if slices.ContainsFunc(in.Findings, func(f model.Finding) bool { return f.Level >= model.Approximate }) {
			continue
		}
		all := parse(native)
		for range 15 {
			q := ask("web", pick(r, "GET", "POST", "PUT"), pick(r, "/", "/api", "/api/", "/api/x", "/api/x/y", "/apis"))
			if r.IntN(2) == 0 {
				q.Headers["x-user"] = []string{pick(r, "beta", "other")}
			}
			j := routeJudge{all: all, w: s, q: q, port: 80, own: map[string]float64{"shop/catalog:80": 1}}
			want, err := j.route(model.HTTP)
			if err != nil {
				continue // it depends
			}
			got := map[string]float64{}
			v, err := model.Evaluate(back, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range v.Backends {
				got[fmt.Sprintf("%s:%d", o.Service, o.Port)] += o.Share
			}
			same := len(got) == len(want)
			for k, x := range want {
				same = same && math.Abs(got[k]-x) < 1e-9
			}
			if !same {
				t.Fatalf("%s %s %v goes to %v, as read %v\n%s\n%+v", q.Method, q.Path, q.Headers, want, got, native, in.Facts)
			}
			if agreed++; len(want) > 1 {
				split++
			}
		}
	}
	t.Logf("%d requests agreed, %d of them split", agreed, split)
	if agreed < 3000 || split < 500 {
		t.Error("the test tests too little")
	}
}
