// SPDX-License-Identifier: Apache-2.0

package query

import (
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
)

// Finding a mesh's series: first which shape, then how it is spelt. All of it can be asked at once.

// Present asks how many series of a shape there are, in whatever spelling.
func Present(s *mesh.Shape) string { return count(s, s.Views[0].Requests, s.Views[0].Only) }

// Spelt asks how many series of a shape there are in one spelling of a choice.
func Spelt(s *mesh.Shape, c *mesh.Choice, i int) string {
	series, sp := c.Series, &c.Among[i]
	if series == "" {
		series = s.Views[0].Requests
	}
	for _, o := range c.Among {
		if _, renamed := o.Series[series]; renamed { // then it is the name that is looked for
			if n, ok := sp.Series[series]; ok {
				series = n
			}
			return "count(" + selector(series, sp.Probe) + ")"
		}
	}
	return count(s, series, sp.Probe)
}

func count(s *mesh.Shape, series string, conditions []mesh.Matcher) string {
	names := []string{series}
	for _, c := range s.Choices {
		for _, sp := range c.Among {
			if name, ok := sp.Series[series]; ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 1 {
		return "count(" + selector(series, conditions) + ")"
	}
	return "count(" + selector("", []mesh.Matcher{{Label: "__name__", Op: "=~", Value: strings.Join(names, "|")}}, conditions) + ")"
}

// Spell gives the views of a shape as they are spelt: chosen is the index of a spelling for each choice.
func Spell(s *mesh.Shape, chosen []int) []mesh.View {
	labels, series := map[string]string{}, map[string]string{}
	for i, c := range s.Choices {
		maps.Copy(labels, c.Among[chosen[i]].Labels)
		maps.Copy(series, c.Among[chosen[i]].Series)
	}
	out := slices.Clone(s.Views)
	for i := range out {
		spell(&out[i], labels, series)
	}
	return out
}

func spell(v *mesh.View, labels, series map[string]string) {
	label := func(l string) string {
		if n, ok := labels[l]; ok {
			return n
		}
		return l
	}
	for _, p := range []*string{&v.Requests, &v.Failed, &v.Latency} {
		if n, ok := series[*p]; ok {
			*p = n
		}
	}
	matchers := func(in []mesh.Matcher) []mesh.Matcher {
		out := slices.Clone(in)
		for i := range out {
			out[i].Label = label(out[i].Label)
		}
		return out
	}
	name := func(n mesh.Name) mesh.Name {
		n.Namespace, n.Name, n.KindLabel = label(n.Namespace), label(n.Name), label(n.KindLabel)
		if n.Composed != nil {
			c := *n.Composed
			c.Label = label(c.Label)
			n.Composed = &c
		}
		return n
	}
	names := func(in []mesh.Name) []mesh.Name {
		out := make([]mesh.Name, len(in))
		for i := range in {
			out[i] = name(in[i])
		}
		return out
	}
	v.Only, v.Failure, v.Server, v.Client = matchers(v.Only), matchers(v.Failure), names(v.Server), names(v.Client)
	if v.Root != nil {
		r := name(*v.Root)
		v.Root = &r
	}
	if v.Splits != nil {
		s := *v.Splits
		s.Label = label(s.Label)
		v.Splits = &s
	}
	if v.Route != nil {
		r := *v.Route
		r.Labels = slices.Clone(r.Labels)
		for i := range r.Labels {
			r.Labels[i] = label(r.Labels[i])
		}
		v.Route = &r
	}
}
