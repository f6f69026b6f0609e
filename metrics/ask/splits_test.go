// SPDX-License-Identifier: Apache-2.0

package ask_test

import "github.com/anymesh/anymesh/metrics"

// splits is one split of shop, with 90 and 10.
func splits(apex, first, second string) map[metrics.Ref]metrics.Split {
	return map[metrics.Ref]metrics.Split{
		{Kind: "TrafficSplit", Namespace: "shop", Name: apex}: {Apex: apex, Backends: []metrics.Backend{{Name: first, Weight: 90}, {Name: second, Weight: 10}}},
	}
}
