// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"hash/maphash"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/anymesh/anymesh/file/walk"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// How long a Source waits before it believes what it sees.
const (
	quiet = 5 * time.Millisecond   // after the last sign of a change: editors write in several steps
	most  = 15 * time.Millisecond  // after the first sign, for files that are quiet themselves
	grace = 100 * time.Millisecond // before something is gone: many editors remove or empty a file before they write it again
	retry = 500 * time.Millisecond // between looks for a folder that is gone itself
)

// Source watches files and folders. Its first batch is everything that is there; each further one is what some save changed.
type Source struct {
	// OnBroken is told that a file has a text that is not taken, with all that is wrong with it, and with no findings that it is good
	// again. At the start, when there is no last good text, a broken file is taken as far as it is sound. It is called by Run.
	OnBroken func(file string, findings []Located)

	paths   []string
	world   *world
	watch   *watch
	infos   map[string]walk.File // of the files that are known
	pending map[string]*sign     // files that may have changed
	first   time.Time            // sign among those that are pending
	broken  map[string]bool      // files of which OnBroken was told
	lost    bool                 // an argument is not there at present
	grace   time.Duration
	reads   atomic.Int64 // of files
}

// sign is what is known of a change that has not been taken yet.
type sign struct {
	last time.Time // when something happened to the file
	held bool      // it looks like the middle of a save: taken when it stays as it is for the grace
}

// NewSource is a source of all that the files and folders say.
func NewSource(paths []string, o Options) *Source {
	return &Source{paths: paths, world: newWorld(o), infos: map[string]walk.File{}, pending: map[string]*sign{}, broken: map[string]bool{}, grace: grace}
}

// Positions knows where fields were written. It may be asked at any time by anyone.
func (s *Source) Positions() *Positions { return s.world.positions }

// Run reads, then watches, until the context ends. Errors are the world's: a path that is not there at the start, a file
// that cannot be read then, a limit on watches.
func (s *Source) Run(ctx context.Context, out chan<- []store.Event) error {
	w, err := newWatch()
	if err != nil {
		return err
	}
	defer w.fs.Close()
	s.watch = w
	batch, err := s.start()
	if err != nil {
		return err
	}
	for {
		select {
		case out <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
		if batch, err = s.next(ctx); err != nil {
			return err
		}
	}
}

// start reads everything.
func (s *Source) start() ([]store.Event, error) {
	files, err := s.scan(true)
	if err != nil {
		return nil, err
	}
	batch := []store.Event{}
	for _, f := range files {
		if s.world.files[f.Path] != nil {
			continue
		}
		data, err := s.read(f.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t := s.world.options.text(f.Rank, f.Path, data)
		s.infos[f.Path] = f
		batch = append(batch, s.world.changes(s.world.put(f.Path, t))...)
		if t.invalid {
			s.report(f.Path, t.findings)
		}
	}
	return latest(batch), nil
}

// latest keeps the last event of each object: one that stands in two files was told twice.
func latest(batch []store.Event) []store.Event {
	last := make(map[model.Ref]int, len(batch))
	for i, e := range batch {
		last[e.Object] = i
	}
	if len(last) == len(batch) {
		return batch
	}
	out := batch[:0]
	for i, e := range batch {
		if last[e.Object] == i {
			out = append(out, e)
		}
	}
	return out
}

// next waits for a batch.
func (s *Source) next(ctx context.Context) ([]store.Event, error) {
	for {
		var due <-chan time.Time
		if at, ok := s.due(); ok {
			due = time.After(time.Until(at))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e, ok := <-s.watch.fs.Events:
			if !ok {
				return nil, errors.New("watch files: the watch ended")
			}
			s.sign(e)
		case <-s.watch.fs.Errors: // it missed something: look everywhere
			s.watch.rescan, s.watch.all = true, true
			s.touch("")
		case <-due:
			batch, err := s.take(time.Now())
			if err != nil || len(batch) > 0 {
				return batch, err
			}
		}
	}
}

// sign takes note of something that happened to a file or a folder.
func (s *Source) sign(e fsnotify.Event) {
	if name := s.watch.sign(e); name != "" {
		s.touch(name)
	}
	if s.watch.rescan {
		s.touch("")
	}
}

// touch makes a file pending; the empty name stands for the folders.
func (s *Source) touch(name string) {
	now := time.Now()
	if len(s.pending) == 0 {
		s.first = now
	}
	s.pending[name] = &sign{last: now}
}

// due is when to look next.
func (s *Source) due() (time.Time, bool) {
	var at, last time.Time
	ready := false // something waits for nothing but quiet
	for _, p := range s.pending {
		t := p.last.Add(quiet)
		if p.held {
			t = p.last.Add(s.grace)
		} else {
			ready = true
			if p.last.After(last) {
				last = p.last
			}
		}
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if ready { // what is saved together is one step
		if together := last.Add(quiet); together.Before(s.first.Add(most)) {
			at = together
		} else if at.Before(s.first.Add(most)) {
			at = s.first.Add(most)
		}
	}
	if s.lost && at.IsZero() {
		return time.Now().Add(retry), true
	}
	return at, !at.IsZero()
}

// take looks at everything that has been quiet for long enough.
func (s *Source) take(now time.Time) ([]store.Event, error) {
	if s.lost {
		s.watch.rescan = true
	}
	if s.watch.rescan {
		delete(s.pending, "")
		if err := s.rescan(now); err != nil {
			return nil, err
		}
	}
	var names []string
	for name, p := range s.pending {
		if wait := now.Sub(p.last); wait >= s.grace || wait >= quiet && !p.held {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	keys, held := s.loads(names, now)
	again, _ := s.loads(held, now) // what they lack may have moved to one of the others
	s.first = now
	return s.world.changes(append(keys, again...)), nil
}

// loads takes what files say now, and lists the objects that it may have changed, and the files that look like the middle of a save.
func (s *Source) loads(names []string, now time.Time) (keys []key, held []string) {
	for _, name := range names {
		p := s.pending[name]
		k, ok := s.load(name, now.Sub(p.last) >= s.grace)
		if p.held = !ok; ok {
			delete(s.pending, name)
			keys = append(keys, k...)
		} else {
			held = append(held, name)
		}
	}
	return keys, held
}

// rescan compares the folders with what is known of them. What differs becomes pending, as if a sign of it had come just before.
func (s *Source) rescan(now time.Time) error {
	all := s.watch.all
	files, err := s.scan(false)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(files))
	for _, f := range files {
		there[f.Path] = true
		old, known := s.infos[f.Path]
		if all || !known || !same(old.Info, f.Info) {
			s.infos[f.Path] = f
			s.hint(f.Path, now)
		}
	}
	for path := range s.infos {
		if !there[path] {
			s.hint(path, now)
		}
	}
	return nil
}

func (s *Source) hint(path string, now time.Time) {
	if s.pending[path] == nil {
		s.pending[path] = &sign{last: now.Add(-quiet)}
	}
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// scan lists all files, and watches all folders. Later than at the start an argument may be missing.
func (s *Source) scan(strict bool) ([]walk.File, error) {
	sc := walk.Walk{Enter: s.watch.enter}
	s.watch.begin()
	s.lost = false
	for i, p := range s.paths {
		err := s.watch.root(p)
		if err == nil {
			err = sc.Root(i, p)
		}
		if err != nil && (strict || !errors.Is(err, fs.ErrNotExist)) {
			return nil, err
		}
		s.lost = s.lost || err != nil
	}
	return sc.Files, s.watch.end(sc.Links)
}

func (s *Source) read(path string) ([]byte, error) {
	s.reads.Add(1)
	return os.ReadFile(path)
}

// load takes what a file says now, and lists the objects that it may have changed. It is not ok where the file looks like the middle
// of a save; patient says that it has looked like that for the whole grace.
func (s *Source) load(path string, patient bool) (keys []key, ok bool) {
	old := s.world.files[path]
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return nil, true
	}
	var data []byte
	if err == nil {
		data, err = s.read(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if !patient && s.world.lacks(path, nil) {
			return nil, false
		}
		delete(s.infos, path)
		s.report(path, nil)
		return s.world.put(path, nil), true
	}
	if err != nil {
		f := model.Finding{Level: model.Invalid, Code: model.CodeSyntax, Object: document(path, 1), Message: "cannot be read: " + err.Error(), Hint: "Let it be read, or remove it."}
		s.report(path, []Located{{Finding: f, File: path}})
		return nil, true
	}
	if f, known := s.infos[path]; known {
		s.infos[path] = walk.File{Path: path, Rank: f.Rank, Info: info}
	} else {
		s.infos[path] = walk.File{Path: path, Rank: s.watch.rank(path), Info: info}
	}
	if old != nil && old.hash == maphash.Bytes(seed, data) {
		if !old.invalid {
			s.report(path, nil)
		}
		return nil, true
	}
	t := s.world.options.text(s.infos[path].Rank, path, data)
	if !patient && old != nil && (old.ended && !t.ended || s.world.lacks(path, t)) {
		return nil, false
	}
	if t.invalid {
		s.report(path, t.findings)
		return nil, true
	}
	s.report(path, nil)
	return s.world.put(path, t), true
}

// report tells of a broken file, and of one that is good again.
func (s *Source) report(path string, findings []Located) {
	was := s.broken[path]
	if len(findings) == 0 {
		delete(s.broken, path)
	} else {
		s.broken[path] = true
	}
	if s.OnBroken != nil && (was || len(findings) > 0) {
		s.OnBroken(path, findings)
	}
}
