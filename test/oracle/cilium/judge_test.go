// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cilium/cilium/pkg/container/versioned"
	envoypolicy "github.com/cilium/cilium/pkg/envoy/policy"
	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/spanstat"
	testpolicy "github.com/cilium/cilium/pkg/testutils/policy"
	"github.com/cilium/cilium/pkg/u8proto"
	proxy "github.com/cilium/proxy/go/cilium/api"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// judge is an agent's policies, with the identities that are asked about.
type judge struct {
	repo *policy.Repository
	ids  map[string]*identity.Identity
}

func newJudge(rules api.Rules, asks []ask) *judge {
	j := &judge{ids: map[string]*identity.Identity{}}
	known := identity.IdentityMap{outside: labels.LabelWorld.LabelArray()}
	for i := range asks {
		for _, l := range []map[string]string{asks[i].From, asks[i].To} {
			if key := fmt.Sprint(l); l != nil && j.ids[key] == nil {
				id := j.identity(l)
				j.ids[key], known[id.ID] = id, id.LabelArray
			}
		}
	}
	j.repo = policy.NewPolicyRepository(quiet, known, nil, envoypolicy.NewEnvoyL7RulesTranslator(quiet, nil), nil, testpolicy.NewPolicyMetricsNoop())
	j.repo.GetSelectorCache().SetLocalIdentityNotifier(nobody{})
	j.repo.MustAddList(rules)
	return j
}

// identity is one of a pod, with the labels that the agent's filter leaves.
func (j *judge) identity(pod map[string]string) *identity.Identity {
	all := labels.Map2Labels(pod, labels.LabelSourceK8s)
	all["io.cilium.k8s.policy.cluster"] = labels.NewLabel("io.cilium.k8s.policy.cluster", "default", labels.LabelSourceK8s)
	seen, _ := labelsfilter.Filter(all)
	return identity.NewIdentityFromLabelArray(identity.NumericIdentity(1000+len(j.ids)), seen.LabelArray())
}

// admits says whether the agent's policy for a pod lets a request through: what it tells the kernel, and where that leads a port through Envoy
// what it tells Envoy.
func (j *judge) admits(a *ask) (bool, error) {
	to, from := j.ids[fmt.Sprint(a.To)], identity.NumericIdentity(outside)
	if a.From != nil {
		from = j.ids[fmt.Sprint(a.From)].ID
	}
	owner := &policy.EndpointInfo{ID: uint64(to.ID), Logger: quiet}
	selected, _, err := j.repo.GetSelectorPolicy(to, 0, &stats{}, owner.ID)
	if err != nil {
		return false, err
	}
	redirects := map[string]uint16{}
	for l4 := range selected.RedirectFilters() {
		redirects[policy.ProxyID(uint16(owner.ID), true, string(l4.Protocol), l4.Port, "")] = 10000
	}
	p := selected.DistillPolicy(quiet, owner, redirects)
	defer p.Detach(quiet)
	if err := p.Ready(); err != nil {
		return false, err
	}
	protocol := u8proto.TCP
	if a.Request.Layer == datagram {
		protocol = u8proto.UDP
	}
	entry, _, _ := p.Lookup(policy.IngressKey().WithIdentity(from).WithPortProto(protocol, a.Port))
	if entry.IsDeny() || !entry.IsRedirectEntry() || a.Request.Layer != http {
		return !entry.IsDeny() && !entry.IsRedirectEntry(), nil
	}
	admitted := false
	p.L4Policy.Ingress.PortRules.ForEach(func(l4 *policy.L4Filter) bool {
		if l4.U8Proto == u8proto.TCP && (l4.Port == 0 || l4.Port <= a.Port && a.Port <= max(l4.Port, l4.EndPort)) {
			for who, rules := range l4.PerSelectorPolicies {
				if who.Selects(versioned.Latest(), from) {
					admitted = admitted || rules == nil || rules.EnvoyHTTPRules == nil || slices.ContainsFunc(rules.EnvoyHTTPRules.HttpRules, a.Request.meets)
				}
			}
		}
		return true
	})
	return admitted, nil
}

// meets says whether a request meets a rule as Envoy has it.
func (q *request) meets(r *proxy.HttpNetworkPolicyRule) bool {
	if len(r.HeaderMatches) > 0 {
		panic("the judge knows no headers that are mended")
	}
	return !slices.ContainsFunc(r.Headers, func(h *route.HeaderMatcher) bool { return !q.header(h) })
}

func (q *request) header(h *route.HeaderMatcher) bool {
	values, ok := q.Headers[h.Name]
	switch h.Name {
	case ":path":
		values, ok = []string{q.Path}, true
	case ":method":
		values, ok = []string{q.Method}, true
	case ":authority":
		values, ok = []string{q.Host}, true
	}
	if h.InvertMatch {
		panic("the judge knows no inverted match")
	}
	if h.GetPresentMatch() {
		return ok
	}
	text := strings.Join(values, ",")
	if re := h.GetStringMatch().GetSafeRegex(); re != nil {
		return ok && regexp.MustCompile(`\A(?:`+re.Regex+`)\z`).MatchString(text)
	}
	exact := h.GetStringMatch().GetExact()
	return ok && (exact == "" || exact == text)
}

type stats struct{ waiting, calculation spanstat.SpanStat }

func (s *stats) WaitingForPolicyRepository() *spanstat.SpanStat { return &s.waiting }
func (s *stats) SelectorPolicyCalculation() *spanstat.SpanStat  { return &s.calculation }

// nobody wants to hear of names in DNS.
type nobody struct{}

func (nobody) RegisterFQDNSelector(api.FQDNSelector)   {}
func (nobody) UnregisterFQDNSelector(api.FQDNSelector) {}
