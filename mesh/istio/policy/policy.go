// SPDX-License-Identifier: Apache-2.0

// Package policy says permissions as Istio's AuthorizationPolicies: the part of it that holds with sidecars and in ambient mode. It is no
// driver; both share it.
//
// A policy takes exact texts, prefixes, suffixes and path templates, and no expression. What it cannot say is left out and stays refused.
package policy

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The kind of a policy, its API, and the namespace whose policies hold for the whole mesh, unless the installation named another.
const (
	API  = "security.istio.io/v1"
	Kind = "AuthorizationPolicy"
	Root = "istio-system"
)

// most is how many rules a policy takes. Policies add up, so that more rules make more policies.
const most = 512

// Authority is the name by which a condition speaks of the host that was called.
const Authority = ":authority"

// Closed is the policy of the whole mesh that allows nothing.
func Closed() mesh.Object {
	return object(model.Name{Namespace: Root, Name: "allow-nothing"}, Policy{})
}

func object(n model.Name, spec Policy) mesh.Object {
	return mesh.Object{APIVersion: API, Kind: Kind, Name: n, Spec: &spec}
}

// Write says a policy that admits what the rules say and nothing else; without rules it admits nobody.
func Write(o *mesh.Output, n model.Name, spec Policy, rules []Rule) {
	spec.Action = "ALLOW"
	for i := 0; i == 0 || len(rules) > 0; i++ {
		part, name := min(most, len(rules)), n
		spec.Rules, rules = rules[:part:part], rules[part:]
		if i > 0 {
			name.Name += "-" + strconv.Itoa(i+1)
		}
		o.Add(object(name, spec))
	}
}

// Of selects the pods of a workload.
func Of(m *model.Member) (spec Policy) {
	if labels := m.Finder(); len(labels) > 0 {
		spec.Selector = &Selector{labels}
	}
	return spec
}

// Spills says whether the labels by which a workload is found also find one of the same account that a grant does not cover: a policy for
// the one would admit to the other.
func Spills(a *model.Access, g *model.Grant, m *model.Member) bool {
	return g.Subset != nil && slices.ContainsFunc(a.Workloads, func(o model.Member) bool {
		return !g.Covers(o.Workload) && model.Selects(m.Finder(), o.Labels)
	})
}

// Name is the name of a workload's policy: workloads of two kinds may share theirs.
func Name(r model.Ref) string {
	return Short(r.Name.Name+"-"+strings.ToLower(string(r.Kind)), 240) // 253 with the number of a further policy
}

// Short is a name of no more letters than a kind takes, which no other name shares.
func Short(name string, longest int) string {
	if len(name) > longest {
		h := fnv.New32a()
		h.Write([]byte(name))
		name = fmt.Sprintf("%s-%08x", strings.TrimRight(name[:longest-9], "-."), h.Sum32())
	}
	return name
}

// Policy is the spec of an AuthorizationPolicy.
type Policy struct {
	Selector *Selector `json:"selector,omitempty"`
	Targets  []Target  `json:"targetRefs,omitempty"` // a waypoint; no proxy of a workload takes notice of such a policy
	Action   string    `json:"action,omitempty"`
	Rules    []Rule    `json:"rules,omitempty"`
}

// Target is an object that a policy is attached to.
type Target struct {
	Group string `json:"group,omitempty"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// Selector finds workloads by the labels of their pods; none: all of the namespace.
type Selector struct {
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// Rule admits requests that meet one of its sources, one of its operations and all of its conditions.
type Rule struct {
	From []From      `json:"from,omitempty"`
	To   []To        `json:"to,omitempty"`
	When []Condition `json:"when,omitempty"`
}

// From is one source of a rule.
type From struct {
	Source Source `json:"source"`
}

// Source is a set of callers, by the names in their certificates.
type Source struct {
	Principals      []string `json:"principals,omitempty"`
	ServiceAccounts []string `json:"serviceAccounts,omitempty"` // read alone
}

// To is one operation of a rule.
type To struct {
	Operation Operation `json:"operation"`
}

// Operation is a set of requests. Each text may begin or end with one *.
type Operation struct {
	Hosts   []string `json:"hosts,omitempty"` // read alone
	Ports   []string `json:"ports,omitempty"`
	Methods []string `json:"methods,omitempty"`
	Paths   []string `json:"paths,omitempty"`
}

// Condition is one on a header: request.headers[name].
type Condition struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// Key is the name of the header, or of the authority, that a condition speaks of.
func Key(h *model.Header) string {
	if h.Authority() {
		return Authority
	}
	return h.Name
}

// LabelText writes labels for messages.
func LabelText(labels map[string]string) string {
	if len(labels) == 0 {
		return "none"
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, k+"="+labels[k])
	}
	return strings.Join(out, ",")
}
