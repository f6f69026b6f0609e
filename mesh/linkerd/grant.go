// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/pattern"
)

// grant is one permission in Linkerd's words.
type grant struct {
	of      *model.Grant
	callers callers
	intents []model.Intent // that hold for it as a whole
	matches []grantMatch
}

// grantMatch is one match of a permission.
type grantMatch struct {
	of     *model.GrantMatch
	native []native
	set    []headerValue // to which the proxy sets the headers that the match names by their text
}

// callers are accounts of the mesh's own trust domain, and other identities by the name that their certificates bear.
type callers struct {
	accounts []model.Identity
	ids      []string
}

func (c *callers) add(o callers) {
	c.accounts = append(slices.Clone(c.accounts), o.accounts...)
	slices.SortFunc(c.accounts, model.Identity.Compare)
	c.accounts = slices.Compact(c.accounts)
	c.ids = append(slices.Clone(c.ids), o.ids...)
	slices.Sort(c.ids)
	c.ids = slices.Compact(c.ids)
}

func (c *callers) empty() bool { return len(c.accounts)+len(c.ids) == 0 }

func (c *callers) equal(o *callers) bool {
	return slices.Equal(c.accounts, o.accounts) && slices.Equal(c.ids, o.ids)
}

// suffix names what belongs to callers alone. A route must never, not for the moment of a change, be open to the callers of another: so that who they
// are is in the name, and other callers are other objects.
func (c *callers) suffix() string {
	if len(c.accounts) == 1 && len(c.ids) == 0 {
		if a := c.accounts[0]; len(a.ServiceAccount)+len(a.Namespace) < 60 {
			return "-" + a.ServiceAccount + "." + a.Namespace
		}
	}
	h := fnv.New64a()
	fmt.Fprint(h, c.accounts, c.ids)
	return fmt.Sprintf("-http-%016x", h.Sum64())
}

// clientID is the header in which a server's proxy writes the name that a caller's certificate bears, in place of any that it came with,
// before it looks for a route.
const clientID = "l5d-client-id"

// conditions are conditions on that header: of any length that Linkerd takes, and together they cover these callers.
func (c *callers) conditions(trustDomain string) (out []headerMatch) {
	var names []string
	for _, a := range c.accounts { // the one label is the namespace of the control plane
		names = append(names, regexp.QuoteMeta(a.ServiceAccount+"."+a.Namespace+".serviceaccount.identity.")+"[^.]+"+regexp.QuoteMeta("."+trustDomain))
	}
	for _, id := range c.ids {
		names = append(names, regexp.QuoteMeta(id))
	}
	for len(names) > 0 {
		n, size := 0, len("^(?:)$")
		for n < len(names) && (n == 0 || size+1+len(names[n]) <= longestValue) {
			size += 1 + len(names[n])
			n++
		}
		out = append(out, headerMatch{regularExpression, clientID, "^(?:" + strings.Join(names[:n], "|") + ")$"})
		names = names[n:]
	}
	return out
}

// grant reads a permission as far as Linkerd can say it: every part that is left out leaves less.
func (w *accessWriter) grant(g *model.Grant) *grant {
	out := &grant{of: g}
	for i := range g.Sources {
		s := &g.Sources[i]
		switch {
		case w.o.Claim(s.Intent(g).Feature).Level == model.Unsupported:
			w.unknown(g, s)
			continue
		case w.d.routes == "" && strings.Contains(s.Identity.ServiceAccount, "."):
			w.o.Say(s.Intent(g), model.Unsupported, "a ServerAuthorization names no account with a dot in its name, as "+s.Identity.String()+" has", "")
			continue
		case s.SPIFFE != "":
			out.callers.add(callers{ids: []string{s.SPIFFE}})
		default:
			out.callers.add(callers{accounts: []model.Identity{s.Identity}})
		}
		out.intents = append(out.intents, s.Intent(g))
	}
	ref := g.Permission.Ref()
	for in := range w.a.Intents {
		switch in.Feature {
		case model.AccessSubset, model.AccessStream:
			if in.Object == ref {
				out.intents = append(out.intents, in)
			}
		case model.AccessPort:
			if in.Object == ref || slices.ContainsFunc(g.Carriers, func(c model.Carrier) bool { return in.Object == c.Route }) {
				out.intents = append(out.intents, in)
			}
		}
	}
	for i := range g.HTTP {
		list, why := w.d.permit(&g.HTTP[i])
		if why != "" {
			w.o.SayAll(g.HTTP[i].Intents, model.Unsupported, why+": the match is left out and stays refused", "")
		}
		out.matches = append(out.matches, list...)
	}
	return out
}

// unknown says of a source that Linkerd cannot tell, where its claim does not: it is one of several that one entry names.
func (w *accessWriter) unknown(g *model.Grant, s *model.Source) {
	in := s.Intent(g)
	if slices.ContainsFunc(g.Sources, func(o model.Source) bool {
		return o.Index == s.Index && w.o.Claim(o.Intent(g).Feature).Level != model.Unsupported
	}) {
		w.o.Say(in, model.Approximate, w.o.Claim(in.Feature).Note+"; the others that it names are admitted", "")
	}
}

// permit says a match, or why it cannot. A header that is repeated meets a condition by any one of its values, so that what is behind the
// proxy could be shown another: the proxy sets it to the text that was permitted. That takes a text, or several, and not an expression.
func (d *dialect) permit(m *model.GrantMatch) (out []grantMatch, why string) {
	if d.routes == "" {
		if m.Path != "" || len(m.Methods)+len(m.Headers) > 0 {
			return nil, "these releases permit a port and not a request"
		}
		return []grantMatch{{of: m}}, ""
	}
	list, why := texts(m.Headers)
	for _, headers := range list {
		one := *m.Match
		one.Headers = headers
		n := grantMatch{of: m}
		if n.native, why = lower(&one, m.Group.FullPath); why != "" {
			return nil, why
		}
		for i := range n.native[0].Headers {
			if h := &n.native[0].Headers[i]; h.Type == exact {
				n.set = append(n.set, headerValue{h.Name, h.Value})
			}
		}
		out = append(out, n)
	}
	return out, why
}

// texts takes conditions on headers apart into lists of conditions on texts and presence alone.
func texts(list []model.Header) (out [][]model.Header, why string) {
	out = [][]model.Header{nil}
	for _, h := range list {
		var next [][]model.Header
		for _, p := range pattern.Value(h.Value).Alternatives() {
			one := model.Header{Name: h.Name, Value: ".*"}
			switch {
			case h.Authority():
				one = h // and is refused
			case p.Class == pattern.Exact && p.Text != "":
				one.Value = regexp.QuoteMeta(p.Text)
			case p.Class != pattern.Any:
				return nil, "Linkerd lets a repeated header pass by any one of its values, and " + h.Name + ": \"" + h.Value + "\" is an expression"
			}
			for _, before := range out {
				next = append(next, append(slices.Clip(before), one))
			}
		}
		if out = next; len(out) > mostTexts {
			return nil, "the headers are more than " + strconv.Itoa(mostTexts) + " texts together"
		}
	}
	return out, ""
}

// mostTexts is how many texts a match's headers are taken apart into.
const mostTexts = 64

// key tells what a match sets.
func (m *grantMatch) key() string {
	text, err := json.Marshal(m.set)
	if err != nil {
		panic(err)
	}
	return string(text)
}
