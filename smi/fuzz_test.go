// SPDX-License-Identifier: Apache-2.0

package smi_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

func seeds(f *testing.F) {
	for _, text := range []string{
		write(split1, "TrafficSplit", shares("{service: a, weight: 1}, {service: b, weight: 500m}")),
		write(split4, "TrafficSplit", shares("{service: a, weight: 1}")+"  matches: [{kind: HTTPRouteGroup, name: g}]\n"),
		write(target1, "TrafficTarget", "destination: {kind: ServiceAccount, port: 80, name: b}\nspecs: [{kind: HTTPRouteGroup, name: g, matches: [a]}]\nsources: [{kind: ServiceAccount, name: a}]\n"),
		write(target4, "TrafficTarget", permit("", ", {kind: TCPRoute, name: t}", ", {kind: IdentityBinding, group: access.smi-spec.io, name: i}")),
		write(specs1, "HTTPRouteGroup", "matches: [{name: a, pathRegex: /a, methods: [GET]}]\n"),
		write(specs2, "HTTPRouteGroup", "matches: [{name: a, headers: [{a: b}, {a: c}]}, {name: a}]\nspec: {}\n"),
		write(specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, headers: {a: b}}]}\n"),
		write(specs3, "TCPRoute", "spec: {}\n"),
		write(specs4, "TCPRoute", "spec: {matches: {name: n, ports: [80, 443]}}\n"),
		write(target4, "IdentityBinding", "spec: {schemes: {spiffeIdentities: [a/b], serviceAccount: s}}\n"),
	} {
		f.Add([]byte(text))
		list, _ := object.Parse("seed", []byte(text))
		for _, v := range smi.Versions(model.Kind(list[0].Kind)) {
			o, _ := smi.Convert(list[0], v)
			f.Add(object.AppendYAML(nil, o))
		}
	}
}

// FuzzDecode asserts that nothing panics, that every fault is named, and that what has no fault survives Encode and FromFacts.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _ := object.Parse("f", data)
		for _, o := range list {
			it, findings := smi.Decode(o)
			if it == nil {
				continue
			}
			invalid := slices.ContainsFunc(findings, func(f model.Finding) bool { return f.Level == model.Invalid })
			if it.Head().Broken && !invalid && !o.Faulty {
				t.Fatalf("broken without a finding: %s", data)
			}
			for _, f := range findings {
				o.Position(smi.Path(o.APIVersion, f.Object.Kind, f.Path))
			}
			if invalid || o.Faulty {
				continue
			}
			want := it.Facts("n")
			for _, v := range smi.Versions(it.Head().Kind) {
				again, _ := smi.Encode(it, v)
				if got := facts(t, again); !reflect.DeepEqual(it.Facts("shop"), got) {
					t.Fatalf("in %s it means\n%s\nand not\n%s\n%s", v, show(got), show(it.Facts("shop")), object.AppendYAML(nil, again))
				}
			}
			if got := smi.FromFacts(want)[0].Facts("n"); !reflect.DeepEqual(got, want) {
				t.Fatalf("the item of its facts means\n%s\nand not\n%s", show(got), show(want))
			}
		}
	})
}

// FuzzConvert asserts that an object means no more in any version, and on the way back, than it does where it was written; and that
// whatever JSON an API server has stored converts to some JSON.
func FuzzConvert(f *testing.F) {
	seeds(f)
	f.Add([]byte(`{"kind":"HTTPRouteGroup","apiVersion":"specs.smi-spec.io/v1alpha2","metadata":[],"matches":{"a":null},"spec":7}`))
	f.Add([]byte(`{"kind":"TrafficSplit","apiVersion":"split.smi-spec.io/v1alpha1","metadata":{"annotations":{"anymesh.dev/preserved":"{\"weights\":{\"scale\":24,\"list\":[{}]},\"strays\":[{}],\"pieces\":[{}]}"}},"spec":{"backends":[7,{"weight":"1E"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for v := 1; v <= 4; v++ {
			if out, _, err := smi.ConvertJSON(data, fmt.Sprintf("v1alpha%d", v)); err == nil && !json.Valid(out) {
				t.Fatalf("not JSON: %s", out)
			}
		}
		list, _ := object.Parse("f", data)
		for _, o := range list {
			it, findings := smi.Decode(o)
			// A field of another version is invalid, and yet says what is meant: it is at home where it exists.
			if it == nil || slices.ContainsFunc(findings, func(f model.Finding) bool { return f.Code == model.CodeMoved }) {
				continue
			}
			want := it.Facts("shop")[0]
			for _, v := range smi.Versions(it.Head().Kind) {
				other, _ := smi.Convert(o, v)
				back, _ := smi.Convert(other, o.APIVersion)
				for _, c := range []*object.Object{other, back} {
					if got := facts(t, c); len(got) != 1 || !within(got[0], want) {
						t.Fatalf("by way of %s it means\n%s\nand not\n%s\n%s", v, show(got), show([]model.Fact{want}), object.AppendYAML(nil, c))
					}
				}
				raw, _ := o.MarshalJSON()
				if out, _, err := smi.ConvertJSON(raw, v); err == nil && !json.Valid(out) {
					t.Fatalf("not JSON: %s", out)
				}
			}
		}
	})
}

// within says whether a fact allows no more than another.
func within(got, want model.Fact) bool {
	if reflect.DeepEqual(got, want) {
		return true
	}
	switch got := got.(type) {
	case *model.Split: // routing allows nothing; weights that an old version wrote by mistake become sound
		return true
	case *model.Binding:
		return got.Broken
	case *model.Permission:
		w := *want.(*model.Permission)
		if got.Broken {
			return got.Destination == w.Destination
		}
		if w.Broken { // from v1alpha3 on; before, the same is legal, and does as little
			return len(got.Sources) == 0 || len(got.Rules) == 0
		}
		if w.Port == 0 {
			w.Port = got.Port
		}
		return reflect.DeepEqual(got, &w)
	case *model.PortRoute:
		w := want.(*model.PortRoute).Ports
		return reflect.DeepEqual(got.Ports.Intersect(w), got.Ports) || got.Ports.Empty()
	case *model.RouteGroup:
		return groupWithin(got, want.(*model.RouteGroup))
	}
	return false
}

func groupWithin(got, want *model.RouteGroup) bool {
	if got.FullPath != want.FullPath || len(got.Matches) > len(want.Matches) {
		return false
	}
	for i, m := range got.Matches {
		w := want.Matches[i]
		if m.Never {
			continue
		}
		if w.Never || m.Name != w.Name || m.Path != w.Path || !slices.Equal(m.Methods, w.Methods) {
			return false
		}
		for _, h := range w.Headers {
			if !slices.Contains(m.Headers, h) {
				return false
			}
		}
	}
	return true
}

func BenchmarkDecode(b *testing.B) {
	for _, text := range []string{
		write(split4, "TrafficSplit", shares("{service: a, weight: 90}, {service: b, weight: 10}")+"  matches: [{kind: HTTPRouteGroup, name: g}]\n"),
		write(target4, "TrafficTarget", permit("", ", {kind: TCPRoute, name: t}", ", {kind: IdentityBinding, group: access.smi-spec.io, name: i}")),
		write(specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, pathRegex: /api/.*, methods: [GET, HEAD], headers: {user-agent: '.*Android.*'}}]}\n"),
	} {
		o := read(b, text)
		b.Run(o.Kind, func(b *testing.B) {
			for b.Loop() {
				if it, findings := smi.Decode(o); len(findings) > 0 || len(it.Facts("")) != 1 {
					b.Fatal(findings)
				}
			}
		})
	}
}

func BenchmarkConvert(b *testing.B) {
	for _, c := range []struct{ name, to, text string }{
		{"weights", split1, write(split4, "TrafficSplit", shares("{service: a, weight: 90}, {service: b, weight: 10}"))},
		{"carried", specs1, write(specs4, "HTTPRouteGroup", "spec: {matches: [{name: a, pathRegex: /api/.*, methods: [GET, HEAD], headers: {user-agent: '.*Android.*'}}]}\n")},
		{"shape", target1, write(target4, "TrafficTarget", permit("", ", {kind: TCPRoute, name: t}", ""))},
	} {
		o := read(b, c.text)
		raw, _ := o.MarshalJSON()
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if out, _ := smi.Convert(o, c.to); out.APIVersion != c.to {
					b.Fatal(out)
				}
			}
		})
		b.Run(c.name+"/json", func(b *testing.B) {
			for b.Loop() {
				if _, _, err := smi.ConvertJSON(raw, c.to); err != nil {
					b.Fatal(err)
				}
			}
		})
		back, _, _ := smi.ConvertJSON(raw, c.to)
		b.Run(c.name+"/back", func(b *testing.B) {
			for b.Loop() {
				if _, _, err := smi.ConvertJSON(back, o.APIVersion); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
