// SPDX-License-Identifier: Apache-2.0

// Package walk lists the files of folders that are to be read: in one order for good, links followed, without what editors leave
// lying about.
package walk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// File is a file to read.
type File struct {
	Path string
	Rank string // its place among all: by argument, then as a walk through the folders comes by
	Info fs.FileInfo
}

// Walk lists files to read. Links are followed: the folder of a mounted ConfigMap is nothing but links.
type Walk struct {
	Enter func(arg int, dir string) error // called for a folder before it is listed
	Files []File
	Links []string // the real folders of files that are links
}

// Rank orders the files of the arguments: first by argument, then by name, where a folder comes at its own name.
func Rank(arg int, path string) string {
	return fmt.Sprintf("%06d/", arg) + strings.ReplaceAll(path, string(filepath.Separator), "\x00")
}

// Root walks one argument. A file that is named is read whatever its ending.
func (w *Walk) Root(arg int, path string) error {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return w.folder(arg, path, []fs.FileInfo{info})
	}
	link, err := os.Lstat(path)
	if err != nil {
		return err
	}
	w.take(arg, path, info, link.Mode().Type())
	return nil
}

// folder lists one folder; above are the folders in which it stands, itself the last.
func (w *Walk) folder(arg int, dir string, above []fs.FileInfo) error {
	err := w.Enter(arg, dir)
	var list []fs.DirEntry
	if err == nil {
		list, err = os.ReadDir(dir)
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && len(above) > 1 {
			return nil // gone since the folder above was listed
		}
		return err
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if Hidden(e.Name()) || !e.IsDir() && e.Type()&fs.ModeSymlink == 0 && !Readable(e.Name()) {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil: // a link to nowhere, or gone
		case info.IsDir():
			if !within(info, above) {
				if err := w.folder(arg, path, append(above[:len(above):len(above)], info)); err != nil {
					return err
				}
			}
		case Readable(e.Name()):
			w.take(arg, path, info, e.Type())
		}
	}
	return nil
}

func (w *Walk) take(arg int, path string, info fs.FileInfo, t fs.FileMode) {
	w.Files = append(w.Files, File{path, Rank(arg, path), info})
	if t&fs.ModeSymlink == 0 {
		return
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		w.Links = append(w.Links, filepath.Dir(real))
	}
}

// within says whether a folder is one of those in which it would stand: a link that leads up.
func within(dir fs.FileInfo, above []fs.FileInfo) bool {
	for _, a := range above {
		if os.SameFile(a, dir) {
			return true
		}
	}
	return false
}

// Hidden says whether a name is one that people do not list, or that editors give to what they will throw away.
func Hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~")
}

// Readable says whether a name's ending is one that is read.
func Readable(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return !Hidden(name)
	}
	return false
}
