// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// Where the settings name the helper, matches that no AuthorizationPolicy can say are said to the proxies themselves: an EnvoyFilter adds them to
// the rules that Istio made of the policy of the same workload. It can only add: without that policy there is nothing that it could be
// added to, and while proxies do not have it, or when it is gone, the requests are refused, as the policy alone has it. Where another's
// policy refuses (DENY), Istio's proxies have the rules of both in filters of one name, and the added ones are refused there: less, never more.

const (
	filterAPI  = "networking.istio.io/v1alpha3"
	kindFilter = "EnvoyFilter"

	rbacFilter = "envoy.filters.http.rbac"
	rbacType   = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
)

// envoyFilter is the spec of an EnvoyFilter, of which one kind of patch is said.
type envoyFilter struct {
	Selector struct {
		Labels map[string]string `json:"labels"`
	} `json:"workloadSelector"`
	Patches []filterPatch `json:"configPatches"`
}

type filterPatch struct {
	ApplyTo string      `json:"applyTo"`
	Match   filterMatch `json:"match"`
	Patch   struct {
		Operation string `json:"operation"`
		Value     struct {
			Name  string     `json:"name"`
			Typed rbacConfig `json:"typed_config"`
		} `json:"value"`
	} `json:"patch"`
}

type filterMatch struct {
	Context  string `json:"context"`
	Listener struct {
		Chain struct {
			Filter struct {
				Name string `json:"name"`
				Sub  struct {
					Name string `json:"name"`
				} `json:"subFilter"`
			} `json:"filter"`
		} `json:"filterChain"`
	} `json:"listener"`
}

// The fields of Envoy's RBAC filter that we say (envoy.config.rbac.v3).

type rbacConfig struct {
	Type  string `json:"@type"`
	Rules struct {
		Policies rbacPolicies `json:"policies"`
	} `json:"rules"`
}

// rbacPolicies admit what any of them admits, by name.
type rbacPolicies map[string]rbacPolicy

type rbacPolicy struct {
	Permissions []rbacPermission `json:"permissions"`
	Principals  []rbacPrincipal  `json:"principals"`
}

// rbacPermission is one of its fields.
type rbacPermission struct {
	All    *rbacPermissions `json:"and_rules,omitempty"`
	Any    *rbacPermissions `json:"or_rules,omitempty"`
	Every  bool             `json:"any,omitempty"`
	Port   uint16           `json:"destination_port,omitempty"`
	Header *headerMatch     `json:"header,omitempty"`
	Path   *struct {
		Path textMatch `json:"path"`
	} `json:"url_path,omitempty"`
}

type rbacPermissions struct {
	Rules []rbacPermission `json:"rules"`
}

type headerMatch struct {
	Name string    `json:"name"`
	Text textMatch `json:"string_match"`
}

// textMatch is one of its fields; an expression has to cover the whole text.
type textMatch struct {
	Exact string `json:"exact,omitempty"`
	Regex *struct {
		Regex string `json:"regex"`
	} `json:"safe_regex,omitempty"`
}

type rbacPrincipal struct {
	Authenticated struct {
		Name textMatch `json:"principal_name"`
	} `json:"authenticated"`
}

func expression(text string) textMatch {
	return textMatch{Regex: &struct {
		Regex string `json:"regex"`
	}{text}}
}

// add says the matches of a grant that no policy can say.
func (p rbacPolicies) add(g *policy.Grant) {
	if len(g.Beyond) == 0 {
		return
	}
	var who []rbacPrincipal
	for _, c := range g.Callers {
		var one rbacPrincipal
		one.Authenticated.Name.Exact = "spiffe://" + c
		who = append(who, one)
	}
	what := rbacPolicy{Principals: who}
	for _, m := range g.Beyond {
		what.Permissions = append(what.Permissions, permit(m, g.Of.HTTPPorts))
	}
	p[fmt.Sprintf("anymesh/%s", g.Of.Permission.Name)] = what
}

// permit says a match, all of whose conditions have to be met.
func permit(m *model.GrantMatch, ports model.Ports) rbacPermission {
	var all, any []rbacPermission
	for _, n := range ports.List {
		any = append(any, rbacPermission{Port: n})
	}
	all, any = join(all, any), nil
	for _, name := range m.Methods {
		any = append(any, rbacPermission{Header: &headerMatch{":method", textMatch{Exact: name}}})
	}
	all = join(all, any)
	if pattern.Path(m.Path, m.Group.FullPath).Class != pattern.Any {
		path := rbacPermission{Path: &struct {
			Path textMatch `json:"path"`
		}{expression(model.PathExpression(m.Path, m.Group.FullPath))}}
		all = append(all, path)
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		all = append(all, rbacPermission{Header: &headerMatch{policy.Key(h), expression("(?:" + h.Value + ")")}})
	}
	if len(all) == 0 {
		return rbacPermission{Every: true}
	}
	return rbacPermission{All: &rbacPermissions{all}}
}

// join adds alternatives, of which one has to be met where there are any.
func join(all, any []rbacPermission) []rbacPermission {
	switch len(any) {
	case 0:
		return all
	case 1:
		return append(all, any[0])
	}
	return append(all, rbacPermission{Any: &rbacPermissions{any}})
}

// filter adds rules to those of a workload's proxies.
func filter(n model.Name, labels map[string]string, add rbacPolicies) mesh.Object {
	var f envoyFilter
	f.Selector.Labels = labels
	p := filterPatch{ApplyTo: "HTTP_FILTER"}
	p.Match.Context = "SIDECAR_INBOUND"
	p.Match.Listener.Chain.Filter.Name = "envoy.filters.network.http_connection_manager"
	p.Match.Listener.Chain.Filter.Sub.Name = rbacFilter
	p.Patch.Operation = "MERGE"
	p.Patch.Value.Name = rbacFilter
	p.Patch.Value.Typed.Type = rbacType
	p.Patch.Value.Typed.Rules.Policies = add
	f.Patches = []filterPatch{p}
	return mesh.Object{APIVersion: filterAPI, Kind: kindFilter, Name: n, Spec: &f}
}

// helped says of the matches that a filter carries that one does.
func (w *accessWriter) helped() {
	for _, g := range w.grants {
		for _, m := range g.Beyond {
			for in := range m.Intents {
				if w.done[in] {
					w.o.Say(in, model.Notice, "permitted by the helper expressions: an EnvoyFilter beside the AuthorizationPolicy, which no release of Istio promises to read as this one does; "+
						"what proxies do not have of it stays refused", "")
				}
			}
		}
	}
}
