// SPDX-License-Identifier: Apache-2.0

// Package bench measures what speed means here. Every benchmark runs at two sizes and more, for a cost is a slope and not a number, and
// the slopes that matter are tests. Figures are CPU time and allocations; wall time is asserted nowhere.
package bench

import (
	"fmt"
	"math"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/anymesh/anymesh/bench/gen"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/mesh/istio"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

var drivers = []*mesh.Driver{builtin.Driver, istio.Driver}

func filled(d *mesh.Driver, n int, endpoints bool) *engine.Engine {
	e := engine.New(engine.Target{Driver: d})
	for i := range n {
		gen.Root(i, endpoints, func(f model.Fact) { set(e, f) })
	}
	return e
}

func set(e *engine.Engine, f model.Fact) {
	e.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
}

// cpu is the CPU time of the process so far.
func cpu() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkFull is B1: all of a mesh from its facts, on all cores.
func BenchmarkFull(b *testing.B) {
	for _, d := range drivers {
		for _, n := range []int{100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", d.Name, n), func(b *testing.B) {
				b.ReportAllocs()
				objects := 0
				var spent time.Duration
				var before, after runtime.MemStats
				var allocs uint64
				for b.Loop() {
					b.StopTimer()
					e := filled(d, n, false)
					runtime.GC()
					runtime.ReadMemStats(&before)
					from := cpu()
					b.StartTimer()
					objects = len(e.Flush()[0].Changes)
					spent += cpu() - from
					runtime.ReadMemStats(&after)
					allocs += after.Mallocs - before.Mallocs
				}
				total := float64(objects) * float64(b.N)
				b.ReportMetric(float64(spent.Nanoseconds())/total, "cpu-ns/object")
				b.ReportMetric(float64(allocs)/total, "allocs/object")
				b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N)/float64(n), "cpu-ns/service")
			})
		}
	}
}

// TestFull is the gate of B1: an object costs the same work in a small mesh and in a large one.
func TestFull(t *testing.T) {
	most := map[string]float64{"builtin": 30, "istio": 170} // allocations for each object; the race detector adds some
	for _, d := range drivers {
		each := func(n int) float64 {
			e := filled(d, n, false)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			objects := len(e.Flush()[0].Changes)
			runtime.ReadMemStats(&after)
			return float64(after.Mallocs-before.Mallocs) / float64(objects)
		}
		each(10) // what is made once
		a, b := each(100), each(2000)
		t.Logf("%s: %.1f allocations for each object of a mesh of 100, %.1f of one of 2000", d.Name, a, b)
		if b > most[d.Name] || b > 1.1*a+1 {
			t.Errorf("%s: %.1f allocations for each object of a mesh of 100, %.1f of one of 2000, more than %.0f", d.Name, a, b, most[d.Name])
		}
	}
}

// edits are the kinds of one change, each of which alters the output, whatever number it is given: but for the last two on Istio, whose
// objects name neither ports of workloads nor addresses. There nothing comes of the work, and it has to be done to know that.
var edits = []struct {
	name  string
	units int // that the edit touches, and that are translated anew
	edit  func(k int) model.Fact
}{
	{"split", 1, func(k int) model.Fact { return gen.Split(7, int64(1+k)) }},
	{"group", 2, func(k int) model.Fact { return gen.Group(7, fmt.Sprintf("/api/v%d", k)) }},
	{"permission", 1, func(k int) model.Fact { return gen.Permission(7, fmt.Sprintf("other-%d", k)) }},
	{"workload", 2, func(k int) model.Fact { return gen.Workload(7, uint16(1000+k)) }},
	{"endpoints", 1, func(k int) model.Fact { return gen.Slice(7, "-v1", byte(k)) }},
}

// variants of an edit are made before anything is measured, so that what is measured is ours alone: the event is put into the store, its
// units are translated, and what they say is compared with what they said.
func variants(edit func(k int) model.Fact) []store.Event {
	list := make([]store.Event, 64)
	for k := range list {
		f := edit(k)
		list[k] = store.Event{Object: f.Ref(), Facts: []model.Fact{f}}
	}
	return list
}

// BenchmarkOneChange is B2: one edit in a mesh of n roots.
func BenchmarkOneChange(b *testing.B) {
	for _, d := range drivers {
		for _, n := range []int{100, 1000, 10000, 100000} {
			e := filled(d, n, false)
			e.Flush()
			runtime.GC()
			for _, ed := range edits {
				b.Run(fmt.Sprintf("%s/%s/%d", d.Name, ed.name, n), func(b *testing.B) {
					b.ReportAllocs()
					list := variants(ed.edit)
					from, k := cpu(), 0
					for b.Loop() {
						k++
						e.Set(list[k%len(list)])
						e.Flush()
					}
					b.ReportMetric(float64((cpu()-from).Nanoseconds())/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

// TestOneChange is the gate of B2: one edit costs the same in a small mesh and in a large one. Allocations are exact; the CPU bound is wide
// enough for cache misses and a busy machine.
func TestOneChange(t *testing.T) {
	const small, large = 100, 10000
	most := map[string]float64{"builtin": 95, "istio": 155} // allocations for each unit
	for _, d := range drivers {
		a, b := filled(d, small, false), filled(d, large, false)
		a.Flush()
		b.Flush()
		runtime.GC()
		for _, ed := range edits {
			list := variants(ed.edit)
			x, xc := measure(a, list)
			y, yc := measure(b, list)
			t.Logf("%s %s: %.0f allocations and %v at %d, %.0f and %v at %d", d.Name, ed.name, x, xc, small, y, yc, large)
			if math.Abs(x-y) > 1 {
				t.Errorf("%s %s: %.0f allocations in a mesh of %d, %.0f in one of %d", d.Name, ed.name, x, small, y, large)
			}
			if y > most[d.Name]*float64(ed.units) {
				t.Errorf("%s %s: %.0f allocations for %d units, more than %.0f for each", d.Name, ed.name, y, ed.units, most[d.Name])
			}
			if yc > 4*xc+20*time.Microsecond {
				t.Errorf("%s %s: %v of CPU in a mesh of %d, %v in one of %d", d.Name, ed.name, xc, small, yc, large)
			}
		}
	}
}

// measure is the cost of one edit: allocations, and the least CPU time of several rounds.
func measure(e *engine.Engine, list []store.Event) (allocs float64, least time.Duration) {
	const rounds, edits = 3, 300
	k := 0
	one := func() {
		k++
		e.Set(list[k%len(list)])
		e.Flush()
	}
	allocs = testing.AllocsPerRun(200, one)
	least = math.MaxInt64
	for range rounds {
		from := cpu()
		for range edits {
			one()
		}
		least = min(least, (cpu()-from)/edits)
	}
	return allocs, least
}

// fans is a mesh with a route group that k splits use.
func fans(d *mesh.Driver, n, k int) *engine.Engine {
	e := filled(d, n, false)
	for i := range k {
		// Roots of one namespace share its first root's group.
		s := gen.Split(i%50, 90)
		s.Name.Name = fmt.Sprintf("fan-%d", i)
		s.Groups = []string{gen.Name(0).Name}
		set(e, s)
	}
	e.Flush()
	return e
}

// BenchmarkFanOut is B3: one edit of a route group that k splits use.
func BenchmarkFanOut(b *testing.B) {
	for _, k := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(k), func(b *testing.B) {
			e := fans(istio.Driver, 1000, k)
			b.ReportAllocs()
			from, i := cpu(), 0
			for b.Loop() {
				i++
				set(e, gen.Group(0, fmt.Sprintf("/fan/%d", i%1000)))
				e.Flush()
			}
			b.ReportMetric(float64((cpu()-from).Nanoseconds())/float64(b.N)/float64(k), "cpu-ns/split")
		})
	}
}

func TestFanOut(t *testing.T) {
	e := fans(istio.Driver, 100, 10)
	set(e, gen.Group(0, "/fan"))
	if n := len(e.Flush()[0].Changes); n != 11 { // ten roots (one of them its own) and one permission
		t.Errorf("a group of ten roots and one permission changed %d objects", n)
	}
}

// heap is what lives after a collection, in bytes.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// perRoot is the heap of a mesh of n roots, divided by n.
func perRoot(d *mesh.Driver, n int, endpoints bool) float64 {
	before := heap()
	e := filled(d, n, endpoints)
	e.Flush()
	after := heap()
	runtime.KeepAlive(e)
	return (after - before) / float64(n)
}

// BenchmarkHeap is B5.
func BenchmarkHeap(b *testing.B) {
	for _, n := range []int{1000, 10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				root := perRoot(istio.Driver, n, false)
				b.ReportMetric(root, "B/root")
				b.ReportMetric((perRoot(istio.Driver, n, true)-root)/9, "B/endpoint")
			}
		})
	}
}

// TestHeap is the gate of B5. The bound counts all facts, indexes, findings and remembered outputs of a root; strings that the generator
// makes anew for each fact are in it.
func TestHeap(t *testing.T) {
	const bound = 6144
	got := perRoot(istio.Driver, 5000, false)
	t.Logf("%.0f bytes for a root", got)
	if got > bound {
		t.Errorf("%.0f bytes for a root, more than %d", got, bound)
	}
}
