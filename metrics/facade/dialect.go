// SPDX-License-Identifier: Apache-2.0

package facade

import (
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// dialect is how the tools ask one mesh for a workload's own traffic.
type dialect struct {
	requests string // counter
	latency  string // histogram's buckets, in milliseconds
	fixed    []fixed
	outcome  map[string]outcomes // by label: what a condition on it asks for
	named    func(map[string]*labels.Matcher) (named, bool)
	uses     []string // labels that named reads
}

// fixed is a label by which a query says where the traffic was measured: it may be absent.
type fixed struct{ label, value string }

// named is whom a query is about.
type named struct {
	namespace string
	kinds     []string        // Deployment, DaemonSet: those among which the name is looked for, in this order
	match     *labels.Matcher // of the name
}

// outcome is which requests a query counts.
type outcome uint8

const (
	every outcome = iota
	good
	failed
)

// outcomes tells by a condition which requests it takes.
type outcomes map[string]outcome

var codes = outcomes{`!~5.*`: good, `!~5..`: good, `!~5.+`: good, `!~^5.*`: good, `=~5.*`: failed, `=~5..`: failed, `=~5.+`: failed}

// workloads are the kinds of what a query names without telling its kind, as Flagger's targets are.
var workloads = []string{"Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob"}

// dialects are those of Flagger's built-in metrics.
//
// Source: pkg/metrics/observers of github.com/fluxcd/flagger v1.43.0; those of Argo Rollouts' pages for Istio and Linkerd are the same.
var dialects = []dialect{
	{
		requests: "istio_requests_total", latency: "istio_request_duration_milliseconds_bucket",
		fixed:   []fixed{{"reporter", "destination"}},
		outcome: map[string]outcomes{"response_code": codes},
		uses:    []string{"destination_workload_namespace", "destination_workload"},
		named:   plain("destination_workload_namespace", "destination_workload", workloads...),
	},
	{
		requests: "istio_requests_total", latency: "istio_request_duration_milliseconds_bucket",
		outcome: map[string]outcomes{"response_code": codes},
		fixed:   []fixed{{"reporter", "destination"}, {"reporter", "source"}},
		uses:    []string{"destination_service"},
		named: func(m map[string]*labels.Matcher) (named, bool) {
			// NAME.NAMESPACE.svc.DOMAIN, as the page of Argo Rollouts has it.
			name, rest, _ := strings.Cut(literal(m["destination_service"]), ".")
			namespace, rest, _ := strings.Cut(rest, ".")
			return named{namespace, []string{"Service"}, equal(name)}, namespace != "" && (rest == "svc" || strings.HasPrefix(rest, "svc."))
		},
	},
	{
		requests: "response_total", latency: "response_latency_ms_bucket",
		fixed:   []fixed{{"direction", "inbound"}},
		outcome: map[string]outcomes{"classification": {"!=failure": good, "=success": good, "=failure": failed, "!=success": failed}},
		uses:    []string{"namespace", "deployment"},
		named:   plain("namespace", "deployment", "Deployment"),
	},
	{
		requests: "osm_request_total", latency: "osm_request_duration_ms_bucket",
		fixed:   []fixed{{"destination_kind", "Deployment"}},
		outcome: map[string]outcomes{"response_code": codes},
		uses:    []string{"destination_namespace", "destination_name"},
		named:   plain("destination_namespace", "destination_name", "Deployment"),
	},
	{
		requests: "envoy_cluster_upstream_rq", latency: "envoy_cluster_upstream_rq_time_bucket",
		outcome: map[string]outcomes{"envoy_response_code": codes},
		uses:    []string{"kubernetes_namespace", "kubernetes_pod_name"},
		named: func(m map[string]*labels.Matcher) (named, bool) {
			name, ok := strings.CutSuffix(regular(m["kubernetes_pod_name"]), "-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)")
			return named{literal(m["kubernetes_namespace"]), []string{"Deployment"}, equal(name)}, ok && simple(name)
		},
	},
	{
		requests: "envoy_cluster_upstream_rq", latency: "envoy_cluster_upstream_rq_time_bucket",
		outcome: map[string]outcomes{"envoy_response_code": codes},
		uses:    []string{"service"},
		named: func(m map[string]*labels.Matcher) (named, bool) {
			// TARGET-canary_NAMESPACE_svc_PORT: the Service of the canary leads to the target.
			text, ok := strings.CutSuffix(regular(m["service"]), "_svc_[0-9a-zA-Z-]+")
			i := strings.LastIndex(text, "-canary_")
			if !ok || i < 0 || !simple(text[:i]) {
				return named{}, false
			}
			return named{text[i+len("-canary_"):], workloads, equal(text[:i])}, true
		},
	},
}

// plain reads a namespace and a name from a label each.
func plain(namespace, name string, kinds ...string) func(map[string]*labels.Matcher) (named, bool) {
	return func(m map[string]*labels.Matcher) (named, bool) {
		n := m[name]
		return named{literal(m[namespace]), kinds, n}, n != nil && (n.Type == labels.MatchEqual || n.Type == labels.MatchRegexp) && !n.Matches("")
	}
}

func equal(name string) *labels.Matcher {
	return labels.MustNewMatcher(labels.MatchEqual, "name", name)
}

// literal is the one value that a matcher takes, and empty where it may take others.
func literal(m *labels.Matcher) string {
	switch {
	case m == nil:
		return ""
	case m.Type == labels.MatchEqual:
		return m.Value
	case m.Type != labels.MatchRegexp:
		return ""
	case simple(m.Value):
		return m.Value
	}
	return constant(m.Value)
}

// constant is the one text that an expression takes, written with its dots escaped.
func constant(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil || re.Op != syntax.OpLiteral || re.Flags&syntax.FoldCase != 0 {
		return ""
	}
	return string(re.Rune)
}

func regular(m *labels.Matcher) string {
	if m == nil || m.Type != labels.MatchRegexp {
		return ""
	}
	return m.Value
}

// simple says whether an expression is a name of Kubernetes: what is no letter, digit, dash or dot in it is none. A dot stands for itself:
// no two names of one kind in one namespace differ in what it takes.
func simple(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
	})
}

// read says whom the conditions of a query are about, and which requests it counts. Not ok: it asks for something else.
func (d *dialect) read(matchers []*labels.Matcher) (n named, o outcome, ok bool) {
	by := map[string]*labels.Matcher{}
	for _, m := range matchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		if by[m.Name] != nil {
			return n, o, false
		}
		by[m.Name] = m
		if slices.Contains(d.uses, m.Name) {
			continue
		}
		if known := d.outcome[m.Name]; known != nil {
			if o, ok = known[m.Type.String()+m.Value]; !ok {
				return n, o, false
			}
			continue
		}
		if !slices.ContainsFunc(d.fixed, func(f fixed) bool { return f.label == m.Name && f.value == literal(m) }) {
			return n, o, false
		}
	}
	n, ok = d.named(by)
	return n, o, ok && n.namespace != ""
}
