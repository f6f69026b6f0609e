// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/apply"
	"github.com/anymesh/anymesh/mesh"
)

// resource is where the kind Mesh is served.
var resource = schema.GroupVersionResource{Group: api.Group, Version: api.Version, Resource: "meshes"}

// meshes knows which meshes there are, and makes targets of them.
type meshes struct {
	c *Controller

	mu         sync.Mutex
	served     kube.Served
	said       map[string]*api.Mesh // by the cluster
	synced     bool                 // the cluster's are known, or the kind is not served
	sinks      map[string]*sink     // by name of the mesh
	views      map[string]*view     // what was made of each mesh
	moved      map[string]bool      // namespaces whose labels have changed
	changed    chan struct{}
	namespaces namespaces
}

// sink is where the changes of a mesh go, for as long as there is a mesh of that name and kind.
type sink struct {
	engine.Sink
	kind  string
	apply *apply.Sink // nil for a mesh that is not programmed through the cluster
}

// view is what was made of a mesh.
type view struct {
	mesh     *api.Mesh
	driver   *mesh.Driver // nil: it is not served
	selector labels.Selector
	reason   string // why it is not served
	message  string
}

func newMeshes(c *Controller) *meshes {
	return &meshes{c: c, said: map[string]*api.Mesh{}, sinks: map[string]*sink{}, views: map[string]*view{}, moved: map[string]bool{},
		changed: make(chan struct{}, 1), namespaces: namespaces{labels: map[string]map[string]string{}}}
}

// serve takes which kinds the API serves.
func (m *meshes) serve(v kube.Served) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served = v
	m.stir()
}

// known says whether it is known which meshes there are.
func (m *meshes) known() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.synced
}

func (m *meshes) stir() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// run makes targets of meshes, whenever anything about them changes, until the context ends.
func (m *meshes) run(ctx context.Context) error {
	r := kube.NewReaders(ctx, m.c.log)
	defer r.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { m.report(ctx) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.changed:
		}
		m.mu.Lock()
		served := m.served
		m.mu.Unlock()
		if served == nil {
			continue
		}
		m.read(r, served)
		if !m.known() {
			continue
		}
		targets := m.targets(ctx, served, &wg)
		if err := m.c.engine.Ask(ctx, func(e *engine.Engine) { m.retarget(e, targets) }); err != nil {
			return err
		}
		m.c.source.Serve(served) // not before it is known whom to tell
	}
}

// read has the kind Mesh read where it is served.
func (m *meshes) read(r *kube.Readers, v kube.Served) {
	where, ok := v.Find(api.Group+"/"+api.Version, "Mesh")
	if !ok {
		r.Stop("Mesh")
		m.mu.Lock()
		m.said, m.synced = map[string]*api.Mesh{}, true
		m.mu.Unlock()
		return
	}
	client := m.c.c.Dynamic.Resource(resource)
	r.Read("Mesh", where, func() (cache.ListerWatcher, cache.ReflectorStore) {
		return kube.ListWatch(client), list{m}
	})
}

// all lists the meshes that there are: said by the cluster, by the file, or, where nobody says one, those that the cluster shows.
func (m *meshes) all(v kube.Served) []*api.Mesh {
	by := map[string]*api.Mesh{}
	for _, x := range m.c.o.Meshes {
		by[x.Name] = x
	}
	maps.Copy(by, m.said)
	if len(by) == 0 {
		for _, d := range m.c.o.Drivers {
			if d.Writes() && !native(d) && v.Any(d.Marks) {
				by[d.Name] = &api.Mesh{ObjectMeta: metav1.ObjectMeta{Name: d.Name}, Spec: api.MeshSpec{Kind: d.Name}}
			}
		}
	}
	return slices.SortedFunc(maps.Values(by), func(a, b *api.Mesh) int { return cmp.Compare(a.Name, b.Name) })
}

// targets makes a target of each mesh that can be served, and takes away the sinks of those that are gone.
func (m *meshes) targets(ctx context.Context, v kube.Served, wg *sync.WaitGroup) (out []engine.Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.views = map[string]*view{}
	for _, x := range m.all(v) {
		w := m.view(x, v)
		m.views[x.Name] = w
		if w.driver == nil {
			m.c.log.Warn("a mesh is not served", "mesh", x.Name, "reason", w.message)
			continue
		}
		s := m.sink(ctx, w, wg)
		if s.Sink == nil {
			w.driver, w.reason, w.message = nil, "NotHere", fmt.Sprintf("the %s mesh is not run by this controller", w.mesh.Spec.Kind)
			continue
		}
		if s.apply != nil {
			s.apply.Serve(v)
		}
		t := engine.Target{Name: x.Name, Driver: w.driver, Sink: s.Sink, Settings: Settings(&x.Spec)}
		if w.selector != nil {
			t.Where, t.Scope = func(ns string) bool { return m.namespaces.match(ns, w.selector) }, w.selector.String()
		}
		out = append(out, t)
	}
	if m.c.o.Told != nil {
		m.c.o.Told(m.there())
	}
	return out
}

// retarget tells the engine of the meshes that there are, or of namespaces that have moved from one to another.
func (m *meshes) retarget(e *engine.Engine, targets []engine.Target) {
	m.mu.Lock()
	moved := m.moved
	m.moved = map[string]bool{}
	m.mu.Unlock()
	if e.Retarget(targets...) {
		return
	}
	if len(moved) > 0 {
		e.Again(func(ns string) bool { return moved[ns] })
	}
}

// sink is where the changes of a mesh go. Sinks of meshes that are gone go on until they have removed what they wrote.
func (m *meshes) sink(ctx context.Context, w *view, wg *sync.WaitGroup) *sink {
	if s := m.sinks[w.mesh.Name]; s != nil && s.kind == w.mesh.Spec.Kind {
		return s
	}
	s := &sink{kind: w.mesh.Spec.Kind}
	m.sinks[w.mesh.Name] = s
	if w.driver.Direct() {
		if m.c.o.Direct != nil {
			s.Sink = m.c.o.Direct(w.mesh, w.driver)
		}
		return s
	}
	name := w.mesh.Name
	s.apply = apply.New(m.c.c, apply.Options{
		Target: name, Kinds: kinds(m.driver(w.mesh.Spec.Kind)), Adopt: m.c.o.Adopt || w.mesh.Spec.Options["adopt"] == "true", Rate: m.c.o.Rate, Leading: m.c.leading,
		Logger: m.c.log.With("mesh", name),
		Lost:   func(keys []mesh.Key) { _ = m.c.engine.Ask(ctx, func(e *engine.Engine) { e.Lost(name, keys...) }) },
		Made:   func(c mesh.Change, wrote bool) { m.c.metrics.made(name, c, wrote) },
	})
	s.Sink = s.apply
	wg.Go(func() { _ = s.apply.Run(ctx) })
	return s
}

// kinds lists all that a driver or its earlier ones write, the newest first.
func kinds(d *mesh.Driver) []mesh.Kind {
	out := slices.Clone(d.Kinds)
	for _, o := range d.Older {
		for _, k := range o.Kinds {
			if !slices.Contains(out, k) {
				out = append(out, k)
			}
		}
	}
	return out
}

// driver is the newest driver of a mesh; nil where there is none of that name.
func (m *meshes) driver(kind string) *mesh.Driver {
	i := slices.IndexFunc(m.c.o.Drivers, func(d *mesh.Driver) bool { return d.Name == kind })
	if i < 0 {
		return nil
	}
	return m.c.o.Drivers[i]
}
