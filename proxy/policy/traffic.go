// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/anymesh/anymesh/proxy/balance"
)

// Traffic is how requests are spread over the endpoints of a cluster.
type Traffic struct {
	Balance  balance.Kind
	Outliers balance.Outliers
	Limits   balance.Limits
	Conns    uint32 // connections of bytes at once; 0: no bound
}

// Careful says whether requests to the cluster have to be counted in and out, or in their turn.
func (t *Traffic) Careful() bool {
	return t.Limits.Active > 0 || t.Outliers.Failures > 0 || t.Balance == balance.RoundRobin
}

func traffic(m *clusterv3.Cluster) (Traffic, error) {
	var t Traffic
	switch m.LbPolicy {
	case clusterv3.Cluster_ROUND_ROBIN:
		t.Balance = balance.RoundRobin
	case clusterv3.Cluster_LEAST_REQUEST:
		t.Balance = balance.LeastRequest
	case clusterv3.Cluster_RANDOM:
		t.Balance = balance.Random
	case clusterv3.Cluster_MAGLEV, clusterv3.Cluster_RING_HASH: // both promise the same: one key, one endpoint
		t.Balance = balance.Hash
	default:
		return t, fmt.Errorf("Cluster: lb_policy %s is not understood", m.LbPolicy)
	}
	if o := m.OutlierDetection; o != nil {
		if err := only(o, "consecutive_5xx interval base_ejection_time max_ejection_time max_ejection_percent"); err != nil {
			return t, err
		}
		t.Outliers = balance.Outliers{Failures: 5, Base: 30 * time.Second, Max: 300 * time.Second, Percent: 10} // Envoy's own
		if n := o.Consecutive_5Xx; n != nil {
			t.Outliers.Failures = n.Value
		}
		if n := o.MaxEjectionPercent; n != nil {
			t.Outliers.Percent = n.Value
		}
		t.Outliers.Base = cmp.Or(o.BaseEjectionTime.AsDuration(), t.Outliers.Base)
		t.Outliers.Max = max(cmp.Or(o.MaxEjectionTime.AsDuration(), t.Outliers.Max), t.Outliers.Base)
	}
	if b := m.CircuitBreakers; b != nil {
		if err := only(b, "thresholds"); err != nil {
			return t, err
		}
		if len(b.Thresholds) != 1 {
			return t, errors.New("circuit_breakers: understood is exactly one set of thresholds")
		}
		n := b.Thresholds[0]
		if err := only(n, "priority max_connections max_pending_requests max_requests"); err != nil {
			return t, err
		}
		t.Conns = n.MaxConnections.GetValue()
		t.Limits = balance.Limits{Active: n.MaxRequests.GetValue(), Waiting: n.MaxPendingRequests.GetValue()}
	}
	return t, nil
}

// Again says when a request is tried again.
type Again struct {
	Tries   uint32        // more than the first
	Timeout time.Duration // of each; 0: none
}

// safely is what a retry policy may name: failures after which nothing can have been done, or where doing it again changes nothing.
var safely = []string{"connect-failure", "refused-stream", "reset-before-request", "gateway-error"}

func again(m *routev3.RetryPolicy) (Again, error) {
	if m == nil {
		return Again{}, nil
	}
	if err := only(m, "retry_on num_retries per_try_timeout"); err != nil {
		return Again{}, err
	}
	for on := range strings.SplitSeq(m.RetryOn, ",") {
		if !slices.Contains(safely, strings.TrimSpace(on)) {
			return Again{}, fmt.Errorf("RetryPolicy: retry_on %q is not understood, only %s", on, strings.Join(safely, ", "))
		}
	}
	a := Again{Tries: 1, Timeout: m.PerTryTimeout.AsDuration()}
	if m.NumRetries != nil {
		a.Tries = m.NumRetries.Value
	}
	return a, nil
}

// hashHeader is the header by whose value requests go to one endpoint.
func hashHeader(ms []*routev3.RouteAction_HashPolicy) (*Name, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	h := ms[0].GetHeader()
	if len(ms) > 1 || h == nil {
		return nil, errors.New("hash_policy: understood is exactly one header")
	}
	if err := first(only(ms[0], "header"), only(h, "header_name")); err != nil {
		return nil, err
	}
	n, err := headerName(h.HeaderName)
	return &n, err
}
