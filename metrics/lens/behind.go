// SPDX-License-Identifier: Apache-2.0

package lens

import (
	"sync"
	"time"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
)

// Memory keeps for a while what stands behind Services, for all answers. It is safe for concurrent use.
type Memory struct {
	mu     sync.Mutex
	until  time.Time
	owners map[behindKey]sole
}

// Begin forgets what is older than is good.
func (m *Memory) Begin(now time.Time, good time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owners == nil || !now.Before(m.until) {
		m.owners, m.until = map[behindKey]sole{}, now.Add(good)
	}
}

func (m *Memory) recall(k behindKey) (sole, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.owners[k]
	return s, ok
}

func (m *Memory) keep(k behindKey, s sole) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owners[k] = s
}

// Finder makes lenses for one answer. It is for one goroutine.
type Finder struct {
	world    metrics.World
	memory   *Memory
	services map[string][]mesh.Named
}

// New makes a Finder in a world, with what others remember of it.
func New(world metrics.World, m *Memory) *Finder {
	return &Finder{world: world, memory: m}
}

// Named is a lens for a name that is known already.
func (f *Finder) Named(n mesh.Name, kind metrics.Kind) *Lens {
	return &Lens{Name: n, Kind: kind, finder: f}
}

// sole is the one resource of a kind that stands behind a Service, if it is one.
type sole struct {
	of    metrics.Ref
	state Sight
}

// behind is the workload behind a Service, where all of its pods are of one.
func (f *Finder) behind(service metrics.Ref, kind metrics.Kind) sole {
	key := behindKey{service, kind.Name}
	if s, ok := f.memory.recall(key); ok {
		return s
	}
	s := sole{state: Elsewhere}
	for i, pod := range f.world.Pods(service) {
		of, ok := f.world.Owner(pod, kind)
		switch {
		case i == 0 && ok:
			s = sole{of, Seen}
		case i > 0 && (ok != (s.state == Seen) || ok && of != s.of):
			s = sole{state: Unclear}
		}
		if s.state == Unclear {
			break
		}
	}
	f.memory.keep(key, s)
	return s
}

type behindKey struct {
	service metrics.Ref
	kind    string
}

// there says whether a resource is there.
func (f *Finder) there(r metrics.Ref) bool {
	_, ok := f.world.Find(r)
	return ok
}

// isKind says whether a workload is of the kind that its reference says, where a label may tell it. What is there no more is taken to be, unless
// a workload of another kind has its name.
func (f *Finder) isKind(r metrics.Ref, told string) bool {
	if told != "" {
		return told == r.Kind
	}
	if f.there(r) {
		return true
	}
	for _, k := range metrics.Kinds() {
		if k.Workload() && k.Name != r.Kind && f.there(metrics.Ref{Kind: k.Name, Namespace: r.Namespace, Name: r.Name}) {
			return false
		}
	}
	return true
}

// called are the Services of a name, where a label does not tell the namespace.
func (f *Finder) called(name string) (out []mesh.Named) {
	if f.services == nil {
		service, _ := metrics.KindOf("Service")
		f.services = map[string][]mesh.Named{}
		for _, s := range f.world.List(service, "") {
			f.services[s.Name] = append(f.services[s.Name], mesh.Named{Namespace: s.Namespace, Name: s.Name})
		}
	}
	return f.services[name]
}
