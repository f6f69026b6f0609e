// SPDX-License-Identifier: Apache-2.0

package mesh

import (
	"maps"
	"slices"
	"time"
)

// Queries says in which series the proxies of a mesh count requests, and which of their labels tell who called whom. It is data: what is asked
// of a Prometheus is made of it in one place, for all meshes alike.
//
// Only requests are counted: raw TCP has no success and no failure.
type Queries struct {
	Shapes []Shape  // the series of different releases or settings, newest first: the first that is found is asked
	Notes  []string // what the series of this mesh cannot tell, each in a sentence
}

// Shape is one way in which a mesh counts.
type Shape struct {
	Name    string   // in prose, for status: with the metrics extension
	Views   []View   // of those of one side the first that tells what is asked is used
	Choices []Choice // in what installations of it differ
}

// View is a set of series in which each request stands once, and who is told of its two ends. What can be asked follows from the ends: a kind
// that stands in Server can be asked for its own traffic, and a kind in each of them for edges.
type View struct {
	Side     Side
	Only     []Matcher     // what tells these series from others of the same name
	Requests string        // counter of requests
	Failure  []Matcher     // a request that any of these takes has failed
	Failed   string        // counter of failed requests alone, with the same labels, where no label tells a failure
	Latency  string        // histogram, without _bucket; empty: none
	Unit     time.Duration // of the histogram's bounds
	Server   []Name        // how the called end is named
	Client   []Name        // how the calling end is named
	Root     *Name         // the Service that was called, where a split chose another: such a view tells a split's backends exactly
	Splits   *Splits       // where a label names split and backend together
	Route    *RouteName    // the entry of a route group that took the request
}

// Side is where requests are counted: by the proxy of the caller or by that of the callee.
type Side string

// The sides.
const (
	ClientSide Side = "client"
	ServerSide Side = "server"
)

// Matcher is a condition on a label: its operator is one of =, !=, =~, !~, and an expression is RE2 over the whole value. A label that a
// series does not have is empty.
type Matcher struct {
	Label, Op, Value string
}

// Not is the opposite condition.
func (m Matcher) Not() Matcher {
	m.Op = map[string]string{"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[m.Op]
	return m
}

// Workload stands for the kind of a workload where the labels name it and do not tell its kind.
const Workload = "Workload"

// Name is how one end of a request is named.
type Name struct {
	Kind      string    // Deployment, Pod, Service, Namespace …, or Workload
	Namespace string    // label with the namespace; empty: the series do not tell it
	Name      string    // label with the name; of a Namespace the only one
	KindLabel string    // of a Workload: label with the kind
	Composed  *Composed // in place of Namespace and Name: one label that holds both
	Unknown   []string  // values of Name that mean nobody who is known, beside the empty one
}

// Composed is a label that is put together of several names.
type Composed struct {
	Label string
	// Parse gives what a value may mean. More than one: the parts cannot be told apart, and what exists decides. None: it is no such name.
	Parse func(value string) []Named
	// Build is an RE2 expression for all values that mean a resource.
	Build func(Named) string
	Any   string // an RE2 expression for all values that mean some resource
}

// Named is what a composed label names; the namespace is empty where it does not tell one.
type Named struct{ Namespace, Name string }

// Splits is a label that names a split's backend together with the split.
type Splits struct {
	Label string
	Build func(namespace, split, root, backend string) string // an RE2 expression
}

// RouteName is how an entry of a route group is named: by the values of labels, in their order.
type RouteName struct {
	Labels []string
	Parse  func(values []string) (group, match string, ok bool)
}

// Choice is a point in which installations differ, such as how a scrape configuration calls the label of the pod. Its spellings are looked
// for in their order, and the first that some series has is used; where none has any, the first.
type Choice struct {
	About  string // in prose: pod labels
	Series string // the counter that differs, by its name in the views; empty: that of the first view
	Among  []Spelling
}

// Spelling is one alternative of a Choice. A label or a series that it does not rename stays as the views have it.
type Spelling struct {
	Name   string // in prose, for status
	Labels map[string]string
	Series map[string]string // names of counters, and of histograms without _bucket
	Probe  []Matcher         // what series of this spelling have, by the labels as they are there
}

// Named is how the end of a view names a kind; a kind of workload may be named as a Workload.
func (v *View) Named(side Side, kind string, workload bool) (Name, bool) {
	end := v.Server
	if side == ClientSide {
		end = v.Client
	}
	i := slices.IndexFunc(end, func(n Name) bool { return n.Kind == kind })
	if i < 0 && workload {
		i = slices.IndexFunc(end, func(n Name) bool { return n.Kind == Workload })
	}
	if i < 0 {
		return Name{}, false
	}
	return end[i], true
}

// PodLabels is the choice of how a scrape configuration calls the pod and its namespace, in the order of how common they are. The views have the
// first, or whichever is given: label of the namespace, label of the pod.
func PodLabels(namespace, pod string) Choice {
	c := Choice{About: "pod labels"}
	for _, s := range [][2]string{{namespace, pod}, {"namespace", "pod"}, {"kubernetes_namespace", "kubernetes_pod_name"}, {"namespace", "pod_name"},
		{"kubernetes_namespace", "pod_name"}, {"exported_namespace", "exported_pod"}} {
		if len(c.Among) > 0 && s[0] == namespace && s[1] == pod {
			continue
		}
		c.Among = append(c.Among, Spelling{
			Name:   s[0] + ", " + s[1],
			Labels: map[string]string{namespace: s[0], pod: s[1]},
			Probe:  []Matcher{{s[0], "!=", ""}, {s[1], "!=", ""}},
		})
	}
	return c
}

// HTTPFailure is a request that was answered with a 5xx or not at all, by a label with the status.
func HTTPFailure(label string) Matcher { return Matcher{label, "=~", "5..|0"} }

// GRPCFailure is a status of gRPC that tells of a failure of the server: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS.
func GRPCFailure(label string) Matcher { return Matcher{label, "=~", "2|4|13|14|15"} }

// Labelled names the kinds of resources by a label each, which all share the label of the namespace.
func Labelled(namespace string, labels map[string]string) []Name {
	var out []Name
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		out = append(out, Name{Kind: k, Namespace: namespace, Name: labels[k]})
	}
	return out
}
