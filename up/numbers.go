// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/metrics/ask"
	"github.com/anymesh/anymesh/metrics/facade"
	"github.com/anymesh/anymesh/metrics/local"
	"github.com/anymesh/anymesh/metrics/plain"
	"github.com/anymesh/anymesh/store"
	"github.com/anymesh/anymesh/up/world"
)

// readEvery is how often what the proxies count is read. An answer is never about less than two of it.
const readEvery = 2 * time.Second

// numbers keeps what the proxies count for a while, and answers what is asked of it.
type numbers struct {
	store  *local.Store
	world  *world.World
	source *ask.Source
}

func (m *Mesh) count() (*numbers, error) {
	s, err := local.Open(local.Options{Logger: m.log})
	if err != nil {
		return nil, err
	}
	n := &numbers{store: s, world: world.New(builtin.Driver.Name)}
	n.source = ask.New(n.world, []ask.Mesh{{Name: builtin.Driver.Name, Queries: builtin.Driver.Queries, Prometheus: s, Interval: readEvery}})
	return n, nil
}

// run reads the counters until the context ends.
func (n *numbers) run(ctx context.Context, m *Mesh) {
	r := prometheus.NewRegistry()
	r.MustRegister(m.stats.Collector())
	n.store.Watch(ctx, readEvery, local.Target{Name: "proxies", Labels: map[string]string{"job": "anymesh"}, Read: local.Gather(r), FromZero: true})
}

// tell says what there is now. It runs in the engine's loop.
func (n *numbers) tell(s *store.Store) { n.world.Tell(s.Facts, s.Settings().ClusterDomain) }

// handle serves what is asked of the numbers: TrafficMetrics, and Prometheus' API, which also tools understand that ask for another
// mesh.
func (n *numbers) handle(mux *http.ServeMux) {
	mux.Handle(plain.Prefix, plain.Handler(plain.Options{Source: n.source, World: n.world}))
	mux.Handle("/api/v1/", facade.Handler(facade.Options{Source: n.source, World: n.world, Next: n.store.Handler()}))
}
