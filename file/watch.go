// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"

	"github.com/anymesh/anymesh/file/walk"
)

// watch keeps a watch on every folder that matters, and says what its signs mean. Only folders are watched: a file that is saved by
// renaming another over it is no longer the file that one would have watched.
type watch struct {
	fs     *fsnotify.Watcher
	dirs   map[string]watched
	args   map[string]bool // the arguments, as signs name them
	names  map[string]int  // how many names each real folder has: its signs come under one of them
	seen   map[string]bool // folders met since begin
	rescan bool            // something happened that no name tells: look at all folders
	all    bool            // and at all files in them, whatever their dates say
}

// watched is one folder.
type watched struct {
	arg  int    // the argument that it is read for
	real string // its name without links
	use  use
}

// use is what a folder is watched for, from least to most.
type use int

const (
	parent use = iota // an argument stands in it
	target            // a link leads into it
	folder            // it is read
)

func newWatch() (*watch, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, limit(err)
	}
	return &watch{fs: w, dirs: map[string]watched{}, args: map[string]bool{}, names: map[string]int{}}, nil
}

func limit(err error) error {
	return fmt.Errorf("watch folders: %w (on Linux, raise fs.inotify.max_user_watches or max_user_instances)", err)
}

// begin starts to gather the folders that matter; end forgets the others.
func (w *watch) begin() {
	if w.all {
		for dir := range w.dirs {
			w.forget(dir)
		}
	}
	w.seen, w.rescan, w.all = map[string]bool{}, false, false
}

// root watches what an argument stands in, if it is a file or a link.
func (w *watch) root(path string) error {
	path = filepath.Clean(path)
	w.args[path] = true
	info, err := os.Lstat(path)
	if err != nil || info.IsDir() {
		return err
	}
	return w.add(filepath.Dir(path), 0, parent)
}

// enter watches a folder that is read.
func (w *watch) enter(arg int, dir string) error { return w.add(dir, arg, folder) }

// end watches what links lead into.
func (w *watch) end(links []string) error {
	for _, dir := range links {
		if err := w.add(dir, 0, target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for dir := range w.dirs {
		if !w.seen[dir] {
			w.forget(dir)
		}
	}
	return nil
}

func (w *watch) add(dir string, arg int, u use) error {
	old, known := w.dirs[dir]
	if !known {
		if err := w.fs.Add(dir); errors.Is(err, fs.ErrNotExist) {
			return err
		} else if err != nil {
			return limit(err)
		}
		old.real, _ = filepath.EvalSymlinks(dir)
		w.names[old.real]++
	}
	if !w.seen[dir] || u > old.use {
		old.arg, old.use = arg, u
	}
	w.dirs[dir], w.seen[dir] = old, true
	return nil
}

// forget ends the watch on a folder and on all below it, which may have become others.
func (w *watch) forget(dir string) {
	for d, x := range w.dirs {
		if d == dir || strings.HasPrefix(d, dir+string(filepath.Separator)) {
			_ = w.fs.Remove(d) // it ended by itself if the folder is gone
			delete(w.dirs, d)
			if w.names[x.real]--; w.names[x.real] == 0 {
				delete(w.names, x.real)
			}
		}
	}
}

// sign reads a sign: the file that it is about, empty where it is about none that is read in a folder.
func (w *watch) sign(e fsnotify.Event) (file string) {
	name := filepath.Clean(e.Name)
	turned := e.Op&(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) != 0
	if _, ok := w.dirs[name]; ok && turned {
		w.forget(name)
		w.rescan = true
		return ""
	}
	base := filepath.Base(name)
	dir, ok := w.dirs[filepath.Dir(name)]
	switch {
	case !ok:
		return ""
	case w.args[name]:
		w.rescan = w.rescan || turned
		return name
	case dir.use == parent:
		return ""
	case dir.use == target || w.names[dir.real] > 1:
		w.rescan = true
	case base == "..data": // the link that is turned when a mounted ConfigMap changes
		w.rescan = true
	}
	if dir.use != folder || walk.Hidden(base) {
		return ""
	}
	if e.Has(fsnotify.Create) {
		if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
			w.rescan = true // a folder, or a link to who knows what
			return ""
		}
	}
	if !walk.Readable(base) {
		return ""
	}
	return name
}

// rank is that of a file in a folder that is read.
func (w *watch) rank(path string) string { return walk.Rank(w.dirs[filepath.Dir(path)].arg, path) }
