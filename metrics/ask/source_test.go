// SPDX-License-Identifier: Apache-2.0

package ask_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
	. "github.com/anymesh/anymesh/metrics/metricstest"
)

// hooked asks before it answers.
type hooked struct {
	metrics.Prometheus
	before func(ctx context.Context, text string) error
}

func (h hooked) Query(ctx context.Context, text string, at time.Time) ([]metrics.Sample, error) {
	if err := h.before(ctx, text); err != nil {
		return nil, err
	}
	if h.Prometheus == nil {
		return nil, nil
	}
	return h.Prometheus.Query(ctx, text, at)
}

func clock() ask.Option { return ask.WithClock(func() time.Time { return At(now) }) }

// TestOneRound: every query of an answer is on its way before any is answered, and the answer is kept.
func TestOneRound(t *testing.T) {
	engine := Load(t, "load 15s\n"+labels(istio))
	var mu sync.Mutex
	var in int
	probes, asked := 0, 0
	full := make(chan struct{})
	const round = 4*5 + 2*3 // client and server, from and to; and twice what never arrived, which is added up by buckets
	p := hooked{engine, func(_ context.Context, text string) error {
		mu.Lock()
		if strings.HasPrefix(text, "count(") {
			probes++
			mu.Unlock()
			return nil
		}
		asked++
		if in++; in == round {
			close(full)
		}
		mu.Unlock()
		<-full
		return nil
	}}
	w := shop()
	w.Meshes = map[string]string{"": "istio"}
	s := ask.New(w, []ask.Mesh{{Name: "istio", Queries: queries(t, "istio"), Prometheus: p}}, clock(), ask.WithBudget(time.Minute))
	q := question(t, "deployments shop/web edges")
	var all sync.WaitGroup
	for range 20 { // whoever asks the same meanwhile waits for the same answer
		all.Go(func() {
			if a, err := s.Measure(t.Context(), q); err != nil || len(a.Measures) != 7 {
				t.Errorf("%v, %v", lines(a), err)
			}
		})
	}
	all.Wait()
	if asked != round || probes == 0 {
		t.Errorf("%d queries and %d probes", asked, probes)
	}
	before := asked
	q.At = At(now + 10*time.Second) // within the interval it is the same
	if _, err := s.Measure(t.Context(), q); err != nil || asked != before {
		t.Errorf("asked again: %d, %v", asked-before, err)
	}
}

// TestHung: a Prometheus that does not answer, and takes no notice of who leaves, costs the budget and no more.
func TestHung(t *testing.T) {
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for name, before := range map[string]func(context.Context, string) error{
		"hangs at once": func(context.Context, string) error { <-never; return nil },
		"hangs after probes": func(_ context.Context, text string) error {
			if !strings.HasPrefix(text, "count(") {
				<-never
			}
			return nil
		},
		"refuses": func(context.Context, string) error { return errors.New("connection refused") },
	} {
		t.Run(name, func(t *testing.T) {
			w := shop()
			w.Meshes = map[string]string{"": "istio"}
			s := ask.New(w, []ask.Mesh{{Name: "istio", Queries: queries(t, "istio"), Prometheus: hooked{nil, before}}}, clock(), ask.WithBudget(20*time.Millisecond))
			_, err := s.Measure(t.Context(), question(t, "deployments shop/web"))
			if !metrics.IsUnavailable(err) || !strings.Contains(err.Error(), "istio") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWindow(t *testing.T) {
	w := shop()
	w.Meshes = map[string]string{"": "istio"}
	s := ask.New(w, []ask.Mesh{{Name: "istio", Queries: queries(t, "istio"), Prometheus: Load(t, "load 15s\n"+labels(istio)), Interval: 20 * time.Second}}, clock())
	for asked, want := range map[time.Duration]time.Duration{0: 40 * time.Second, time.Second: 40 * time.Second, time.Minute: time.Minute} {
		q := question(t, "deployments shop/web")
		q.Window = asked
		if a, err := s.Measure(t.Context(), q); err != nil || a.Window != want || !a.At.Equal(At(now)) {
			t.Errorf("asked for %s: %s at %s, %v", asked, a.Window, a.At, err)
		}
	}
}

func TestNotReady(t *testing.T) {
	w := &World{Err: errors.New("still reading")}
	if _, err := ask.New(w, nil).Measure(t.Context(), question(t, "deployments shop/web")); !errors.Is(err, w.Err) {
		t.Errorf("%v", err)
	}
}

// TestRenamed: a scrape configuration that calls pods otherwise is found, and found again when it changes.
func TestRenamed(t *testing.T) {
	var p metrics.Prometheus = Load(t, "load 15s\n"+labels(istio))
	renamed := Load(t, "load 15s\n"+strings.NewReplacer(",namespace=", ",kubernetes_namespace=", "pod=", "kubernetes_pod_name=").Replace(labels(istio)))
	var changed atomic.Bool
	var at atomic.Int64
	w := shop()
	w.Meshes = map[string]string{"": "istio"}
	s := ask.New(w, []ask.Mesh{{Name: "istio", Queries: queries(t, "istio"), Prometheus: either{p, renamed, &changed}, Interval: time.Second}},
		ask.WithClock(func() time.Time { return At(now).Add(time.Duration(at.Load())) }))
	const pod = "pods shop/web-7d9f8c6b5d-x2x4z"
	uses := func(want string) {
		t.Helper()
		if got := s.Profiles(t.Context()); len(got) != 1 || !got[0].Found || got[0].Err != nil || got[0].Mesh != "istio" || strings.Join(got[0].Uses, ";") != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
	want(t, s, pod, "Pod shop/web-7d9f8c6b5d-x2x4z: 68+12 10/50/95")
	uses("pod labels: namespace, pod")
	changed.Store(true)
	at.Add(int64(2 * time.Minute))
	want(t, s, pod, "Pod shop/web-7d9f8c6b5d-x2x4z: 0+0") // nobody could know
	at.Add(int64(2 * time.Minute))
	want(t, s, pod, "Pod shop/web-7d9f8c6b5d-x2x4z: 68+12 10/50/95")
	uses("pod labels: kubernetes_namespace, kubernetes_pod_name")
}

// either is the second once it is told so. Its series end at the time of the tests.
type either struct {
	first, second metrics.Prometheus
	changed       *atomic.Bool
}

func (e either) Query(ctx context.Context, text string, at time.Time) ([]metrics.Sample, error) {
	p := e.first
	if e.changed.Load() {
		p = e.second
	}
	return p.Query(ctx, text, At(now))
}

// TestTwoMeshes has an edge from a mesh to another: each side is counted once, by the proxy that stands there, though both meshes are in one Prometheus
// and each has something to say of both ends.
func TestTwoMeshes(t *testing.T) {
	p := Load(t, `load 15s
  istio_requests_total{reporter="source",namespace="shop",pod="web-1",source_workload="web",source_workload_namespace="shop",destination_workload="web",destination_workload_namespace="other",destination_service_name="web",destination_service_namespace="other",response_code="200"} 0+3x8
  # what Istio says that a callee outside of it counted is not believed
  istio_requests_total{reporter="destination",namespace="other",pod="web-2",source_workload="web",source_workload_namespace="shop",destination_workload="web",destination_workload_namespace="other",destination_service_name="web",destination_service_namespace="other",response_code="200"} 0+1000x8
  response_total{direction="inbound",namespace="other",pod="web-2",deployment="web",classification="success",client_id="web.shop.serviceaccount.identity.linkerd.cluster.local"} 0+2x8
  response_total{direction="inbound",namespace="other",pod="web-2",deployment="web",classification="failure",client_id="web.shop.serviceaccount.identity.linkerd.cluster.local"} 0+1x8
  response_total{direction="outbound",namespace="shop",pod="web-1",deployment="web",dst_namespace="other",dst_deployment="web",classification="success"} 0+1000x8
`)
	w := shop()
	w.Meshes = map[string]string{"shop": "istio", "other": "linkerd"}
	meshes := []ask.Mesh{{Name: "istio", Queries: queries(t, "istio"), Prometheus: p}, {Name: "linkerd", Queries: queries(t, "linkerd"), Prometheus: p}}
	s := ask.New(w, meshes, clock(), ask.WithBudget(time.Minute))
	want(t, s, "deployments shop/web edges", "Deployment shop/web to Deployment other/web client: 12+0")
	want(t, s, "namespaces shop edges", "Namespace shop to Namespace other client: 12+0", "Namespace shop to Namespace other server: 8+4")
	want(t, s, "namespaces other edges", "Namespace other from Namespace shop client: 12+0", "Namespace other from Namespace shop server: 8+4")
	a := want(t, s, "namespaces shop,other", "Namespace shop: 0+0", "Namespace other: 8+4")
	if a.Measures[0].Mesh != "istio" || a.Measures[1].Mesh != "linkerd" {
		t.Errorf("who counted: %+v", a.Measures)
	}

	meshes[1].Prometheus = hooked{nil, func(context.Context, string) error { return errors.New("down") }}
	s = ask.New(w, meshes, clock(), ask.WithBudget(time.Minute))
	if _, err := s.Measure(t.Context(), question(t, "namespaces other")); !metrics.IsUnavailable(err) {
		t.Errorf("the only mesh that knows is down: %v", err)
	}
	a = want(t, s, "namespaces shop edges", "Namespace shop to Namespace other client: 12+0")
	if !strings.Contains(strings.Join(a.Notes, "\n"), "the side of edges that linkerd counts is missing") {
		t.Errorf("what is missing is not said: %q", a.Notes)
	}

	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	meshes[1].Prometheus = hooked{nil, func(context.Context, string) error { <-never; return nil }}
	s = ask.New(w, meshes, clock(), ask.WithBudget(2*time.Second))
	a = want(t, s, "namespaces shop edges", "Namespace shop to Namespace other client: 12+0")
	if !strings.Contains(strings.Join(a.Notes, "\n"), "the side of edges that linkerd counts is missing") {
		t.Errorf("what is missing is not said: %q", a.Notes)
	}

	w.Meshes["other"] = "consul"
	a = want(t, s, "namespaces other", "Namespace other: 0+0")
	if a.Measures[0].Mesh != "" || len(a.Notes) != 1 {
		t.Errorf("nobody counts there: %+v", a)
	}
}

// TestManyResources: a list longer than one query can name is answered whole, and nobody twice, by a few queries.
func TestManyResources(t *testing.T) {
	for _, n := range []int{600, 3000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var series strings.Builder
			series.WriteString("load 15s\n")
			w := &World{Meshes: map[string]string{"": "istio"}}
			var refs []metrics.Ref
			for i := range n {
				ns, name := fmt.Sprintf("ns-%d", i%7), fmt.Sprintf("a-workload-with-a-rather-long-name-%d", i/7)
				refs = append(refs, Ref("Deployment "+ns+"/"+name))
				fmt.Fprintf(&series, "  istio_requests_total{reporter=\"destination\",destination_workload=%q,destination_workload_namespace=%q,response_code=\"200\"} 0+10x8\n", name, ns)
			}
			var asked atomic.Int32
			p := hooked{Load(t, series.String()), func(_ context.Context, text string) error {
				if !strings.HasPrefix(text, "count(") {
					asked.Add(1)
				}
				return nil
			}}
			s := ask.New(w, []ask.Mesh{{Name: "istio", Queries: queries(t, "istio"), Prometheus: p}}, clock(), ask.WithBudget(time.Minute))
			kind, _ := metrics.KindOf("Deployment")
			a, err := s.Measure(t.Context(), metrics.Question{Kind: kind, Of: refs, At: At(now), Window: window})
			if err != nil || len(a.Measures) != len(refs) {
				t.Fatalf("%d measures, %v", len(a.Measures), err)
			}
			for i, m := range a.Measures {
				if m.Of != refs[i] || m.Success != 40 || m.Failure != 0 {
					t.Errorf("%+v", m)
				}
			}
			if asked.Load() > 8*5 {
				t.Errorf("%d queries", asked.Load())
			}
		})
	}
}

// TestBound: who makes up callers makes an answer long, and never longer than it may be; what is left is what counts most.
func TestBound(t *testing.T) {
	p := flood{n: 3 * ask.Bound}
	w := shop()
	w.Meshes = map[string]string{"": "istio"}
	s := ask.New(w, []ask.Mesh{{Name: "istio", Queries: queries(t, "istio"), Prometheus: p}}, clock(), ask.WithBudget(time.Minute))
	a, err := s.Measure(t.Context(), question(t, "deployments shop/web edges"))
	if err != nil || len(a.Measures) != ask.Bound || len(a.Notes) == 0 {
		t.Fatalf("%d measures, notes %q, %v", len(a.Measures), a.Notes, err)
	}
	for _, m := range a.Measures {
		if m.Success < 2*ask.Bound {
			t.Fatalf("%+v is here, and others had more", m)
		}
	}
}

// flood answers with any number of callers, the last of them the busiest.
type flood struct{ n int }

func (f flood) Query(_ context.Context, text string, _ time.Time) (out []metrics.Sample, err error) {
	if strings.HasPrefix(text, "count(") || !strings.Contains(text, `reporter="destination"`) || !strings.Contains(text, `destination_workload="web"`) || strings.Contains(text, "_bucket") || strings.Contains(text, " - (") {
		return nil, nil
	}
	for i := range f.n {
		out = append(out, metrics.Sample{Value: float64(i), Labels: map[string]string{"destination_workload": "web", "destination_workload_namespace": "shop",
			"source_workload": fmt.Sprint("w", i), "source_workload_namespace": "made-up"}})
	}
	return out, nil
}
