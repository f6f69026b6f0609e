// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// Writer says the permissions of one identity.
type Writer struct {
	A *model.Access
	O *mesh.Output
	// Ports says ports as the proxy that enforces the policy sees them, none where any will do; ok is false where it can tell none.
	Ports func(model.Ports) (list []string, ok bool)
	// Stranger says why a caller of another form than a service account's cannot be admitted; nil, or empty where it can.
	Stranger func(id string) string
	// Beyond says that matches which no policy can say are kept, for what else says them.
	Beyond bool
}

// Grant is one permission in Istio's words.
type Grant struct {
	Of      *model.Grant
	Callers []string // as principals
	Rules   []Rule
	Beyond  []*model.GrantMatch // that no policy can say, where the writer keeps them
	Intents []model.Intent      // that the rules, and what says the matches beyond, carry
}

// Grant says a permission as far as Istio can: every part that is left out leaves less.
func (w *Writer) Grant(g *model.Grant) Grant {
	out := Grant{Of: g}
	out.Callers = w.callers(g, &out)
	if len(out.Callers) == 0 {
		return out
	}
	by := By(out.Callers...)
	if ports, ok := w.Ports(g.Stream); ok && !g.Stream.Empty() {
		out.Rules = append(out.Rules, Bytes(by, ports))
	}
	if !g.HTTPPorts.Empty() {
		w.requests(g, by, &out)
	}
	if len(out.Rules)+len(out.Beyond) == 0 {
		out.Intents = nil
		return out
	}
	w.ports(&out)
	return out
}

// callers are the principals of the sources that Istio can tell.
//
// A principal names the trust domain; Istio's shorter serviceAccounts would admit the account of that name in any trust domain that
// the mesh trusts.
func (w *Writer) callers(g *model.Grant, out *Grant) []string {
	var list []string
	why := map[model.Intent]string{}
	for i := range g.Sources {
		s := &g.Sources[i]
		id, in := s.SPIFFE, s.Intent(g)
		switch {
		case s.Pods != nil:
			continue // as claimed
		case id == "":
			id = s.Identity.SPIFFE(w.A.Settings.TrustDomain)
		case strings.HasPrefix(id, "spiffe://cluster.local/") && w.A.Settings.TrustDomain != "cluster.local":
			why[in] = "Istio takes the trust domain cluster.local for its own, which is " + w.A.Settings.TrustDomain + ": " + id + " is left out"
			continue
		case w.Stranger != nil && w.Stranger(id) != "":
			why[in] = w.Stranger(id)
			continue
		case strings.Contains(id, "*"):
			why[in] = "Istio takes * for any text: " + id + " is left out"
			continue
		}
		list = append(list, strings.TrimPrefix(id, "spiffe://"))
		out.Intents = append(out.Intents, in)
	}
	for in, text := range why {
		level := model.Unsupported
		if slices.ContainsFunc(out.Intents, func(o model.Intent) bool { return o.Path == in.Path }) {
			level = model.Approximate // it names others too
			out.Intents = append(out.Intents, in)
		}
		w.O.Say(in, level, text, "")
	}
	return list
}

// requests says the matches of a permission. Those with conditions on headers need a rule of their own each, since Istio ties such
// conditions to the rule.
func (w *Writer) requests(g *model.Grant, by []From, out *Grant) {
	ports, ok := w.Ports(g.HTTPPorts)
	if !ok {
		return
	}
	shared := Rule{From: by}
	for i := range g.HTTP {
		m := &g.HTTP[i]
		p := permit{ports: ports}
		if why := p.read(m); why != "" {
			if w.Beyond {
				out.Beyond = append(out.Beyond, m)
				for in := range m.Intents {
					out.Intents = append(out.Intents, in)
				}
				continue
			}
			w.O.SayAll(m.Intents, model.Unsupported, why+": the match is left out and stays refused", p.hint)
			continue
		}
		if p.narrow {
			in := model.Intent{Feature: model.AccessPath, Object: m.Group.Ref(), Path: fmt.Sprintf("spec.matches[%d].pathRegex", m.Index)}
			w.O.Say(in, model.Approximate, "Istio's path templates take segments of the letters that URLs hold unencoded, and end where a segment ends: other paths stay refused", "")
		}
		for in := range m.Intents {
			out.Intents = append(out.Intents, in)
		}
		if len(p.when) > 0 {
			out.Rules = append(out.Rules, Rule{From: by, To: []To{{p.operation()}}, When: p.when})
			continue
		}
		shared.To = append(shared.To, To{p.operation()})
	}
	if len(shared.To) > 0 {
		out.Rules = append(out.Rules, shared)
	}
}

// ports marks the wishes that hold for a permission as a whole.
func (w *Writer) ports(out *Grant) {
	g := out.Of
	ref := g.Permission.Ref()
	for in := range w.A.Intents {
		switch in.Feature {
		case model.AccessSubset, model.AccessStream:
			if in.Object == ref {
				out.Intents = append(out.Intents, in)
			}
		case model.AccessPort:
			carried := in.Object == ref
			for _, c := range g.Carriers {
				carried = carried || in.Object == c.Route
			}
			if carried {
				out.Intents = append(out.Intents, in)
			}
		}
	}
}

// By are sources of which each is one caller.
func By(principals ...string) []From { return []From{{Source{Principals: principals}}} }

// Bytes admits all that callers send to some ports, requests or not; to any where none is named.
func Bytes(by []From, ports []string) Rule {
	r := Rule{From: by}
	if len(ports) > 0 {
		r.To = []To{{Operation{Ports: ports}}}
	}
	return r
}

// Numbers are ports as the workload itself has them; none where any port will do.
func Numbers(p model.Ports) (list []string, ok bool) {
	if p.Any {
		return nil, true
	}
	out := make([]string, len(p.List))
	for i, n := range p.List {
		out[i] = strconv.Itoa(int(n))
	}
	return out, true
}

// permit is one match in Istio's words.
type permit struct {
	methods, paths, ports []string
	when                  []Condition
	narrow                bool   // not all paths are said
	hint                  string // why not
}

// operation always speaks of HTTP: one that spoke of ports alone would let raw TCP through too.
func (p *permit) operation() Operation {
	o := Operation{Ports: p.ports, Methods: p.methods, Paths: p.paths}
	if len(o.Methods) == 0 && len(o.Paths) == 0 {
		o.Methods = []string{"*"}
	}
	return o
}

// read says a match, or why it cannot.
func (p *permit) read(m *model.GrantMatch) (why string) {
	for _, name := range m.Methods {
		if strings.Contains(name, "*") {
			return "Istio takes * for any text, and the method " + name + " has one"
		}
	}
	p.methods = m.Methods
	if own := ReadTemplates(m.Path); own != nil && m.Group.FullPath && strings.Contains(m.Path, letters) {
		p.paths = own
	} else if why = p.path(pattern.Path(m.Path, m.Group.FullPath), m.Path); why != "" {
		return why
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		c := Condition{Key: "request.headers[" + Key(h) + "]"}
		for _, v := range pattern.Value(h.Value).Alternatives() {
			text, ok := Wildcard(v)
			if !ok {
				p.hint = "Write it as a whole text, a beginning followed by .*, an end after .*, or several of these with |."
				return fmt.Sprintf("Istio permits by header without expressions, and %s: %q is one", h.Name, h.Value)
			}
			c.Values = append(c.Values, text)
		}
		p.when = append(p.when, c)
	}
	return ""
}

func (p *permit) path(all pattern.Pattern, written string) (why string) {
	if all.Class == pattern.Any {
		return ""
	}
	for _, a := range all.Alternatives() {
		if a.Class == pattern.Template {
			p.narrow = true
			if list := templates(a.Segments); list != nil {
				p.paths = append(p.paths, list...)
				continue
			}
		} else if text, ok := Wildcard(a); ok && !strings.ContainsAny(text, "{}") {
			p.paths = append(p.paths, text)
			continue
		}
		p.hint = "Write it as a path, a beginning, an end after .*, or whole segments as [^/]+, or several of these with |."
		return fmt.Sprintf("Istio permits by path without expressions, and %q is one", written)
	}
	return ""
}

// Wildcard writes a pattern with the one * that Istio knows, at the beginning or at the end.
func Wildcard(p pattern.Pattern) (string, bool) {
	ok := p.Text != "" && !strings.Contains(p.Text, "*") // Istio refuses the empty text
	switch p.Class {
	case pattern.Any:
		return "*", true
	case pattern.Exact:
		return p.Text, ok
	case pattern.Prefix:
		return p.Text + "*", ok
	case pattern.Suffix:
		return "*" + p.Text, ok
	}
	return "", false
}

// templates writes a path template as Istio's, whose {*} is one segment and whose {**} is any number of them and the last to be open. It
// never says more than was meant, and may say less; nil where it could say nothing near.
func templates(segments []pattern.Segment) []string {
	var b strings.Builder
	open := false // {**} was written
	for i, s := range segments {
		last := i == len(segments)-1
		b.WriteByte('/')
		switch {
		case (s.Kind == pattern.Literal || s.Kind == pattern.Begins) && Plain(s.Text):
			b.WriteString(s.Text)
			if s.Kind == pattern.Begins && !open {
				return []string{b.String(), b.String() + "/{**}"}
			}
		case (s.Kind == pattern.One || s.Kind == pattern.Maybe) && !open:
			b.WriteString("{*}")
		case s.Kind == pattern.Rest && !open:
			b.WriteString("{**}")
			open = true
		default:
			return nil
		}
		if last {
			return []string{b.String()}
		}
	}
	return nil
}

// Plain says whether a text is a segment that Istio takes beside {*}: the letters of a path segment (RFC 3986), without *.
func Plain(text string) bool {
	for _, r := range text {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~%!$&'()+,;:@=", r) {
			return false
		}
	}
	return text != ""
}
