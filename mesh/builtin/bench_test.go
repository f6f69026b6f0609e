// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"fmt"
	"hash/maphash"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/model"
)

// digest does with an output what the engine does at each change.
func digest(seed maphash.Seed, o *mesh.Output) {
	for i := range o.Objects {
		o.Objects[i].Spec.(digester).Digest(seed)
	}
}

// BenchmarkRoute is what one changed split costs: a root of one HTTP port, two matches, two backends.
func BenchmarkRoute(b *testing.B) {
	s := world(service("catalog", port(80, 8080, model.HTTP)), service("v2", port(80, 8080, model.HTTP)),
		group("g", model.Match{Name: "api", Path: "/api/.*", Methods: []string{"GET"}}, model.Match{Name: "beta", Headers: []model.Header{{Name: "x-beta", Value: "1"}}}),
		split("m", "catalog", []string{"g"}, model.Backend{Service: "v2", Weight: 1}),
		split("s", "catalog", nil, model.Backend{Service: "catalog", Weight: 90}, model.Backend{Service: "v2", Weight: 10}))
	r, _ := model.JoinRoute(s, name("catalog"))
	seed := maphash.MakeSeed()
	b.ReportAllocs()
	for b.Loop() {
		digest(seed, builtin.Driver.Routes(r))
	}
}

// BenchmarkAccess is what one changed permission costs, by the number of permissions of the identity.
func BenchmarkAccess(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("permissions=%d", n), func(b *testing.B) {
			s := world(service("catalog", port(80, 8080, model.HTTP)), workload("catalog"), group("g", model.Match{Name: "api", Path: "/api/.*", Methods: []string{"GET"}}))
			for i := range n {
				p := allow(fmt.Sprintf("p%d", i), account("catalog"), []model.Subject{account(fmt.Sprintf("web%d", i))}, requests("g"))
				set(s, p)
			}
			a, _ := model.JoinAccess(s, model.Identity{Namespace: "shop", ServiceAccount: "catalog"})
			seed := maphash.MakeSeed()
			b.ReportAllocs()
			for b.Loop() {
				digest(seed, builtin.Driver.Accesses(a))
			}
		})
	}
}

// BenchmarkEndpoints is what one pod that comes or goes costs, by the number of pods of the service.
func BenchmarkEndpoints(b *testing.B) {
	for _, n := range []int{3, 30, 300} {
		b.Run(fmt.Sprintf("pods=%d", n), func(b *testing.B) {
			s := world(service("catalog", port(80, 8080, model.HTTP)), workload("catalog"))
			for i := range n {
				set(s, pod("catalog", fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), true))
			}
			e := model.JoinEndpoints(s, name("catalog"))
			seed := maphash.MakeSeed()
			b.ReportAllocs()
			for b.Loop() {
				digest(seed, builtin.Driver.Addresses(e))
			}
		})
	}
}
