// SPDX-License-Identifier: Apache-2.0

package query

import (
	"slices"

	"github.com/anymesh/anymesh/mesh"
)

// Labels are those by which series are added up so that an end can be told.
func Labels(n mesh.Name) []string {
	if n.Composed != nil {
		return []string{n.Composed.Label}
	}
	var out []string
	for _, l := range []string{n.Namespace, n.Name, n.KindLabel} {
		if l != "" && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// Known are the conditions that an end is told at all.
func Known(n mesh.Name) []mesh.Matcher {
	if n.Composed != nil {
		return []mesh.Matcher{{Label: n.Composed.Label, Op: "=~", Value: n.Composed.Any}}
	}
	out := []mesh.Matcher{{Label: n.Name, Op: "!=", Value: ""}}
	for _, u := range n.Unknown {
		out = append(out, mesh.Matcher{Label: n.Name, Op: "!=", Value: u})
	}
	return out
}

// Read appends what the labels of a sample may name at an end. None: it is nobody who is known.
func Read(out []mesh.Named, n *mesh.Name, labels map[string]string) []mesh.Named {
	if n.Composed != nil {
		return append(out, n.Composed.Parse(labels[n.Composed.Label])...)
	}
	name := labels[n.Name]
	if name == "" || slices.Contains(n.Unknown, name) {
		return out
	}
	return append(out, mesh.Named{Namespace: labels[n.Namespace], Name: name})
}

// Kind is the kind that the labels of a sample tell; empty: they do not.
func Kind(n *mesh.Name, labels map[string]string) string {
	switch {
	case n.KindLabel != "":
		return labels[n.KindLabel]
	case n.Kind == mesh.Workload:
		return ""
	}
	return n.Kind
}
