// SPDX-License-Identifier: Apache-2.0

package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func shop(ns string) []store.Event {
	return facts(
		&model.Service{Name: model.Name{Namespace: ns, Name: "web"}, Ports: []model.ServicePort{{Number: 80, Target: 80, Protocol: model.HTTP}}},
		&model.Service{Name: model.Name{Namespace: ns, Name: "web-2"}, Ports: []model.ServicePort{{Number: 80, Target: 80, Protocol: model.HTTP}}},
		&model.Split{Name: model.Name{Namespace: ns, Name: "web"}, Root: "web", Backends: []model.Backend{{Service: "web-2", Weight: 1}}},
	)
}

func keysOf(p engine.Plan) (set, gone []mesh.Key) {
	for _, c := range p.Changes {
		if c.Object == nil {
			gone = append(gone, c.Key)
		} else {
			set = append(set, c.Key)
		}
	}
	return set, gone
}

// TestRetarget adds, changes and removes targets: each change says only what differs, and what nobody wants any more is removed.
func TestRetarget(t *testing.T) {
	only := func(ns string) func(string) bool { return func(s string) bool { return s == ns } }
	e := engine.New(engine.Target{Driver: plain(), Where: only("a")})
	e.Set(append(shop("a"), shop("b")...)...)
	before, _ := keysOf(e.Flush()[0])

	e.Retarget(engine.Target{Driver: plain(), Where: only("a")}, engine.Target{Name: "second", Driver: plain(), Where: only("b")})
	plans := e.Flush()
	if len(plans) != 2 || len(plans[0].Changes) != 0 || plans[1].Target != "second" {
		t.Fatalf("a target that stays says again what it said: %+v", plans)
	}
	if set, gone := keysOf(plans[1]); len(set) != len(before) || len(gone) > 0 {
		t.Errorf("the new target says %v and removes %v, the first had said %v", set, gone, before)
	}

	e.Retarget(engine.Target{Name: "second", Driver: plain(), Where: only("b"), Settings: &model.Settings{TrustDomain: "other", ClusterDomain: "cluster.local"}})
	plans = e.Flush()
	if set, _ := keysOf(plans[0]); !slices.Equal(set, []mesh.Key{{APIVersion: "plain/v1", Kind: "Settings"}}) {
		t.Errorf("settings of its own change %v", set)
	}
	if _, gone := keysOf(plans[1]); plans[1].Target != "plain" || len(gone) != len(before) {
		t.Errorf("the target that is gone removes %v of %v", gone, before)
	}
	if plans = e.Flush(); len(plans) != 1 || len(plans[0].Changes) != 0 {
		t.Errorf("nothing happened, and yet %+v", plans)
	}
}

// TestLost says again what was lost, and nothing else.
func TestLost(t *testing.T) {
	e := engine.New(engine.Target{Driver: plain()})
	e.Set(shop("a")...)
	e.Flush()
	key := mesh.Key{APIVersion: "plain/v1", Kind: "Route", Name: model.Name{Namespace: "a", Name: "web"}}
	e.Lost("plain", key, mesh.Key{Kind: "never said"})
	e.Lost("nobody", key)
	if set, gone := keysOf(e.Flush()[0]); !slices.Equal(set, []mesh.Key{key}) || len(gone) > 0 {
		t.Errorf("said again: %v, removed: %v", set, gone)
	}
}

// picky refuses some changes, as long as it is told to.
type picky struct {
	mu      sync.Mutex
	refuse  map[string]bool // by name
	batches [][]mesh.Change
}

func (p *picky) Apply(_ context.Context, changes []mesh.Change) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches = append(p.batches, changes)
	var f engine.Failed
	for _, c := range changes {
		if p.refuse[c.Key.Kind] {
			f.Failures = append(f.Failures, engine.Failure{Change: c, Code: "AM9999", Message: "not today", Err: errors.New("refused")})
		}
	}
	if len(f.Failures) > 0 {
		return &f
	}
	return nil
}

// source sends what it is given.
type source chan []store.Event

func (s source) Run(ctx context.Context, out chan<- []store.Event) error {
	for {
		select {
		case b := <-s:
			out <- b
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestFailures runs a sink that refuses one change of several: that one alone is tried again, and until it is made the split says so.
func TestFailures(t *testing.T) {
	sink := &picky{refuse: map[string]bool{"Route": true}}
	e := engine.New(engine.Target{Driver: plain(), Sink: sink})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	src, news, done := make(source), make(chan []model.Ref, 100), make(chan error)
	go func() { done <- e.Run(ctx, engine.Options{News: func(r []model.Ref) { news <- r }}, src) }()
	src <- shop("a")
	split := model.Ref{Kind: model.KindSplit, Name: model.Name{Namespace: "a", Name: "web"}}
	about := func() (a engine.About) {
		if err := e.Ask(ctx, func(e *engine.Engine) { a = e.About(split) }); err != nil {
			t.Fatal(err)
		}
		return a
	}
	refused := func() bool {
		m := about().Meshes
		return len(m) == 1 && slices.ContainsFunc(m[0].Findings, func(f model.Finding) bool { return f.Code == "AM9999" && f.Object == split })
	}
	until(t, "the failure is a finding", refused)
	attempts := func() int { sink.mu.Lock(); defer sink.mu.Unlock(); return len(sink.batches) }
	until(t, "it is tried again and again", func() bool { return attempts() >= 5 }) // by now the pause is long
	before := attempts()
	src <- facts(&model.Workload{Kind: model.KindDeployment, Name: model.Name{Namespace: "a", Name: "w"}, Account: "w"})
	until(t, "what comes meanwhile waits for nothing", func() bool {
		sink.mu.Lock()
		defer sink.mu.Unlock()
		return slices.ContainsFunc(sink.batches[before:], func(b []mesh.Change) bool {
			has := func(kind string) bool {
				return slices.ContainsFunc(b, func(c mesh.Change) bool { return c.Key.Kind == kind })
			}
			return has("Access") && !has("Route")
		})
	})
	sink.mu.Lock()
	sink.refuse = nil
	sink.mu.Unlock()
	until(t, "the finding is gone", func() bool { return !refused() })
	sink.mu.Lock()
	for _, b := range sink.batches[1:] {
		for _, c := range b {
			if c.Key.Kind != "Route" && c.Key.Kind != "Access" {
				t.Errorf("%s was given again, and had not failed", c.Key)
			}
			if !slices.Contains(c.For, split) && c.Key.Name.Name == "web" {
				t.Errorf("%s does not say that it is for %s: %v", c.Key, split, c.For)
			}
		}
	}
	sink.mu.Unlock()
	seen := 0
	for len(news) > 0 {
		if slices.Contains(<-news, split) {
			seen++
		}
	}
	if seen < 3 {
		t.Errorf("there was news of the split %d times: it came, failed, and was made", seen)
	}
	cancel()
	<-done
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never: " + what)
		}
	}
}

// TestTry asks what a split would be, and leaves everything as it was.
func TestTry(t *testing.T) {
	e := engine.New(engine.Target{Driver: plain()})
	e.Set(shop("a")...)
	e.Flush()
	name := model.Name{Namespace: "a", Name: "web"}
	ref := model.Ref{Kind: model.KindSplit, Name: name}
	other := model.Ref{Kind: model.KindSplit, Name: model.Name{Namespace: "a", Name: "younger"}}
	try := func(r model.Ref, backend string) []model.Finding {
		return e.Try(store.Event{Object: r, Facts: []model.Fact{&model.Split{Name: r.Name, Root: "web", Backends: []model.Backend{{Service: backend, Weight: 1}}}}}).Findings
	}
	if got := try(ref, "nobody"); len(got) == 0 || got[0].Object != ref {
		t.Errorf("a backend that is not there is no fault: %v", got)
	}
	if got := try(other, "web-2"); len(got) != 1 || got[0].Code != model.CodeConflict {
		t.Errorf("a second split of one root conflicts with nothing: %v", got)
	}
	if plans := e.Flush(); len(plans[0].Changes) > 0 {
		t.Errorf("trying left something behind: %v", plans[0].Changes)
	}
	if got := e.About(ref).Findings; len(got) > 0 {
		t.Errorf("trying left findings behind: %v", got)
	}
	if n := e.Said("plain")["Route"]; n != 2 {
		t.Errorf("%d routes are said", n)
	}
}
