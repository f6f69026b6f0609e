// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/anymesh/anymesh/proxy/balance"
)

// Routes is a compiled RouteConfiguration.
type Routes struct {
	Name  string
	rules []rule
}

type rule struct {
	name    string
	match   cond
	plain   bool // takes every request
	shares  Shares
	timeout time.Duration
	again   Again
	key     *Name // of the header whose value is hashed; nil: none
}

// Decision says where one request goes.
type Decision struct {
	Cluster string
	Route   string        // the object that decided, as kind/namespace/name; empty for the root service's own
	Timeout time.Duration // zero: none said
	Again   Again
	Key     uint64 // what goes to the same endpoint has the same; 0: no matter
}

// Route decides. The first rule that matches wins; a split is drawn anew for each call. False: no rule matches.
func (r *Routes) Route(q *Request) (Decision, bool) {
	for i := range r.rules {
		if u := &r.rules[i]; u.match(q) {
			d := Decision{Cluster: u.shares.Pick(), Route: u.name, Timeout: u.timeout, Again: u.again}
			if u.key != nil {
				if v, ok := q.header(*u.key); ok {
					d.Key = balance.Key(v)
				}
			}
			return d, true
		}
	}
	return Decision{}, false
}

// Plain says whether all requests go the same way, whatever they are.
func (r *Routes) Plain() bool { return r == nil || len(r.rules) > 0 && r.rules[0].plain }

// Careful says whether some route asks for more than to be handed on: to be tried again, or to go by a key.
func (r *Routes) Careful() bool {
	return slices.ContainsFunc(r.rules, func(u rule) bool { return u.again != Again{} || u.key != nil })
}

// Clusters lists every cluster that the routes name, sorted.
func (r *Routes) Clusters() []string {
	var out []string
	for _, u := range r.rules {
		out = append(out, u.shares.names...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Shares is a weighted choice of clusters.
type Shares struct {
	names []string
	until []uint64 // running sums of the weights
}

// Pick draws one.
func (s *Shares) Pick() string {
	if len(s.names) == 1 {
		return s.names[0]
	}
	n := rand.Uint64N(s.until[len(s.until)-1])
	for i, u := range s.until {
		if n < u {
			return s.names[i]
		}
	}
	panic("policy: a draw beyond the sum of the weights")
}

func (s *Shares) add(name string, weight *wrapperspb.UInt32Value) error {
	if name == "" {
		return errors.New("weighted cluster without a name")
	}
	if weight.GetValue() == 0 {
		return nil // takes nothing, so it needs no warming either
	}
	var sum uint64
	if n := len(s.until); n > 0 {
		sum = s.until[n-1]
	}
	s.names = append(s.names, name)
	s.until = append(s.until, sum+uint64(weight.GetValue()))
	return nil
}

func (s *Shares) check() error {
	if len(s.names) == 0 {
		return errors.New("no cluster has a weight above zero")
	}
	return nil
}

func one(cluster string) (Shares, error) {
	if cluster == "" {
		return Shares{}, errors.New("no cluster is named")
	}
	return Shares{names: []string{cluster}, until: []uint64{1}}, nil
}

// Routes compiles a RouteConfiguration: one virtual host for "*", routes in order.
func (c *Compiler) Routes(m *routev3.RouteConfiguration) (*Routes, error) {
	if err := only(m, "name virtual_hosts validate_clusters"); err != nil {
		return nil, err
	}
	if len(m.VirtualHosts) != 1 || !slices.Equal(m.VirtualHosts[0].Domains, []string{"*"}) {
		return nil, errors.New(`RouteConfiguration: understood is exactly one virtual host with domains ["*"]`)
	}
	v := m.VirtualHosts[0]
	if err := only(v, "name domains routes"); err != nil {
		return nil, err
	}
	out := &Routes{Name: m.Name}
	for i, r := range v.Routes {
		u, err := c.rule(r)
		if err != nil {
			return nil, fmt.Errorf("route %d %q: %w", i, r.Name, err)
		}
		out.rules = append(out.rules, u)
	}
	return out, nil
}

func (c *Compiler) rule(m *routev3.Route) (rule, error) {
	var u rule
	a := m.GetRoute()
	if a == nil || m.Match == nil {
		return u, errors.New("a match and a route action are needed")
	}
	err := first(only(m, "name match route metadata stat_prefix"),
		only(a, "cluster weighted_clusters timeout upgrade_configs retry_policy hash_policy"))
	if err != nil {
		return u, err
	}
	u.name, u.timeout = m.Name, a.Timeout.AsDuration()
	u.plain = len(m.Match.Headers) == 0 && isPrefix(m.Match, "", "/")
	if u.again, err = again(a.RetryPolicy); err != nil {
		return u, err
	}
	if u.key, err = hashHeader(a.HashPolicy); err != nil {
		return u, err
	}
	if u.match, err = c.routeMatch(m.Match); err != nil {
		return u, err
	}
	switch s := a.ClusterSpecifier.(type) {
	case *routev3.RouteAction_Cluster:
		u.shares, err = one(s.Cluster)
		return u, err
	case *routev3.RouteAction_WeightedClusters:
		// total_weight is an old hint; the sum is what counts.
		if err := only(s.WeightedClusters, "clusters total_weight"); err != nil {
			return u, err
		}
		for _, w := range s.WeightedClusters.Clusters {
			if err := first(only(w, "name weight"), u.shares.add(w.Name, w.Weight)); err != nil {
				return u, err
			}
		}
		return u, u.shares.check()
	}
	return u, errors.New("no cluster is named")
}

func isPrefix(m *routev3.RouteMatch, any ...string) bool {
	p, ok := m.PathSpecifier.(*routev3.RouteMatch_Prefix)
	return ok && slices.Contains(any, p.Prefix)
}

func (c *Compiler) routeMatch(m *routev3.RouteMatch) (cond, error) {
	if err := only(m, "prefix path safe_regex headers case_sensitive"); err != nil {
		return nil, err
	}
	if m.CaseSensitive != nil && !m.CaseSensitive.Value {
		return nil, errors.New("RouteMatch: case_sensitive false is not understood")
	}
	// The path comes first: it is what tells most routes apart, and quickly.
	var cs []cond
	switch p := m.PathSpecifier.(type) {
	case *routev3.RouteMatch_Prefix:
		if p.Prefix == "" {
			break // everything; also the "*" of OPTIONS, which "/" does not take
		}
		cs = append(cs, func(r *Request) bool { return strings.HasPrefix(r.Path, p.Prefix) })
	case *routev3.RouteMatch_Path:
		cs = append(cs, func(r *Request) bool { return r.Path == p.Path })
	case *routev3.RouteMatch_SafeRegex:
		re, err := c.regex(p.SafeRegex)
		if err != nil {
			return nil, err
		}
		cs = append(cs, func(r *Request) bool { return re(r.Path) })
	default:
		return nil, errors.New("RouteMatch without a path condition")
	}
	headers, err := c.headers(m.Headers)
	if err != nil {
		return nil, err
	}
	cs = append(cs, headers...)
	return all(cs), nil
}
