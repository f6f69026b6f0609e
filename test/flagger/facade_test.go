// SPDX-License-Identifier: Apache-2.0

package flagger

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	counters "github.com/prometheus/client_golang/prometheus"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/inventory"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/mesh/linkerd"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
	"github.com/anymesh/anymesh/metrics/facade"
	"github.com/anymesh/anymesh/metrics/local"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/test/kubetest"
)

// beat is how often the made-up proxies are scraped.
const beat = 2 * time.Second

// measured runs Flagger as for any mesh of SMI, for which it asks Istio's series, while the target lives in meshes that count in other words.
// What goes well is promoted, and what fails at every second request is taken back, each by numbers that came from that mesh's series alone.
func measured(t *testing.T, c *kubetest.Cluster, path string) {
	for _, m := range []struct {
		driver *mesh.Driver
		read   func(ns string, failing bool) local.Read
	}{{builtin.Driver, ours}, {linkerd.Driver, theirs}} {
		for _, failing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, failing %v", m.driver.Name, failing), func(t *testing.T) {
				t.Parallel()
				ns := c.Namespace(t)
				f := newFront(t, c, m.driver, m.read(ns, failing))
				start(t, path, c.Kubeconfig, ns, "smi:v1alpha3", f.URL)
				c.Apply(t, release(ns, "one"), strings.ReplaceAll(canary, "NS", ns))
				phase(t, c, ns, "Initialized")
				s := watch(t, c, ns)
				c.Apply(t, release(ns, "two"))
				if failing {
					phase(t, c, ns, "Failed")
				} else {
					phase(t, c, ns, "Succeeded")
				}
				s.stop()
				s.ends(t, failing)
				if n := f.answered(); n < 2 {
					t.Errorf("%d of Flagger's queries were answered by the mesh", n)
				}
			})
		}
	}
}

// ends looks for how the canary's share went: up by the author's steps and back, or never past the first of them.
func (s *steps) ends(t *testing.T, failing bool) {
	t.Helper()
	if !failing {
		s.check(t)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := strings.Join(s.seen, " "); !strings.Contains(got, "30%") || strings.Contains(got, "60%") || !strings.HasSuffix(got, " 0%") {
		t.Errorf("the failing canary's share went %s, and not 30%% 0%%", got)
	}
}

// front is the façade over a mesh's series, which a store of this process scrapes.
type front struct {
	*httptest.Server
	mu sync.Mutex
	n  int
}

func newFront(t *testing.T, c *kubetest.Cluster, d *mesh.Driver, read local.Read) *front {
	t.Helper()
	store, err := local.Open(local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kube.Connect(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	served, err := cluster.Discover()
	if err != nil {
		t.Fatal(err)
	}
	world := inventory.New(cluster, inventory.Options{Mesh: func(string) string { return d.Name }})
	world.Serve(served)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := world.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() { store.Watch(ctx, beat, local.Target{Name: d.Name, Read: read, FromZero: true}) })
	f := &front{}
	source := ask.New(world, []ask.Mesh{{Name: d.Name, Queries: d.Queries, Prometheus: store, Interval: beat}}, ask.WithBudget(4*time.Second))
	f.Server = httptest.NewServer(facade.Handler(facade.Options{Source: counting{source, f}, World: world, Next: store.Handler()}))
	t.Cleanup(func() {
		f.Close()
		cancel()
		wg.Wait()
		_ = store.Close()
	})
	kubetest.Eventually(t, world.Ready)
	return f
}

// counting counts the answers that had any request in them.
type counting struct {
	metrics.Source
	f *front
}

func (c counting) Measure(ctx context.Context, q metrics.Question) (metrics.Answer, error) {
	a, err := c.Source.Measure(ctx, q)
	if err == nil && len(a.Measures) == 1 && a.Measures[0].Total() > 0 {
		c.f.mu.Lock()
		c.f.n++
		c.f.mu.Unlock()
	}
	return a, err
}

func (f *front) answered() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// ours are the counters of the built-in proxy beside a pod of app, to which somebody has sent twenty more requests each time they are read.
func ours(ns string, failing bool) local.Read {
	s := stats.New()
	r := counters.NewRegistry()
	r.MustRegister(s.Collector())
	e := s.Edge(stats.Key{Side: stats.Server, Source: ns + "/loader", Workload: ns + "/app", Kind: "Deployment", Pod: "app-1"})
	read := local.Gather(r)
	return func(ctx context.Context) ([]byte, string, error) {
		for i := range 20 {
			code := http.StatusOK
			if failing && i%2 == 0 {
				code = http.StatusServiceUnavailable
			}
			e.HTTP(stats.Outcome{Code: code, GRPC: -1}, 3*time.Millisecond)
		}
		return read(ctx)
	}
}

// theirs are those of Linkerd's proxy.
func theirs(ns string, failing bool) local.Read {
	n := 0
	return func(context.Context) ([]byte, string, error) {
		n += 20
		good, bad := n, 0
		if failing {
			good, bad = n/2, n/2
		}
		return fmt.Appendf(nil, `# TYPE response_total counter
response_total{direction="inbound",namespace=%[1]q,deployment="app",pod="app-1",classification="success"} %[2]d
response_total{direction="inbound",namespace=%[1]q,deployment="app",pod="app-1",classification="failure"} %[3]d
`, ns, good, bad), "text/plain", nil
	}
}
