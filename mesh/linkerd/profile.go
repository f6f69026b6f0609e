// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"slices"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// early are the releases before routes: a ServiceProfile splits all of a Service, and a permission is for a port.
var early = &dialect{servers: policyGroup + "/v1beta1"}

// profiled is Linkerd with ServiceProfiles and ServerAuthorizations.
var profiled = &mesh.Driver{
	Name:    "linkerd-2.11",
	Title:   "Linkerd 2.11",
	Version: "2.11 to 2.15, by what all of these serve",
	Claims:  earlyClaims(),
	Kinds: []mesh.Kind{
		{APIVersion: early.servers, Kind: kindServer, Resource: "servers"},
		{APIVersion: policyGroup + "/v1beta1", Kind: kindAuthorization, Resource: "serverauthorizations"},
		{APIVersion: linkerdGroup + "/v1alpha2", Kind: kindProfile, Resource: "serviceprofiles", Clash: "it overrides the routes of its Service"},
	},
	Reads:     reads,
	Injection: injection,
	Route:     profile,
	Access:    early.access,
	Import:    importAll,
	Queries:   earlyQueries,
}

func earlyClaims() map[model.Feature]mesh.Claim {
	c := without(routeClaims(), "these releases split all requests of a Service or none",
		model.SplitMatch, model.RoutePath, model.RouteMethod, model.RouteHeader, model.RouteAuthority)
	c = without(c, "these releases permit a port and not a request: the match is left out and stays refused",
		model.AccessPath, model.AccessMethod, model.AccessHeader, model.AccessAuthority)
	c[model.SplitWeight] = mesh.Where("one profile holds for all ports; Linkerd splits what goes to the cluster IP, so that a headless root is not split")
	c[model.SplitStream] = mesh.Yes()
	c[model.AccessCaller], c[model.AccessClosed] = mesh.Where(declared), mesh.Nearly(closes)
	c[model.AccessSPIFFE] = mesh.No("these releases know callers by DNS names")
	return c
}

// profile says the split that takes all requests of a root, as it is on the port where most backends share.
func profile(r *model.Route, o *mesh.Output) {
	var all []*model.Arm // nil: the root's own
	var first *model.Arm
	for i := range r.Ports {
		p := &r.Ports[i]
		if r.Service == nil || r.Service.Headless || p.Protocol == model.UDP {
			continue
		}
		a := p.Stream()
		all = append(all, a)
		if a != nil && (first == nil || len(a.Shares) > len(first.Shares)) {
			first = a
		}
	}
	w := routeWriter{d: early, r: r, o: o, said: map[*model.Split]bool{}}
	if first != nil {
		w.said[first.Split] = true
		w.profile(first)
		if slices.ContainsFunc(all, func(a *model.Arm) bool { return a == nil || !sameShares(first.Shares, a.Shares) }) {
			o.Say(model.Intent{Feature: model.SplitWeight, Object: first.Split.Ref(), Path: "spec.backends"}, model.Approximate,
				"a ServiceProfile splits all ports of a Service alike: where a backend lacks a port, its part of the requests to it fails", "Give each backend every port of the root.")
		}
	}
	w.leave()
}

func sameShares(a, b []model.Share) bool {
	return slices.EqualFunc(a, b, func(x, y model.Share) bool { return x.Service == y.Service && x.Weight == y.Weight })
}

func (w *routeWriter) profile(a *model.Arm) {
	spec := &serviceProfile{}
	list, ok := weights(a.Shares)
	for i, s := range a.Shares {
		spec.DstOverrides = append(spec.DstOverrides, override{w.r.Settings.Host(s.Service), weight{list[i]}})
		if !ok {
			w.o.Say(model.Intent{Feature: model.SplitWeight, Object: a.Split.Ref(), Path: fmt.Sprintf("spec.backends[%d].weight", s.Index)}, model.Approximate, "the weight is rounded", "")
		}
	}
	w.o.Add(mesh.Object{APIVersion: linkerdGroup + "/v1alpha2", Kind: kindProfile, Name: model.Name{Namespace: w.r.Name.Namespace, Name: w.r.Host()}, Spec: spec})
}

// authorization says who may send anything to a port.
func (s *serverWriter) authorization(c callers) {
	if c.empty() {
		return
	}
	tls := &meshTLS{Identities: c.ids}
	for _, a := range c.accounts {
		tls.ServiceAccounts = append(tls.ServiceAccounts, account{Name: a.ServiceAccount, Namespace: a.Namespace})
	}
	s.add(policyGroup+"/v1beta1", kindAuthorization, "", &serverAuthorization{serverChoice{Name: s.base.Name}, client{tls}})
}
