// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"cmp"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/anymesh/anymesh/model"
)

// What stands where a Service asks for it and leaves numbers out: five failures in a row, ten seconds, at most half of the endpoints.
const (
	outlierFailures = 5
	outlierTime     = 10 * time.Second
	outlierPercent  = 50
)

// Nothing is sent again but what cannot have been done, and by our own proxy what may be done twice.
const retryOn = "connect-failure,refused-stream"

func balance(t *model.Traffic) clusterv3.Cluster_LbPolicy {
	switch t.Balance {
	case model.RoundRobin:
		return clusterv3.Cluster_ROUND_ROBIN
	case model.Random:
		return clusterv3.Cluster_RANDOM
	case model.Hash:
		return clusterv3.Cluster_MAGLEV
	}
	return clusterv3.Cluster_LEAST_REQUEST
}

func outliers(t *model.Traffic) *clusterv3.OutlierDetection {
	o := t.Outliers
	if o.Off || o == (model.Outliers{}) {
		return nil
	}
	return &clusterv3.OutlierDetection{
		Consecutive_5Xx:    wrapperspb.UInt32(cmp.Or(o.Failures, outlierFailures)),
		BaseEjectionTime:   durationpb.New(cmp.Or(o.Time, outlierTime)),
		MaxEjectionPercent: wrapperspb.UInt32(cmp.Or(o.Percent, outlierPercent)),
	}
}

// limits are nil where none is set: for us that is no bound, for Envoy 1024 of each.
func limits(t *model.Traffic) *clusterv3.CircuitBreakers {
	if t.Requests == 0 && t.Connections == 0 {
		return nil
	}
	n := &clusterv3.CircuitBreakers_Thresholds{}
	if t.Requests > 0 {
		n.MaxRequests, n.MaxPendingRequests = wrapperspb.UInt32(t.Requests), wrapperspb.UInt32(t.Waiting)
	}
	if t.Connections > 0 {
		n.MaxConnections = wrapperspb.UInt32(t.Connections)
	}
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{n}}
}

// tune adds to a way what the root's owner says of requests.
func tune(a *routev3.RouteAction, t *model.Traffic) {
	if t.Timeout > 0 {
		a.Timeout = durationpb.New(t.Timeout)
	}
	if t.Retries > 0 || t.TryTimeout > 0 {
		a.RetryPolicy = &routev3.RetryPolicy{RetryOn: retryOn, NumRetries: wrapperspb.UInt32(t.Retries)}
		if t.TryTimeout > 0 {
			a.RetryPolicy.PerTryTimeout = durationpb.New(t.TryTimeout)
		}
	}
	if t.Balance == model.Hash {
		a.HashPolicy = []*routev3.RouteAction_HashPolicy{{PolicySpecifier: &routev3.RouteAction_HashPolicy_Header_{
			Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: t.Key}}}}
	}
}
