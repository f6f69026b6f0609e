// SPDX-License-Identifier: Apache-2.0

package file

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/anymesh/anymesh/file/walk"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/store"
)

// Options of reading. The zero value is ready for use.
type Options struct {
	Namespace     string // of objects that name none; empty: "default"
	Ignored       bool   // say of each object that is neither SMI nor one of Kubernetes' own kinds which are read, that it is not read
	Assume        bool   // assume the Services that splits name, where a namespace of the input has none; Source does not
	ClusterDomain string // by which splits may call Services, for Assume; empty: "cluster.local"
}

// Input is everything that was read.
type Input struct {
	Events    []store.Event    // of SMI and of Kubernetes' own kinds, with the findings about each, in the order of the input
	Objects   []*object.Object // all, in the order of the input
	Native    []*object.Object // neither SMI nor one of Kubernetes' own kinds that are read
	Findings  []model.Finding  // about what has no event: documents that are no object, native objects
	Positions *Positions
}

// Stdin is how findings call the standard input.
const Stdin = "<stdin>"

// Read reads files, folders and, as -, the standard input. Folders are read with all below them: *.yaml, *.yml and *.json, without
// hidden files. The error is the world's: a file that is not there or cannot be read. What is wrong with a text is a finding.
func Read(paths []string, stdin io.Reader, o Options) (*Input, error) {
	w := newWorld(o)
	for i, path := range paths {
		if path == "-" {
			if w.files[Stdin] != nil {
				continue
			}
			data, err := io.ReadAll(stdin)
			if err != nil {
				return nil, fmt.Errorf("read the standard input: %w", err)
			}
			w.put(Stdin, o.text(walk.Rank(i, ""), Stdin, data))
			continue
		}
		s := walk.Walk{Enter: func(int, string) error { return nil }}
		if err := s.Root(i, path); err != nil {
			return nil, err
		}
		for _, f := range s.Files {
			if w.files[f.Path] != nil {
				continue
			}
			data, err := os.ReadFile(f.Path)
			if errors.Is(err, os.ErrNotExist) {
				continue // gone since its folder was listed
			}
			if err != nil {
				return nil, err
			}
			w.put(f.Path, o.text(f.Rank, f.Path, data))
		}
	}
	return w.input(), nil
}

// Parse reads one text. The name is what its findings call it.
func Parse(name string, data []byte, o Options) *Input {
	w := newWorld(o)
	w.put(name, o.text("", name, data))
	return w.input()
}

// input gathers all that a world holds.
func (w *world) input() *Input {
	in := &Input{Positions: w.positions}
	for _, name := range w.names() {
		t := w.files[name]
		in.Findings = append(in.Findings, t.loose...)
		for i := range t.entries {
			e := &t.entries[i]
			in.Objects = append(in.Objects, e.object)
			if w.claims[e.key][0].entry != e {
				continue
			}
			switch ev := w.event(e.key); {
			case !e.ours:
				in.Native = append(in.Native, e.object)
				in.Findings = append(in.Findings, ev.Findings...)
			case !silent(ev):
				in.Events = append(in.Events, ev)
			}
		}
	}
	if w.options.Assume {
		in.Events = assume(in.Events, cmp.Or(w.options.ClusterDomain, model.Defaults().ClusterDomain))
	}
	return in
}
