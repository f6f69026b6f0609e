// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
)

var (
	somePaths   = []string{"", "/", "/api", "/api$", "/api/.*", "/api/v[0-9]+", `.*\.css$`, "/a|/b", "/healthz", "/(x)?$"}
	someHeaders = []string{"", "", "", "beta", "beta|dev", ".*", "b.*"}
	askedPaths  = []string{"/", "/api", "/api/", "/api/v1", "/api/vx", "/x.css", "/a", "/ab", "/healthz", "/x"}
)

// someTargets are permissions for several callers that overlap in every way.
func someTargets(r *rand.Rand) string {
	var out strings.Builder
	out.WriteString(shop)
	for i := range 1 + r.IntN(4) {
		n, caller := fmt.Sprintf("t%d", i), pick(r, "web", "ops", "jobs")
		if r.IntN(5) == 0 {
			out.WriteString(tcpTarget(n, caller))
			continue
		}
		match := fmt.Sprintf("pathRegex: %q", pick(r, somePaths...))
		if r.IntN(3) == 0 {
			match += ", methods: [" + pick(r, "GET", "GET, POST", "PUT") + "]"
		}
		if h := pick(r, someHeaders...); h != "" {
			match += fmt.Sprintf(", headers: {x-user: %q}", h)
		}
		out.WriteString(target(n, caller, match))
	}
	return out.String()
}

// TestMeaning asks about permissions that overlap: Linkerd never admits more than SMI does but for the kubelet's checks, which are open to every
// caller, and as much wherever the driver says that it is exact.
func TestMeaning(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	admitted, refused, narrowed := 0, 0, 0
	for n := range 400 {
		input := someTargets(r)
		s := world(t, input)
		objects, findings := said(Driver, s)
		sure := !slices.ContainsFunc(findings, func(f model.Finding) bool { return f.Level >= model.Approximate })
		wl := workload(s, "catalog")
		a, _ := model.JoinAccess(s, wl.Identity())
		for range 40 {
			q := ask(pick(r, "web", "ops", "jobs", "intruder", ""), pick(r, "GET", "POST", "PUT", "DELETE"), pick(r, askedPaths...))
			if h := pick(r, "", "beta", "dev", "other"); h != "" {
				q.Headers["x-user"] = []string{h}
			}
			if r.IntN(8) == 0 {
				q.Layer = model.LayerStream
			}
			want, _, why := a.Admit(wl, 8080, q, s.Settings().Host(q.Service))
			got := judgeAdmit(objects, s, wl, 8080, q)
			switch check := q.Path == "/healthz" && q.Method == "GET" && q.Layer == model.LayerHTTP; {
			case check && got:
			case got && !want, sure && want && !got:
				t.Fatalf("world %d: %+v is admitted: %v, by SMI: %v (%s)\n%s\n%s\n%v", n, q, got, want, why, input[len(shop):], text(t, objects), findings)
			case got:
				admitted++
			case want:
				narrowed++
			default:
				refused++
			}
		}
	}
	t.Logf("%d admitted, %d refused, %d refused that the driver cannot say", admitted, refused, narrowed)
	if admitted < 1000 || refused < 1000 || narrowed < 20 {
		t.Error("the test tests too little")
	}
}
