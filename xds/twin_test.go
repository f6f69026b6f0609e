// SPDX-License-Identifier: Apache-2.0

package xds

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// mirror is a client that does as it is told: the model of what a proxy knows.
type mirror struct {
	*client
	knows map[string]map[string]string // versions by type and name
}

// follow takes messages until done, asked after each, is true.
func (m *mirror) follow(done func() bool) error {
	timeout := time.After(patient)
	for !done() {
		select {
		case r, ok := <-m.in:
			if !ok {
				return fmt.Errorf("the stream ended: %w", m.err)
			}
			if err := m.take(r); err != nil {
				return err
			}
		case <-timeout:
			return fmt.Errorf("not told everything within %v: it knows %v", patient, m.knows)
		}
	}
	return nil
}

func (m *mirror) take(r *discovery.DeltaDiscoveryResponse) error {
	told := map[string]bool{}
	if m.knows[r.GetTypeUrl()] == nil {
		m.knows[r.GetTypeUrl()] = map[string]string{}
	}
	know := m.knows[r.GetTypeUrl()]
	for _, x := range r.GetResources() {
		if told[x.GetName()] {
			return fmt.Errorf("%q twice in one message", x.GetName())
		}
		told[x.GetName()] = true
		know[x.GetName()] = x.GetVersion()
	}
	for _, name := range r.GetRemovedResources() {
		if told[name] {
			return fmt.Errorf("%q twice in one message", name)
		}
		told[name] = true
		delete(know, name)
	}
	return m.stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

func versions(s *Server, url string) map[string]string {
	all := map[string]string{}
	for _, r := range s.Dump(url) {
		all[r.GetName()] = r.GetVersion()
	}
	return all
}

// twin is a random walk through changes and subscriptions, with a mirror at the other end.
type twin struct {
	*mirror
	server *Server
	random *rand.Rand
	wild   bool
	wanted map[string]bool
}

func (w *twin) name() string            { return fmt.Sprint("c", w.random.IntN(20)) }
func (w *twin) duration() time.Duration { return time.Duration(w.random.IntN(9) + 1) }

func (w *twin) unsubscribe(name string) {
	w.t.Helper()
	w.send(&discovery.DeltaDiscoveryRequest{TypeUrl: cds, ResourceNamesUnsubscribe: []string{name}})
}

func (w *twin) step() {
	w.t.Helper()
	switch name := w.name(); w.random.IntN(33) / 8 {
	case 0:
		w.wanted[name] = true
		w.subscribe(cds, name)
	case 1:
		delete(w.wanted, name)
		w.unsubscribe(name)
	case 2:
		apply(w.t, w.server, setCluster(name, w.duration()), setCluster(w.name(), w.duration()))
	case 3:
		apply(w.t, w.server, Change{cds, name, nil})
	default:
		if w.wild = !w.wild; w.wild {
			w.subscribe(cds, wildcard)
		} else {
			w.unsubscribe(wildcard)
		}
	}
	for w.random.IntN(4) == 0 {
		select {
		case r := <-w.in:
			if err := w.take(r); err != nil {
				w.t.Fatal(err)
			}
		case <-time.After(time.Millisecond): // nothing there yet, which is as good
		}
	}
}

// agree tells whether the mirror knows just what it asked for, as it is.
func (w *twin) agree() bool {
	other := func(name, _ string) bool { return !w.wild && !w.wanted[name] }
	want, got := versions(w.server, cds), maps.Clone(w.knows[cds])
	maps.DeleteFunc(want, other)
	maps.DeleteFunc(got, other) // a client forgets by itself what it no longer asks for
	return maps.Equal(got, want)
}

// TestTwin changes resources and subscriptions at random; every client ends up knowing what it asked for, as it is.
func TestTwin(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s, address := start(t, Options{})
			m := &mirror{connect(t, dial(t, address), "n"), map[string]map[string]string{cds: {}}}
			w := &twin{mirror: m, server: s, random: rand.New(rand.NewPCG(seed, 1)), wanted: map[string]bool{"c0": true}}
			w.subscribe(cds, "c0")
			for range 300 {
				w.step()
			}
			w.subscribe(eds, "end") // its answer proves that all requests were handled
			if err := m.follow(func() bool { return m.knows[eds] != nil && w.agree() }); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestConcurrentApply(t *testing.T) {
	s, address := start(t, Options{})
	c := dial(t, address)
	var stopped atomic.Bool
	var appliers, clients sync.WaitGroup
	for i := range 4 {
		appliers.Go(func() {
			for j := range 200 {
				name := fmt.Sprintf("c%d-%d", i, j%17)
				if err := s.Apply([]Change{setCluster(name, time.Duration(j+1)), setEndpoints(name, fmt.Sprintf("127.0.0.1:%d", j+1)), {cds, fmt.Sprintf("c%d-%d", i, (j*7)%17), nil}}); err != nil {
					t.Error(err)
				}
				s.Statuses()
				s.Dump(cds)
			}
		})
	}
	for i := range 6 {
		m := &mirror{connect(t, c, fmt.Sprint("n", i)), map[string]map[string]string{cds: {}, eds: {}}}
		m.subscribe(cds, "*")
		m.subscribe(eds, "c1-1", "c2-2", "c3-3")
		clients.Go(func() {
			if err := m.follow(func() bool {
				return stopped.Load() && maps.Equal(m.knows[cds], versions(s, cds)) && len(m.knows[eds]) == 3
			}); err != nil {
				t.Error(err)
			}
		})
	}
	appliers.Wait()
	stopped.Store(true)
	apply(t, s, setCluster("last", time.Second)) // wakes those who are done
	clients.Wait()
}

// TestConnectStorm: two hundred proxies come at once while the mesh changes.
func TestConnectStorm(t *testing.T) {
	s, address := start(t, Options{})
	all := many(500)
	apply(t, s, all...)
	const streams = 200
	var clients sync.WaitGroup
	last := setCluster("last", time.Second)
	for i := range streams / 20 {
		c := dial(t, address)
		for j := range 20 {
			m := &mirror{connect(t, c, fmt.Sprint("n", i*20+j)), map[string]map[string]string{cds: {}}}
			clients.Go(func() {
				r := &discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: m.node}, TypeUrl: cds, ResourceNamesSubscribe: []string{"last", all[i].Name}}
				if j%2 == 0 {
					r.ResourceNamesSubscribe = []string{"*"}
				}
				err := m.stream.Send(r)
				if err == nil {
					err = m.follow(func() bool { return m.knows[cds]["last"] != "" })
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	apply(t, s, setCluster(all[3].Name, 2*time.Second))
	eventually(t, "all are connected", func() bool { return len(s.Statuses()) == streams })
	apply(t, s, last)
	clients.Wait()
}
