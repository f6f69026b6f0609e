// SPDX-License-Identifier: Apache-2.0

package lens_test

import (
	"testing"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/lens"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

// TestThroughServices: a Service stands for a workload where all of its pods are of that one.
func TestThroughServices(t *testing.T) {
	w := &World{}
	w.Pod("shop/web-1", "Deployment shop/web", "Service shop/web", "Service shop/all").Pod("shop/web-2", "Deployment shop/web", "Service shop/web", "Service shop/all")
	w.Pod("shop/db-0", "StatefulSet shop/db", "Service shop/db", "Service shop/all", "Service shop/mixed").Pod("shop/api-1", "Deployment shop/api", "Service shop/mixed", "Service shop/apis")
	w.Pod("shop/api-v2-1", "Deployment shop/api-v2", "Service shop/apis").Add("Service shop/empty")
	var m lens.Memory
	m.Begin(At(0), time.Second)
	deployment, _ := metrics.KindOf("Deployment")
	v := &mesh.View{Server: []mesh.Name{{Kind: "Service", Namespace: "ns", Name: "svc"}}}
	for round := range 2 { // found out, and remembered
		l := lens.New(w, &m).Lens(v, mesh.ServerSide, deployment, lens.Ways(deployment)...)
		if l == nil || l.By != lens.ByServices || !l.Many {
			t.Fatalf("%+v", l)
		}
		for service, want := range map[string]lens.Sight{"web": lens.Seen, "db": lens.Elsewhere, "all": lens.Unclear, "mixed": lens.Unclear, "apis": lens.Unclear, "empty": lens.Elsewhere, "": lens.Elsewhere} {
			refs, got := l.Read(map[string]string{"ns": "shop", "svc": service})
			if got != want || got == lens.Seen && refs[0] != Ref("Deployment shop/web") {
				t.Errorf("round %d: Service %q is %v, %d, want %d", round, service, refs, got, want)
			}
		}
		if _, got := l.Read(nil); got != lens.Nobody {
			t.Errorf("no labels at all are %d", got)
		}
	}
	if got := lens.New(w, &m).Lens(v, mesh.ClientSide, deployment, lens.Ways(deployment)...); got != nil {
		t.Errorf("nothing names the client, and yet: %+v", got)
	}
}

// TestDied: a pod that nobody knows any more is of the workload that makes such names, if that is there.
func TestDied(t *testing.T) {
	w := (&World{}).Pod("shop/web-7d9f8c6b5d-x2x4z", "Deployment shop/web")
	var m lens.Memory
	m.Begin(At(0), time.Second)
	deployment, _ := metrics.KindOf("Deployment")
	l := lens.New(w, &m).Lens(&mesh.View{Server: []mesh.Name{{Kind: "Pod", Namespace: "ns", Name: "pod"}}}, mesh.ServerSide, deployment, lens.Ways(deployment)...)
	for pod, want := range map[string]lens.Sight{"web-7d9f8c6b5d-x2x4z": lens.Seen, "web-7d9f8c6b5d-zzzzz": lens.Seen, "gone-7d9f8c6b5d-zzzzz": lens.Elsewhere, "web": lens.Elsewhere} {
		refs, got := l.Read(map[string]string{"ns": "shop", "pod": pod})
		if got != want || got == lens.Seen && refs[0] != Ref("Deployment shop/web") {
			t.Errorf("%s is %v, %d, want %d", pod, refs, got, want)
		}
	}
}
