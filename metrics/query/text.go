// SPDX-License-Identifier: Apache-2.0

// Package query writes PromQL: what a mesh says of its series, asked of certain resources in a window.
//
// Whatever a name is, it stays a name: it is escaped as an expression and as a string. What a scrape target says may be anything a float can
// be: values that no count can have are left out before they are added up, so that one target that lies does not spoil the sum of those that
// do not.
package query

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// Selection is the series of a view that conditions hold for, added up by labels.
type Selection struct {
	View  *mesh.View
	Where []mesh.Matcher
	By    []string
}

// Success asks how many requests succeeded in the window. Where there were any requests, there is an answer.
func (s Selection) Success(window time.Duration) string {
	total := s.increase(s.View.Requests, window, nil)
	switch {
	case s.View.Failed != "":
		return total + " - (" + s.increase(s.View.Failed, window, nil) + " or " + total + " * 0)"
	case len(s.View.Failure) == 0:
		return total
	}
	return s.increase(s.View.Requests, window, s.succeeded()) + " or " + total + " * 0"
}

// Failure asks how many requests failed in the window. Where none succeeded there is no series of success, and a bare difference would be
// empty just then: hence the zero.
func (s Selection) Failure(window time.Duration) string {
	total := s.increase(s.View.Requests, window, nil)
	switch {
	case s.View.Failed != "":
		return s.increase(s.View.Failed, window, nil) + " or " + total + " * 0"
	case len(s.View.Failure) == 0:
		return total + " * 0"
	}
	return total + " - (" + s.increase(s.View.Requests, window, s.succeeded()) + " or " + total + " * 0)"
}

// Quantile asks how long a share q of the requests took at most, in the unit of the view.
func (s Selection) Quantile(q float64, window time.Duration) string {
	return "histogram_quantile(" + strconv.FormatFloat(q, 'g', -1, 64) + ", " + s.Buckets(window) + ")"
}

// Buckets asks how many requests ended in each bucket of the histogram, for who has to add up what Prometheus cannot.
func (s Selection) Buckets(window time.Duration) string {
	s.By = append([]string{"le"}, s.By...)
	return s.increase(s.View.Latency+"_bucket", window, nil)
}

// succeeded is the opposite of each way to fail.
func (s Selection) succeeded() []mesh.Matcher {
	out := make([]mesh.Matcher, len(s.View.Failure))
	for i, m := range s.View.Failure {
		out[i] = m.Not()
	}
	return out
}

func (s Selection) increase(series string, window time.Duration, more []mesh.Matcher) string {
	var b strings.Builder
	b.Grow(256)
	b.WriteString("sum by (")
	b.WriteString(strings.Join(s.By, ", "))
	b.WriteString(") (increase(")
	b.WriteString(selector(series, s.View.Only, s.Where, more))
	b.WriteString("[")
	b.WriteString(duration(window))
	b.WriteString("]) >= 0 < Inf)") // NaN is neither
	return b.String()
}

func selector(series string, conditions ...[]mesh.Matcher) string {
	var b strings.Builder
	b.WriteString(series)
	b.WriteByte('{')
	n := 0
	for _, list := range conditions {
		for _, m := range list {
			if n++; n > 1 {
				b.WriteByte(',')
			}
			b.WriteString(m.Label)
			b.WriteString(m.Op)
			b.WriteString(strconv.Quote(m.Value))
		}
	}
	b.WriteByte('}')
	return b.String()
}

// duration writes a window; Prometheus has no parts of a millisecond.
func duration(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(max(d.Milliseconds(), 1), 10) + "ms"
}

// Term is a name that is looked for, or an RE2 expression for names.
type Term struct {
	Namespace  string // empty: any
	Name       string
	Expression bool
}

func (t Term) expression() string {
	if t.Expression {
		return t.Name
	}
	return regexp.QuoteMeta(t.Name)
}

// Size is about how many bytes a term becomes in a condition.
func (t Term) Size(n mesh.Name) int {
	if n.Composed != nil {
		return len(n.Composed.Build(mesh.Named{Namespace: t.Namespace, Name: t.Name})) + 1
	}
	return len(t.Name) + 3
}

// Where gives the conditions by which a name of an end takes the terms. What they take may be more than the terms (the namespace of one with the
// name of another), never less.
func Where(n mesh.Name, kind string, terms []Term) []mesh.Matcher {
	out := where(n, terms)
	if n.KindLabel != "" {
		out = append(out, mesh.Matcher{Label: n.KindLabel, Op: "=", Value: kind})
	}
	return out
}

func where(n mesh.Name, terms []Term) []mesh.Matcher {
	if n.Composed != nil {
		var all alternatives
		for _, t := range terms {
			all.add(n.Composed.Build(mesh.Named{Namespace: t.Namespace, Name: t.Name}), "")
		}
		return []mesh.Matcher{all.matcher(n.Composed.Label)}
	}
	var spaces, names alternatives
	for _, t := range terms {
		if t.Namespace != "" {
			spaces.add(regexp.QuoteMeta(t.Namespace), t.Namespace)
		}
		plain := t.Name
		if t.Expression {
			plain = ""
		}
		names.add(t.expression(), plain)
	}
	var out []mesh.Matcher
	if n.Namespace != "" && len(spaces.list) > 0 {
		out = append(out, spaces.matcher(n.Namespace))
	}
	return append(out, names.matcher(n.Name))
}

// In is the condition that a label has one of some values.
func In(label string, values []string) mesh.Matcher {
	var a alternatives
	for _, v := range values {
		a.add(regexp.QuoteMeta(v), v)
	}
	return a.matcher(label)
}

// alternatives are expressions, each once, in the order they came in.
type alternatives struct {
	list  []string
	plain string // the first as plain text, where it is one
	seen  map[string]bool
}

func (a *alternatives) add(expression, plain string) {
	if len(a.list) > 0 && a.list[len(a.list)-1] == expression || a.seen[expression] {
		return
	}
	if a.seen == nil {
		a.seen, a.plain = map[string]bool{}, plain
	}
	a.seen[expression] = true
	a.list = append(a.list, expression)
}

func (a *alternatives) matcher(label string) mesh.Matcher {
	if len(a.list) == 1 && a.plain != "" {
		return mesh.Matcher{Label: label, Op: "=", Value: a.plain}
	}
	return mesh.Matcher{Label: label, Op: "=~", Value: strings.Join(a.list, "|")}
}
