// SPDX-License-Identifier: Apache-2.0

// Package bench measures what speed means here. Every benchmark runs at two sizes and more, for a cost is a slope and not a number, and
// the slopes that matter are tests. Figures are CPU time and allocations; wall time is asserted nowhere.
package bench

import (
	"fmt"
	"math"
	"runtime"
	"slices"
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

// edits are the kinds of one change, each of which alters the output, whatever number it is given.
var edits = []struct {
	name string
	edit func(k int) model.Fact
}{
	{"split", func(k int) model.Fact { return gen.Split(7, int64(1+k%98)) }},
	{"group", func(k int) model.Fact { return gen.Group(7, fmt.Sprintf("/api/v%d", k%1000)) }},
	{"permission", func(k int) model.Fact { return gen.Permission(7, fmt.Sprintf("other-%d", k%1000)) }},
	{"workload", func(k int) model.Fact { return gen.Workload(7, uint16(1000+k%1000)) }},
	{"endpoints", func(k int) model.Fact { return gen.Slice(7, "-v1", byte(k%200)) }},
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
					from, k := cpu(), 0
					for b.Loop() {
						k++
						set(e, ed.edit(k))
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
	const small, large, most = 100, 20000, 120
	for _, d := range drivers {
		a, b := filled(d, small, false), filled(d, large, false)
		a.Flush()
		b.Flush()
		runtime.GC()
		for _, ed := range edits {
			x, xc := measure(a, ed.edit)
			y, yc := measure(b, ed.edit)
			t.Logf("%s %s: %.0f allocations and %v at %d, %.0f and %v at %d", d.Name, ed.name, x, xc, small, y, yc, large)
			if math.Abs(x-y) > 1 {
				t.Errorf("%s %s: %.0f allocations in a mesh of %d, %.0f in one of %d", d.Name, ed.name, x, small, y, large)
			}
			if y > most {
				t.Errorf("%s %s: %.0f allocations, more than %d", d.Name, ed.name, y, most)
			}
			if yc > 4*xc+20*time.Microsecond {
				t.Errorf("%s %s: %v of CPU in a mesh of %d, %v in one of %d", d.Name, ed.name, xc, small, yc, large)
			}
		}
	}
}

// measure is the cost of one edit: allocations, and the least CPU time of several rounds.
func measure(e *engine.Engine, edit func(int) model.Fact) (allocs float64, least time.Duration) {
	k := 0
	one := func() {
		k++
		set(e, edit(k))
		e.Flush()
	}
	allocs = testing.AllocsPerRun(200, one)
	var rounds []time.Duration
	for range 5 {
		from := cpu()
		for range 2000 {
			one()
		}
		rounds = append(rounds, (cpu()-from)/2000)
	}
	return allocs, slices.Min(rounds)
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
				b.ReportMetric(perRoot(istio.Driver, n, false), "B/root")
				b.ReportMetric((perRoot(istio.Driver, n, true)-perRoot(istio.Driver, n, false))/9, "B/endpoint")
			}
		})
	}
}

// TestHeap is the gate of B5. The bound counts all facts, indexes, findings and remembered outputs of a root; strings that the generator
// makes anew for each fact are in it.
func TestHeap(t *testing.T) {
	const bound = 8192
	got := perRoot(istio.Driver, 5000, false)
	t.Logf("%.0f bytes for a root", got)
	if got > bound {
		t.Errorf("%.0f bytes for a root, more than %d", got, bound)
	}
}
