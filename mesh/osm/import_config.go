// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// meshConfig is what of a MeshConfig bears on access; the rest is the installation's.
type meshConfig struct {
	Spec struct {
		Traffic map[string]object.Raw `json:"traffic"`
	} `json:"spec"`
}

// config reads whether TrafficTargets count at all.
func (r *reader) config(o *object.Object) {
	var c meshConfig
	o.DecodeLax(&c)
	spec := object.Field(o.Node(), "spec")
	for i := 0; spec != nil && i+1 < len(spec.Content); i += 2 {
		if k := spec.Content[i].Value; k != "traffic" {
			r.leave(model.Notice, o, "spec."+k, "this is about OSM's installation, and not about traffic")
		}
	}
	s := *r.in.World.Settings()
	s.Access = model.AccessDeny
	for k, v := range c.Spec.Traffic {
		switch on := v.Value == "true"; {
		case k == "enablePermissiveTrafficPolicyMode" && on:
			s.Access = model.AccessAllow
			r.leave(model.Approximate, o, "spec.traffic."+k, "OSM heeded no TrafficTarget: they take effect wherever the SMI objects are enforced")
		case k == "enablePermissiveTrafficPolicyMode":
		case k == "inboundExternalAuthorization":
			r.leave(model.Unsupported, o, "spec.traffic."+k, "SMI does not ask others for permission: what they refused is permitted")
		default:
			r.leave(model.Notice, o, "spec.traffic."+k, "SMI does not speak of what leaves the mesh, or passes by it")
		}
	}
	r.in.Add(&s)
}

// ingressBackend is who may come in from outside.
type ingressBackend struct {
	Spec struct {
		Backends []struct {
			Name string `json:"name"`
			Port struct {
				Number   uint16 `json:"number"` // of the workload
				Protocol string `json:"protocol"`
			} `json:"port"`
			TLS struct {
				Skip     bool     `json:"skipClientCertValidation"`
				SNIHosts []string `json:"sniHosts"`
			} `json:"tls"`
		} `json:"backends"`
		Sources []struct {
			Kind      string `json:"kind"`
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"sources"`
		Matches []struct {
			APIGroup string `json:"apiGroup"`
			Kind     string `json:"kind"`
			Name     string `json:"name"`
		} `json:"matches"`
	} `json:"spec"`
}

// ingress reads an IngressBackend as permissions, where all of its sources are known by certificate: OSM then also asks for the addresses
// of any others.
func (r *reader) ingress(o *object.Object) {
	var b ingressBackend
	for _, p := range o.Decode(&b) {
		r.leave(model.Unsupported, o, p.Path, p.Message)
	}
	var sources []model.Subject
	for i, s := range b.Spec.Sources {
		id, ok := r.principal(s.Name)
		if s.Kind != "AuthenticatedPrincipal" || !ok {
			r.leave(model.Unsupported, o, fmt.Sprintf("spec.sources[%d]", i), "SMI knows callers by service account, and not by address: nothing is read of this IngressBackend")
			return
		}
		sources = append(sources, model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount})
	}
	var rules []model.Rule
	for i, m := range b.Spec.Matches {
		if m.Kind != string(model.KindGroup) {
			r.leave(model.Unsupported, o, fmt.Sprintf("spec.matches[%d]", i), "SMI has no condition of kind "+m.Kind+": nothing is read of this IngressBackend")
			return
		}
		rules = append(rules, model.Rule{Kind: model.KindGroup, Name: m.Name, All: true})
	}
	for i, backend := range b.Spec.Backends {
		at := fmt.Sprintf("spec.backends[%d]", i)
		if !strings.EqualFold(backend.Port.Protocol, "https") || backend.TLS.Skip || len(backend.TLS.SNIHosts) > 0 {
			r.leave(model.Unsupported, o, at, "SMI knows callers by certificate, whatever server name they ask for: this backend is left out")
			continue
		}
		r.backend(o, at, model.Name{Namespace: o.Namespace, Name: backend.Name}, &model.Permission{Name: model.Name{Namespace: o.Namespace, Name: o.Name}, Sources: sources, Rules: rules}, backend.Port.Number)
	}
}

// principal reads the name of a caller: account.namespace.trust-domain.
func (r *reader) principal(name string) (model.Identity, bool) {
	rest, ok := strings.CutSuffix(name, "."+r.in.World.Settings().TrustDomain)
	account, ns, two := strings.Cut(rest, ".")
	return model.Identity{Namespace: ns, ServiceAccount: account}, ok && two && account != "" && ns != "" && !strings.Contains(ns, ".")
}

// backend permits callers from outside to the accounts behind a Service, where these are all of its pods.
//
// sizes: what is permitted, to whom, and where it was written
func (r *reader) backend(o *object.Object, at string, service model.Name, p *model.Permission, port uint16) {
	behind := r.in.World.Selected(service)
	if len(behind) == 0 {
		r.in.Leave(o, model.Unsupported, model.CodeNativeAmbiguous, at+".name", "who runs behind "+service.String()+" is not known: nobody is admitted to it", "Add the Services and workloads to the input.")
		return
	}
	var done []model.Identity
	for _, w := range behind {
		id := w.Identity()
		if slices.Contains(done, id) {
			continue
		}
		done = append(done, id)
		if slices.ContainsFunc(r.in.World.Workloads(id), func(x *model.Workload) bool { return !slices.Contains(behind, x) }) {
			r.leave(model.Unsupported, o, at+".name", "service account "+id.String()+" has pods that are not behind "+service.String()+": nobody is admitted to it")
			continue
		}
		q := *p
		q.Name = r.name(model.KindPermission, p.Name)
		q.Destination = model.Subject{Kind: model.KindServiceAccount, Namespace: id.Namespace, Name: id.ServiceAccount}
		q.Rules = slices.Clone(p.Rules)
		if len(q.Rules) == 0 {
			g := &model.RouteGroup{Name: r.name(model.KindGroup, q.Name), FullPath: true, Matches: []model.Match{{Name: "all"}}}
			r.in.Add(g)
			q.Rules = []model.Rule{{Kind: model.KindGroup, Name: g.Name.Name, All: true}}
		}
		q.Rules = append(q.Rules, r.route(q.Name, []uint16{port}))
		r.in.Add(&q)
	}
}
