// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

var (
	_ engine.Source = (*Source)(nil)
	_ engine.Sink   = (*Sink)(nil)
)

// live is a running source, and what it has said.
type live struct {
	*Source
	t       testing.TB
	out     chan []store.Event
	now     map[model.Ref]store.Event
	batches [][]store.Event
	mu      sync.Mutex
	broken  map[string][]Located
}

func run(t testing.TB, paths ...string) *live {
	t.Helper()
	return start(t, NewSource(paths, Options{}))
}

func start(t testing.TB, s *Source) *live {
	t.Helper()
	l := &live{Source: s, t: t, out: make(chan []store.Event), now: map[model.Ref]store.Event{}, broken: map[string][]Located{}}
	l.OnBroken = func(file string, f []Located) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.broken[file] = f; len(f) == 0 {
			delete(l.broken, file)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, l.out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the source ended: %v", err)
		}
	})
	l.until("the first batch", func() bool { return len(l.batches) == 1 })
	return l
}

// until takes batches until something holds.
func (l *live) until(what string, holds func() bool) {
	l.t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case b := <-l.out:
			l.batches = append(l.batches, b)
			for _, e := range b {
				if l.now[e.Object] = e; len(e.Facts) == 0 && len(e.Findings) == 0 {
					delete(l.now, e.Object)
				}
			}
		case <-tick.C:
		case <-deadline:
			l.t.Fatalf("in vain waited for %s; known is %v, broken is %v", what, l.now, l.faults())
		}
	}
}

func (l *live) faults() map[string][]Located {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.broken)
}

// weight is that of the only backend of a split; -1 where there is no such split.
func (l *live) weight(name string) int64 {
	e, ok := l.now[model.Ref{Kind: model.KindSplit, Name: model.Name{Namespace: "default", Name: name}}]
	if !ok {
		return -1
	}
	return e.Facts[0].(*model.Split).Backends[0].Weight
}

func (l *live) weighs(name string, w int64) {
	l.t.Helper()
	l.until(fmt.Sprintf("%s to weigh %d", name, w), func() bool { return l.weight(name) == w })
}

func split(name string, weight int) string {
	return fmt.Sprintf("apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata:\n  name: %s\nspec:\n  service: root\n  backends:\n  - service: a\n    weight: %d\n", name, weight)
}

func check(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// saves are the ways in which editors write a file. The gaps between their steps are what is tested.
var saves = map[string]func(t *testing.T, path, text string){
	"in place": func(t *testing.T, path, text string) { write(t, path, text) },
	"truncate, then write": func(t *testing.T, path, text string) {
		f, err := os.Create(path)
		check(t, err)
		<-time.After(3 * quiet)
		for chunk := range strings.SplitAfterSeq(text, "---\n") {
			_, err = f.WriteString(chunk)
			check(t, err)
			<-time.After(2 * quiet)
		}
		check(t, f.Close())
	},
	"rename over": func(t *testing.T, path, text string) {
		write(t, path+".new", text)
		check(t, os.Rename(path+".new", path))
	},
	"rename over from elsewhere": func(t *testing.T, path, text string) {
		other := filepath.Join(filepath.Dir(filepath.Dir(path)), "draft")
		write(t, other, text)
		check(t, os.Rename(other, path))
	},
	"backup, then write anew": func(t *testing.T, path, text string) {
		check(t, os.Rename(path, path+"~"))
		<-time.After(3 * quiet)
		write(t, path, text)
		check(t, os.Remove(path+"~"))
	},
	"remove, then write anew": func(t *testing.T, path, text string) {
		check(t, os.Remove(path))
		<-time.After(3 * quiet)
		write(t, path, text)
	},
	"hidden draft": func(t *testing.T, path, text string) {
		draft := filepath.Join(filepath.Dir(path), ".#"+filepath.Base(path))
		write(t, draft, text)
		check(t, os.Rename(draft, path))
	},
}

// TestSaves holds that each save is one step that changes one object, and that nothing is ever gone.
func TestSaves(t *testing.T) {
	for name, save := range saves {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "in", "x.yaml")
			write(t, path, split("one", 1)+"---\n"+split("two", 1))
			s := NewSource([]string{filepath.Dir(path)}, Options{})
			s.grace = time.Minute // whatever the machine is doing beside
			l := start(t, s)
			for w := 2; w < 6; w++ {
				save(t, path, split("one", 1)+"---\n"+split("two", w))
				l.weighs("two", int64(w))
			}
			for _, b := range l.batches[1:] {
				if len(b) != 1 || b[0].Object.Name.Name != "two" || len(b[0].Facts) != 1 {
					t.Errorf("a batch is %v", b)
				}
			}
			if len(l.batches) != 5 || len(l.faults()) > 0 {
				t.Errorf("%d batches for 4 saves, broken %v", len(l.batches)-1, l.faults())
			}
		})
	}
}

func TestBrokenEdit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	write(t, path, split("one", 1))
	l := run(t, path)
	for _, c := range []struct {
		text string
		line int
		path string
	}{
		{strings.Replace(split("one", 2), "weight", "wight", 1), 9, "spec.backends[0].wight"},
		{split("one", 2) + "foo: [\n", 11, ""},
	} {
		write(t, path, c.text)
		l.until("a broken file", func() bool { f := l.faults()[path]; return len(f) > 0 && f[0].Line == c.line })
		if f := l.faults()[path][0]; f.Path != c.path || f.File != path || f.Level != model.Invalid {
			t.Errorf("the finding is %+v", f)
		}
	}
	if l.weight("one") != 1 || len(l.batches) != 1 {
		t.Errorf("the broken text was taken: %v", l.batches)
	}
	write(t, path, split("one", 1)) // back to what it was: nothing changed, and yet it is good again
	l.until("a good file", func() bool { return len(l.faults()) == 0 })
	write(t, path, split("one", 3))
	l.weighs("one", 3)
	if len(l.batches) != 2 {
		t.Errorf("batches are %v", l.batches)
	}
}

// TestBrokenStart holds that what is broken from the start admits nobody.
func TestBrokenStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.yaml")
	const good = "apiVersion: access.smi-spec.io/v1alpha4\nkind: TrafficTarget\nmetadata: {name: t}\nspec:\n  destination: {kind: ServiceAccount, name: s}\n" +
		"  rules: [{kind: TCPRoute, name: r}]\n  sources: [{kind: ServiceAccount, name: c}]\n"
	write(t, path, good+"  surces: []\n")
	l := run(t, path)
	ref := model.Ref{Kind: model.KindPermission, Name: model.Name{Namespace: "default", Name: "t"}}
	broken := func() bool { return l.now[ref].Facts[0].(*model.Permission).Broken }
	if f := l.faults()[path]; !broken() || len(f) != 1 || f[0].Line != 8 {
		t.Fatalf("%+v, faults %v", l.now[ref].Facts[0], f)
	}
	write(t, path, good)
	l.until("the permission to be sound", func() bool { return !broken() })
	if len(l.faults()) > 0 {
		t.Errorf("faults %v", l.faults())
	}
}

func TestGone(t *testing.T) {
	dir := t.TempDir()
	x, y := filepath.Join(dir, "x.yaml"), filepath.Join(dir, "y.yaml")
	write(t, x, split("one", 1)+"---\n"+split("two", 2))
	write(t, y, split("three", 3))
	l := run(t, dir)
	write(t, x, split("one", 1)) // a document goes
	l.weighs("two", -1)
	if l.weight("one") != 1 || l.weight("three") != 3 {
		t.Errorf("known is %v", l.now)
	}
	check(t, os.Remove(y))
	l.weighs("three", -1)
	if file, _, _ := l.Positions().Find(model.Ref{Kind: model.KindSplit, Name: model.Name{Namespace: "default", Name: "three"}}, ""); file != "" {
		t.Errorf("what is gone stands in %s", file)
	}
	// A file that gets another name says nothing new.
	before := len(l.batches)
	for w, move := range [][2]string{{x, y}, {y, x}} {
		check(t, os.Rename(move[0], move[1]))
		write(t, filepath.Join(dir, "z.yaml"), split("end", w))
		l.weighs("end", int64(w))
	}
	for _, b := range l.batches[before:] {
		for _, e := range b {
			if e.Object.Name.Name != "end" {
				t.Errorf("a move says %v", b)
			}
		}
	}
}

func TestFolders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "in")
	check(t, os.Mkdir(dir, 0o755))
	l := run(t, dir)
	deep := filepath.Join(dir, "a", "b", "c")
	write(t, filepath.Join(deep, "x.yaml"), split("one", 1)) // with all of its folders at once
	l.weighs("one", 1)
	write(t, filepath.Join(deep, "x.yaml"), split("one", 2))
	l.weighs("one", 2)
	check(t, os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "z")))
	write(t, filepath.Join(dir, "y.yaml"), split("two", 1))
	l.weighs("two", 1)
	write(t, filepath.Join(dir, "z", "b", "c", "x.yaml"), split("one", 3))
	l.weighs("one", 3)
	check(t, os.RemoveAll(filepath.Join(dir, "z")))
	l.weighs("one", -1)
	write(t, filepath.Join(deep, "x.yaml"), split("one", 4)) // a folder of a name that was
	l.weighs("one", 4)
	check(t, os.RemoveAll(dir)) // the argument itself
	l.weighs("one", -1)
	l.weighs("two", -1)
	write(t, filepath.Join(dir, "x.yaml"), split("one", 5))
	l.weighs("one", 5)
	write(t, filepath.Join(dir, "x.yaml"), split("one", 6))
	l.weighs("one", 6)
}

// TestLinks turns links as a kubelet does for a mounted ConfigMap, and as people do who deploy by link.
func TestLinks(t *testing.T) {
	root := t.TempDir()
	dir, releases := filepath.Join(root, "mount"), filepath.Join(root, "releases")
	turn := func(link, to string) {
		t.Helper()
		check(t, os.Symlink(to, link+"_tmp"), os.Rename(link+"_tmp", link))
	}
	write(t, filepath.Join(dir, "..1", "x.yaml"), split("one", 1))
	turn(filepath.Join(dir, "..data"), "..1")
	check(t, os.Symlink(filepath.Join("..data", "x.yaml"), filepath.Join(dir, "x.yaml")))
	write(t, filepath.Join(releases, "1", "y.yaml"), split("two", 1))
	write(t, filepath.Join(releases, "2", "y.yaml"), split("two", 2))
	current := filepath.Join(root, "current")
	turn(current, filepath.Join("releases", "1"))
	l := run(t, dir, current)
	if l.weight("one") != 1 || l.weight("two") != 1 {
		t.Fatalf("known is %v", l.now)
	}
	for w := 2; w < 4; w++ {
		write(t, filepath.Join(dir, fmt.Sprintf("..%d", w), "x.yaml"), split("one", w))
		turn(filepath.Join(dir, "..data"), fmt.Sprintf("..%d", w))
		check(t, os.RemoveAll(filepath.Join(dir, fmt.Sprintf("..%d", w-1))))
		l.weighs("one", int64(w))
	}
	turn(current, filepath.Join("releases", "2"))
	l.weighs("two", 2)
	write(t, filepath.Join(releases, "2", "y.yaml"), split("two", 3))
	l.weighs("two", 3)
	for _, b := range l.batches[1:] {
		for _, e := range b {
			if len(e.Facts) == 0 {
				t.Errorf("a turned link says %v", b)
			}
		}
	}
}

// TestOneRead holds that work is of the size of the change.
func TestOneRead(t *testing.T) {
	dir := t.TempDir()
	for i := range 1000 {
		write(t, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), split(fmt.Sprintf("s%d", i), 1))
	}
	l := run(t, dir)
	if n := l.reads.Load(); n != 1000 || len(l.now) != 1000 {
		t.Fatalf("%d reads, %d objects", n, len(l.now))
	}
	write(t, filepath.Join(dir, "new"), split("s500", 2))
	check(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "500.yaml")))
	l.weighs("s500", 2)
	if n := l.reads.Load(); n != 1001 {
		t.Errorf("%d reads for one change", n-1000)
	}
}

func TestOverflow(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x.yaml"), split("one", 1))
	l := run(t, dir)
	l.watch.fs.Errors <- fsnotify.ErrEventOverflow
	l.until("everything to be read again", func() bool { return l.reads.Load() == 2 })
	write(t, filepath.Join(dir, "x.yaml"), split("one", 2))
	l.weighs("one", 2)
}

func TestMissing(t *testing.T) {
	err := NewSource([]string{filepath.Join(t.TempDir(), "none")}, Options{}).Run(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestConcurrentPositions(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.yaml")
	write(t, path, split("one", 1))
	l := run(t, dir)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ref := model.Ref{Kind: model.KindSplit, Name: model.Name{Namespace: "default", Name: "one"}}
				if file, line, _ := l.Positions().Find(ref, "spec.backends[0].weight"); file != path || line < 9 {
					t.Errorf("the weight stands at %s:%d", file, line)
					return
				}
			}
		})
	}
	for w := 2; w < 10; w++ {
		write(t, path, strings.Repeat("# a line\n", w)+split("one", w))
		l.weighs("one", int64(w))
	}
	close(stop)
	wg.Wait()
}

// TestTwin edits a folder at random: what the source said, step by step, is what a fresh reading of the last good texts says.
func TestTwin(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 7))
			dir, good := t.TempDir(), t.TempDir()
			l := run(t, dir)
			for step := range 25 {
				for _, i := range r.Perm(12)[:1+r.IntN(4)] {
					edit(t, r, filepath.Join([]string{".", "a", "b", "b/c"}[i/3], fmt.Sprintf("%d.yaml", i%3)), dir, good)
				}
				for _, d := range []string{good, dir} { // what came before has been seen when this has
					write(t, filepath.Join(d, "end.yaml"), split("end", step))
				}
				want, err := Read([]string{good}, nil, Options{})
				check(t, err)
				events := known(want.Events, good, dir)
				l.until(fmt.Sprintf("step %d", step), func() bool { return reflect.DeepEqual(l.now, events) })
			}
		})
	}
}

// known is what events say, as if it stood in another folder.
func known(events []store.Event, from, to string) map[model.Ref]store.Event {
	out := map[model.Ref]store.Event{}
	for _, e := range events {
		for i := range e.Findings {
			e.Findings[i].Message = strings.ReplaceAll(e.Findings[i].Message, from, to)
		}
		out[e.Object] = e
	}
	return out
}

// edit makes one change in a folder, and the same in one that never holds a broken text.
func edit(t *testing.T, r *rand.Rand, name, dir, good string) {
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err == nil && r.IntN(4) == 0 {
		check(t, os.Remove(path))
		_ = os.Remove(filepath.Join(good, name))
		return
	}
	text := ""
	for range 1 + r.IntN(3) {
		text += "---\n" + split(fmt.Sprintf("s%d", r.IntN(8)), r.IntN(3))
	}
	if r.IntN(5) == 0 {
		text += "oops: [\n"
	} else if write(t, filepath.Join(good, name), text); r.IntN(2) == 0 {
		write(t, path, text)
		return
	}
	write(t, path+".tmp", text)
	check(t, os.Rename(path+".tmp", path))
}

// BenchmarkChange is from a save to its batch.
func BenchmarkChange(b *testing.B) {
	dir := b.TempDir()
	for i := range 1000 {
		write(b, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), split(fmt.Sprintf("s%d", i), 1))
	}
	l := run(b, dir)
	w := 1
	for b.Loop() {
		w++
		write(b, filepath.Join(dir, "7.yaml"), split("s7", w))
		l.weighs("s7", int64(w))
	}
}
