// SPDX-License-Identifier: Apache-2.0

// Package nginx is the driver of NGINX Service Mesh, which was archived in 2024: it is read, and nothing is written for it.
//
// It reads SMI itself: access v1alpha2, specs v1alpha3, split v1alpha3. By its guides ("SMI Traffic Policies", "Services using Access
// Control") it understands it nearly as SMI's pages do. Conditions on headers hold where the expression is found anywhere in the value. Of
// the matches of one TrafficTarget the first decides; since each of them permits, that is the same as any.
package nginx

import (
	"fmt"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/dialect"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

var versions = dialect.Versions{
	model.KindSplit:      "split.smi-spec.io/v1alpha3",
	model.KindGroup:      "specs.smi-spec.io/v1alpha3",
	model.KindTCPRoute:   "specs.smi-spec.io/v1alpha3",
	model.KindPermission: "access.smi-spec.io/v1alpha2",
}

// extensions is the group of what NGINX Service Mesh adds to SMI.
const extensions = "specs.smi.nginx.com"

// Driver is NGINX Service Mesh.
var Driver = &mesh.Driver{
	Name:    "nginx",
	Title:   "NGINX Service Mesh",
	Version: "2.0",
	Reads: append(versions.Kinds(),
		mesh.Kind{APIVersion: extensions + "/v1alpha2", Kind: "RateLimit", Resource: "ratelimits"},
		mesh.Kind{APIVersion: extensions + "/v1alpha1", Kind: "CircuitBreaker", Resource: "circuitbreakers"}),
	Marks: []mesh.Kind{{APIVersion: extensions + "/v1alpha2", Kind: "RateLimit", Resource: "ratelimits"}},
	Injection: &mesh.Injection{Labels: map[string]string{"injector.nsm.nginx.com/auto-inject": "enabled"}, Sidecars: true,
		Leave: "a pod template that has the label injector.nsm.nginx.com/auto-inject keeps its proxy until the label is gone there too"},
	Import:  importAll,
	Queries: queries,
}

// importAll reads NGINX Service Mesh's SMI objects as what it made of them.
func importAll(in *mesh.Input) {
	warned := false
	for _, s := range versions.Read(in) {
		switch f := s.Fact.(type) {
		case *model.RouteGroup:
			group(in, s.Object, f)
			continue
		case *model.Permission:
			both(in, s.Object, f)
			if !warned {
				warned = true
				in.Findings = append(in.Findings, model.Finding{Mesh: in.Mesh, Level: model.Notice, Code: model.CodeNotUnderstood, Object: in.World.Settings().Ref(), Path: "accessDefault",
					Message: "whether all is closed that nothing permits (accessControlMode) stands in no object", Hint: "Run what is imported with --access-default deny where the mode was deny."})
			}
		}
		in.Add(s.Fact)
	}
	for _, o := range in.Objects {
		if g, _, _ := strings.Cut(o.APIVersion, "/"); g == extensions {
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
}

// group reads a route group, whose headers match anywhere. Of paths the guides do not say whether they do: they are read as SMI's, which is
// what both have in common.
func group(in *mesh.Input, o *object.Object, f *model.RouteGroup) {
	out := *f
	out.FullPath, out.Matches = false, nil
	for i := range f.Matches {
		m := f.Matches[i]
		at := fmt.Sprintf("spec.matches[%d]", i)
		if m.Path != "" && !strings.HasPrefix(m.Path, "^") && !strings.HasPrefix(m.Path, ".*") {
			in.Leave(o, model.Notice, model.CodeNotUnderstood, at+".pathRegex", "the mesh may have found this path anywhere: it is read as one that begins so", "Put .* before it, if requests relied on that.")
		}
		if dialect.Twice(&m) {
			in.Leave(o, model.Approximate, model.CodeNotUnderstood, at+".headers", "the mesh kept one of two conditions on a header, and SMI has both", "")
		}
		m.Headers = nil
		for _, h := range f.Matches[i].Headers {
			m.Headers = append(m.Headers, model.Header{Name: h.Name, Value: dialect.Anywhere(h.Value)})
		}
		out.Matches = append(out.Matches, m)
	}
	in.Add(&out)
}

// both says of a TrafficTarget with routes of both layers that SMI takes the one for a restriction of the other.
func both(in *mesh.Input, o *object.Object, f *model.Permission) {
	web, raw := false, false
	for _, r := range f.Rules {
		web, raw = web || r.Kind == model.KindGroup, raw || r.Kind == model.KindTCPRoute
	}
	if web && raw {
		in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec.rules", "the mesh may have permitted raw TCP beside the requests: SMI permits the requests alone", "Give the TCPRoute a TrafficTarget of its own, if raw TCP is meant.")
	}
}
