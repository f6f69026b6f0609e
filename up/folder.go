// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Folder is a source of what files and folders say, for a mesh that starts on them.
//
// What is broken while the mesh runs is not taken, and what was good last counts. At the start there is nothing that was good last: a
// broken object then counts as far as it is sound, which for a permission means that it admits less. Of a text that cannot be read
// at all nothing is known, not even whom it was to close, so a mesh does not start on it.
type Folder struct {
	*file.Source
	told atomic.Bool // the first batch is on its way
}

// Broken is a file that has faults or, without findings, is good again.
type Broken struct {
	File     string
	Findings []file.Located
	Start    bool // there is no last good text: what is sound of this one counts
}

// Unreadable says that a mesh cannot start on a text.
type Unreadable struct{ Findings []file.Located }

// Error names each place.
func (u *Unreadable) Error() string {
	var b strings.Builder
	for _, f := range u.Findings {
		fmt.Fprintf(&b, "%s:%d: %s\n", f.File, f.Line, f.Message)
	}
	b.WriteString("nobody knows what this was to say, so what it was to close would stand open: mend it, or take it out of the folder, and start again")
	return b.String()
}

// NewFolder is a source of all that the files and folders say. Broken may be nil.
func NewFolder(paths []string, o file.Options, broken func(Broken)) *Folder {
	f := &Folder{Source: file.NewSource(paths, o)}
	f.OnBroken = func(name string, list []file.Located) {
		if broken != nil {
			broken(Broken{name, list, !f.told.Load()})
		}
	}
	return f
}

// Run is that of the Source, but ends with an Unreadable before the first batch where a text says nothing.
func (f *Folder) Run(ctx context.Context, out chan<- []store.Event) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var lost []file.Located
	told := f.OnBroken
	f.OnBroken = func(name string, list []file.Located) {
		if !f.told.Load() {
			for _, l := range list {
				if silent(&l) {
					lost = append(lost, l)
				}
			}
		}
		told(name, list)
	}
	inner := make(chan []store.Event)
	ended := make(chan error, 1)
	go func() { ended <- f.Source.Run(ctx, inner) }()
	for {
		select {
		case err := <-ended:
			return err
		case batch := <-inner:
			if !f.told.Swap(true) && len(lost) > 0 {
				cancel()
				<-ended
				return &Unreadable{lost}
			}
			select {
			case out <- batch:
			case <-ctx.Done():
				return <-ended
			}
		}
	}
}

// silent says whether a finding is about a text of which nothing is known that could be closed.
func silent(f *file.Located) bool {
	if f.Level != model.Invalid {
		return false
	}
	switch f.Code {
	case model.CodeSyntax, model.CodeNoKind:
		return f.Object.Kind == "Document"
	case model.CodeUnknownVersion:
		return true // of a kind or a version that nobody knows
	case model.CodeNoName:
		return strings.Contains(f.Message, string(model.KindPermission)) // other tools' nameless files may lie beside ours
	}
	return false
}
