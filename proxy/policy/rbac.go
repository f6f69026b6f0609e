// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// rbac is a compiled list of grants. Nothing listed: nobody may do anything.
type rbac struct {
	grants []grant
}

type grant struct {
	name  string
	exact map[string]bool // peers named outright, by far the usual case
	who   []cond
	what  cond
}

// Verdict is the answer to one access question.
type Verdict struct {
	Allowed bool
	Policy  string // the grant that admitted, as TrafficTarget/namespace/name; empty where nothing is enforced
}

func (r *rbac) admit(q *Request) Verdict {
	if r == nil {
		return Verdict{Allowed: true}
	}
	for i := range r.grants {
		if g := &r.grants[i]; g.names(q) && g.what(q) {
			return Verdict{true, g.name}
		}
	}
	return Verdict{}
}

func (g *grant) names(q *Request) bool {
	if g.exact[q.Peer] {
		return true
	}
	for _, c := range g.who {
		if c(q) {
			return true
		}
	}
	return false
}

// layer tells which conditions make sense: bytes have neither paths nor headers.
type layer bool

const (
	forHTTP  layer = true
	forBytes layer = false
)

func (c *Compiler) rbac(m *rbacv3.RBAC, l layer) (*rbac, error) {
	if m == nil {
		return nil, errors.New("RBAC without rules: say an empty list of policies to admit nobody, or leave the filter out")
	}
	if err := only(m, "action policies"); err != nil {
		return nil, err
	}
	if m.Action != rbacv3.RBAC_ALLOW {
		return nil, fmt.Errorf("RBAC: action %s is not understood, only ALLOW", m.Action)
	}
	out := &rbac{}
	for _, name := range slices.Sorted(maps.Keys(m.Policies)) {
		g, err := c.grant(m.Policies[name], l)
		if err != nil {
			return nil, fmt.Errorf("RBAC policy %q: %w", name, err)
		}
		g.name = name
		out.grants = append(out.grants, g)
	}
	return out, nil
}

func (c *Compiler) grant(m *rbacv3.Policy, l layer) (grant, error) {
	g := grant{exact: map[string]bool{}}
	if err := only(m, "permissions principals"); err != nil {
		return g, err
	}
	for _, p := range m.Principals {
		if id := p.GetAuthenticated().GetPrincipalName().GetExact(); id != "" && !p.GetAuthenticated().PrincipalName.IgnoreCase {
			g.exact[id] = true
			continue
		}
		w, err := c.principal(p)
		if err != nil {
			return g, err
		}
		g.who = append(g.who, w)
	}
	what, err := c.permissions(m.Permissions, l)
	g.what = some(what) // an empty list is false: nothing granted
	return g, err
}

func (c *Compiler) permissions(ms []*rbacv3.Permission, l layer) ([]cond, error) {
	var out []cond
	for _, m := range ms {
		p, err := c.permission(m, l)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (c *Compiler) permission(m *rbacv3.Permission, l layer) (cond, error) {
	if err := only(m, "and_rules or_rules not_rule any header url_path destination_port"); err != nil {
		return nil, err
	}
	switch r := m.Rule.(type) {
	case *rbacv3.Permission_Any:
		return anything(r.Any)
	case *rbacv3.Permission_AndRules:
		return join(all)(c.permissions(r.AndRules.GetRules(), l))
	case *rbacv3.Permission_OrRules:
		return join(some)(c.permissions(r.OrRules.GetRules(), l))
	case *rbacv3.Permission_NotRule:
		return not(c.permission(r.NotRule, l))
	case *rbacv3.Permission_DestinationPort:
		return func(q *Request) bool { return uint32(q.Port) == r.DestinationPort }, nil
	case *rbacv3.Permission_Header:
		if l == forHTTP {
			return c.header(r.Header)
		}
	case *rbacv3.Permission_UrlPath:
		if l == forHTTP {
			return c.path(r.UrlPath)
		}
	}
	return nil, fmt.Errorf("permission: not understood here: %T", m.Rule)
}

func (c *Compiler) path(m *matcherv3.PathMatcher) (cond, error) {
	match, err := c.text(m.GetPath())
	if err != nil {
		return nil, fmt.Errorf("url_path: %w", err)
	}
	return func(q *Request) bool { return match(q.Path) }, nil
}

func (c *Compiler) principals(ms []*rbacv3.Principal) ([]cond, error) {
	var out []cond
	for _, m := range ms {
		p, err := c.principal(m)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func (c *Compiler) principal(m *rbacv3.Principal) (cond, error) {
	if err := only(m, "and_ids or_ids not_id any authenticated"); err != nil {
		return nil, err
	}
	switch p := m.Identifier.(type) {
	case *rbacv3.Principal_Any:
		return anything(p.Any)
	case *rbacv3.Principal_AndIds:
		return join(all)(c.principals(p.AndIds.GetIds()))
	case *rbacv3.Principal_OrIds:
		return join(some)(c.principals(p.OrIds.GetIds()))
	case *rbacv3.Principal_NotId:
		return not(c.principal(p.NotId))
	case *rbacv3.Principal_Authenticated_:
		if err := only(p.Authenticated, "principal_name"); err != nil {
			return nil, err
		}
		if p.Authenticated.PrincipalName == nil {
			return func(q *Request) bool { return q.Peer != "" }, nil
		}
		match, err := c.text(p.Authenticated.PrincipalName)
		if err != nil {
			return nil, fmt.Errorf("principal_name: %w", err)
		}
		return func(q *Request) bool { return q.Peer != "" && match(q.Peer) }, nil
	}
	return nil, fmt.Errorf("principal: not understood: %T", m.Identifier)
}

func anything(yes bool) (cond, error) {
	if !yes {
		return nil, errors.New("any: false is not understood")
	}
	return func(*Request) bool { return true }, nil
}

// join makes one condition of several. An empty AND would be true for everybody, so empty trees are refused.
func join(f func([]cond) cond) func([]cond, error) (cond, error) {
	return func(cs []cond, err error) (cond, error) {
		if err != nil {
			return nil, err
		}
		if len(cs) == 0 {
			return nil, errors.New("empty AND or OR")
		}
		return f(cs), nil
	}
}

func not(c cond, err error) (cond, error) {
	if err != nil {
		return nil, err
	}
	return func(q *Request) bool { return !c(q) }, nil
}
