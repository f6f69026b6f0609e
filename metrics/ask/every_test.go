// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

// TestEveryQuery: whatever is asked of whatever mesh is PromQL.
func TestEveryQuery(t *testing.T) {
	read := parser.NewParser(parser.Options{})
	for _, d := range all.Drivers() {
		if d.Queries == nil {
			continue
		}
		for i := range d.Queries.Shapes {
			only := *d.Queries
			only.Shapes = only.Shapes[i : i+1]
			t.Run(d.Name+"/"+only.Shapes[0].Name, func(t *testing.T) {
				var n atomic.Int32
				var before sync.Map
				p := hooked{nil, func(_ context.Context, text string) error {
					if _, again := before.LoadOrStore(text, true); again {
						return nil
					}
					n.Add(1)
					if _, err := read.ParseExpr(text); err != nil {
						t.Errorf("%s: %v", text, err)
					}
					return nil
				}}
				w := shop()
				w.Meshes = map[string]string{"": d.Name}
				w.Add("CronJob shop/x", "DaemonSet shop/x", "Job shop/x", "ReplicationController shop/x", "ReplicaSet shop/x", "Node x", "Namespace x", "Pod shop/x", "Service shop/x",
					"StatefulSet shop/x", "Deployment shop/x")
				s := ask.New(w, []ask.Mesh{{Name: d.Name, Queries: &only, Prometheus: p}}, clock(), ask.WithBudget(time.Minute))
				for _, k := range metrics.Kinds() {
					of := metrics.Ref{Kind: k.Name, Namespace: "shop", Name: "x"}
					switch {
					case k.Cluster:
						of.Namespace = ""
					case k.Name == "TrafficSplit":
						of.Name = "catalog"
					}
					put := func(q metrics.Question) {
						if _, err := s.Measure(t.Context(), q); err != nil {
							t.Errorf("%+v: %v", q, err)
						}
					}
					q := metrics.Question{Kind: k, Of: []metrics.Ref{of}, At: At(now)}
					put(q)
					q.Edges = true
					for _, peer := range []string{"Deployment", "Namespace", "Pod", "Service", "TrafficSplit"} {
						q.Peer, _ = metrics.KindOf(peer)
						put(q)
					}
				}
				if n.Load() < 10 {
					t.Errorf("only %d queries", n.Load())
				}
			})
		}
	}
}
