// SPDX-License-Identifier: Apache-2.0

package file

import (
	"cmp"
	"hash/maphash"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/file/core"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

// Located is a finding about a text, with its place.
type Located struct {
	model.Finding
	File         string
	Line, Column int // from 1; 0 where only the file is known
}

// text is one file as it was read.
type text struct {
	rank     string // its place among the files
	hash     uint64
	ended    bool // with a line break
	entries  []entry
	findings []Located       // all that is wrong with the text
	loose    []model.Finding // those of them that belong to no event
	invalid  bool
}

// entry is one object of a text.
type entry struct {
	object *object.Object
	key    key
	ours   bool        // SMI's or Kubernetes' own: it has an event
	event  store.Event // of a native object only the findings
}

// key tells an object from all others. Kinds of ours need no group: there is only one of each.
type key struct {
	group string // of a native object
	model.Ref
}

var seed = maphash.MakeSeed()

// text reads a file.
func (o *Options) text(rank, name string, data []byte) *text {
	t := &text{rank: rank, hash: maphash.Bytes(seed, data), ended: len(data) > 0 && data[len(data)-1] == '\n'}
	objects, problems := object.Parse(name, data)
	t.entries = make([]entry, 0, len(objects))
	for _, obj := range objects {
		obj.Namespace = cmp.Or(obj.Namespace, o.Namespace, "default")
		t.entries = append(t.entries, decode(obj))
	}
	for _, p := range problems {
		t.problem(name, p)
	}
	for i := range t.entries {
		e := &t.entries[i]
		for _, f := range e.event.Findings {
			if !slices.ContainsFunc(t.findings, func(l Located) bool { return l.Finding == f }) {
				line, column := position(e.object, f.Path)
				t.findings = append(t.findings, Located{f, name, line, column})
			}
		}
		if e.ours && len(e.event.Findings) == 0 {
			e.object.Rest()
		}
		if !e.ours && o.Ignored {
			e.event.Findings = append(e.event.Findings, model.Finding{Level: model.Notice, Code: model.CodeIgnored, Object: e.key.Ref, Path: "kind",
				Message: e.object.Kind + " of " + e.object.APIVersion + " is not read"})
		}
	}
	slices.SortStableFunc(t.findings, func(a, b Located) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	t.invalid = slices.ContainsFunc(t.findings, func(l Located) bool { return l.Level == model.Invalid })
	return t
}

// decode makes an entry of an object. SMI that we wrote ourselves, for a mesh that reads it, has that mesh's meaning: it is native, and not
// read as a wish again.
func decode(o *object.Object) entry {
	e := entry{object: o, ours: true}
	e.key.Ref = model.Ref{Kind: model.Kind(o.Kind), Name: model.Name{Namespace: o.Namespace, Name: o.Name}}
	e.event.Object = e.key.Ref
	switch {
	case smi.Speaks(o.APIVersion, o.Kind) && !ours(o):
		item, findings := smi.Decode(o)
		e.event.Findings = findings
		if item != nil {
			e.event.Facts = item.Facts(o.Namespace)
		}
	case core.Known(o.APIVersion, o.Kind):
		e.event.Facts, e.event.Findings = core.Decode(o)
	default:
		e.ours = false
		e.key.group, _, _ = strings.Cut(o.APIVersion, "/")
	}
	return e
}

// problem puts a problem of the text with the object that has it, or with the document where there is none.
func (t *text) problem(name string, p object.Problem) {
	f := model.Finding{Level: model.Invalid, Code: p.Code, Path: p.Path, Message: p.Message, Hint: p.Hint}
	if e := t.owner(&p); e != nil {
		f.Object, f.Path = e.key.Ref, inList(p.Path)
		e.event.Findings = append(e.event.Findings, f)
	} else {
		f.Object = document(name, p.Line)
		t.loose = append(t.loose, f)
	}
	t.findings = append(t.findings, Located{f, name, p.Line, p.Column})
}

// owner is the object that a problem is inside of: the last faulty one that begins before it. A text that is no YAML has no column, and one
// without kind or name is no object.
func (t *text) owner(p *object.Problem) *entry {
	if p.Column == 0 || p.Code == model.CodeNoKind || p.Code == model.CodeNoName && strings.Contains(p.Message, " without ") {
		return nil
	}
	for i := len(t.entries) - 1; i >= 0; i-- {
		if o := t.entries[i].object; o.Line <= p.Line {
			if o.Faulty {
				return &t.entries[i]
			}
			return nil
		}
	}
	return nil
}

// inList takes off the way to an object that stands in a list.
func inList(path string) string {
	if rest, ok := strings.CutPrefix(path, "items["); ok {
		_, rest, _ = strings.Cut(rest, "]")
		return strings.TrimPrefix(rest, ".")
	}
	return path
}

// documentKind is the kind by which findings name a text that is no object: the name is the file's, with the line.
const documentKind model.Kind = "Document"

func document(name string, line int) model.Ref {
	dir, base := filepath.Split(name)
	return model.Ref{Kind: documentKind, Name: model.Name{Namespace: strings.TrimSuffix(dir, string(filepath.Separator)), Name: base + ":" + strconv.Itoa(line)}}
}

// position is where the field stands that a finding names in the newest version's shape.
func position(o *object.Object, path string) (line, column int) {
	if smi.Speaks(o.APIVersion, o.Kind) {
		path = smi.Path(o.APIVersion, model.Kind(o.Kind), path)
	}
	return o.Position(path)
}
