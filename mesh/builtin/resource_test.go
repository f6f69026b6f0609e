// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"encoding/json"
	"hash/maphash"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

type digester interface{ Digest(maphash.Seed) uint64 }

// TestSameWish translates worlds twice: the same wish has the same bytes and the same fingerprint.
func TestSameWish(t *testing.T) {
	seed := maphash.MakeSeed()
	first, again := worlds(), worlds()
	for title := range first {
		a, b := translate(first[title]).objects, translate(again[title]).objects
		if len(a) != len(b) {
			t.Fatalf("%s: %d objects, then %d", title, len(a), len(b))
		}
		for i := range a {
			if x, y := a[i].Spec.(digester).Digest(seed), b[i].Spec.(digester).Digest(seed); x != y {
				t.Errorf("%s: %s has another fingerprint", title, a[i].Key())
			}
			x, err := json.Marshal(&a[i])
			if err != nil {
				t.Fatal(err)
			}
			if y, _ := json.Marshal(&b[i]); string(x) != string(y) {
				t.Errorf("%s: %s has other bytes", title, a[i].Key())
			}
		}
	}
}

// TestOtherWish changes one weight: the route configuration alone has another fingerprint.
func TestOtherWish(t *testing.T) {
	seed := maphash.MakeSeed()
	digests := func(weight int64) map[mesh.Key]uint64 {
		s := world(service("catalog", port(80, 8080, model.HTTP)), service("v2", port(80, 8080, model.HTTP)),
			split("s", "catalog", nil, model.Backend{Service: "catalog", Weight: 90}, model.Backend{Service: "v2", Weight: weight}))
		out := map[mesh.Key]uint64{}
		for _, o := range translate(s).objects {
			out[o.Key()] = o.Spec.(digester).Digest(seed)
		}
		return out
	}
	before, after := digests(10), digests(11)
	for k := range before {
		changed := k.Kind == "RouteConfiguration" && k.Name == name("catalog.shop.svc.cluster.local:80")
		if (before[k] != after[k]) != changed {
			t.Errorf("%s: changed: %v", k, before[k] != after[k])
		}
	}
}

// TestResource looks at the door for the xDS sink.
func TestResource(t *testing.T) {
	o := unit(world(), store.Unit{Kind: store.UnitSettings}).Objects[0]
	typeURL, name, m := builtin.Resource(&o)
	if typeURL != "type.googleapis.com/envoy.config.cluster.v3.Cluster" || name != "inbound" || proto.MessageName(m) != "envoy.config.cluster.v3.Cluster" {
		t.Errorf("%s %s %s", typeURL, name, proto.MessageName(m))
	}
	defer func() {
		if recover() == nil {
			t.Error("an object of another driver was taken for a resource")
		}
	}()
	builtin.Resource(&mesh.Object{Spec: map[string]any{}})
}
