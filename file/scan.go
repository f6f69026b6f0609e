// SPDX-License-Identifier: Apache-2.0

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// found is a file to read.
type found struct {
	path string
	rank string // its place among all: by argument, then as a walk through the folders comes by
	info fs.FileInfo
}

// scan lists files to read. Links are followed: the folder of a mounted ConfigMap is nothing but links.
type scan struct {
	enter func(arg int, dir string) error // called for a folder before it is listed
	files []found
	links []string // the real folders of files that are links
}

// rank orders the files of the arguments: first by argument, then by name, where a folder comes at its own name.
func rank(arg int, path string) string {
	return fmt.Sprintf("%06d/", arg) + strings.ReplaceAll(path, string(filepath.Separator), "\x00")
}

// root scans one argument. A file that is named is read whatever its ending.
func (s *scan) root(arg int, path string) error {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return s.folder(arg, path, []fs.FileInfo{info})
	}
	link, err := os.Lstat(path)
	if err != nil {
		return err
	}
	s.take(arg, path, info, link.Mode().Type())
	return nil
}

// folder lists one folder; above are the folders in which it stands, itself the last.
func (s *scan) folder(arg int, dir string, above []fs.FileInfo) error {
	err := s.enter(arg, dir)
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
		if hidden(e.Name()) || !e.IsDir() && e.Type()&fs.ModeSymlink == 0 && !readable(e.Name()) {
			continue
		}
		info, err := os.Stat(path)
		switch {
		case err != nil: // a link to nowhere, or gone
		case info.IsDir():
			if !within(info, above) {
				if err := s.folder(arg, path, append(above[:len(above):len(above)], info)); err != nil {
					return err
				}
			}
		case readable(e.Name()):
			s.take(arg, path, info, e.Type())
		}
	}
	return nil
}

func (s *scan) take(arg int, path string, info fs.FileInfo, t fs.FileMode) {
	s.files = append(s.files, found{path, rank(arg, path), info})
	if t&fs.ModeSymlink == 0 {
		return
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		s.links = append(s.links, filepath.Dir(real))
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

// hidden says whether a name is one that people do not list, or that editors give to what they will throw away.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "~") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~")
}

// readable says whether a name's ending is one that is read.
func readable(name string) bool {
	switch filepath.Ext(name) {
	case ".yaml", ".yml", ".json":
		return !hidden(name)
	}
	return false
}
