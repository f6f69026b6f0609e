// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// TestRecognise tells a mesh by the kinds of its objects, and of its releases the newest that writes all of them.
func TestRecognise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kinds string
		want  string // a mesh, or a part of what is said
	}{
		{"policy.linkerd.io/v1beta3 Server", "linkerd"},
		{"policy.linkerd.io/v1beta3 Server, gateway.networking.k8s.io/v1 HTTPRoute", "linkerd"},
		{"policy.linkerd.io/v1beta3 Server, policy.linkerd.io/v1beta3 HTTPRoute", "linkerd-2.16"},
		{"linkerd.io/v1alpha2 ServiceProfile, apps/v1 Deployment", "linkerd-2.11"},
		{"gateway.networking.k8s.io/v1 HTTPRoute", "may be of"},
		{"networking.istio.io/v1 VirtualService, policy.linkerd.io/v1beta3 Server", "the folder holds objects of"},
		{"apps/v1 Deployment", "no object of a mesh"},
	} {
		there := map[mesh.Key]file.Existing{}
		for k := range strings.SplitSeq(c.kinds, ", ") {
			api, kind, _ := strings.Cut(k, " ")
			there[mesh.Key{APIVersion: api, Kind: kind, Name: model.Name{Namespace: "shop", Name: "x"}}] = file.Existing{}
		}
		got, err := recognise(there)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %s, want %s", c.kinds, got, c.want)
		}
	}
}
