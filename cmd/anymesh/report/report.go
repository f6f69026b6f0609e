// SPDX-License-Identifier: Apache-2.0

// Package report writes what commands found and made: as text for people, as JSON and YAML for programs.
//
// A finding is always shown with its place first found (file, line and column, in the form that editors jump to), its stable code, and
// what to do about it.
package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// Places finds where a field was written; the file is empty where it is not known.
type Places interface {
	Find(ref model.Ref, path string) (file string, line, column int)
	// Written is a path as the object's own version writes it.
	Written(ref model.Ref, path string) string
}

// Entry is a finding as JSON and YAML show it. Lines and columns count from 1.
type Entry struct {
	Level     string `json:"level"`
	Code      string `json:"code,omitempty"`
	Mesh      string `json:"mesh,omitempty"`
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Path      string `json:"path,omitempty"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	Feature   string `json:"feature,omitempty"`
	Message   string `json:"message,omitempty"`
	Hint      string `json:"hint,omitempty"`
}

// document is the kind by which package file calls a text that is no object: only its file and line mean anything.
const document model.Kind = "Document"

// Entries lists findings for programs. It is never nil, so that JSON has a list.
func Entries(list []model.Finding, where Places) []Entry {
	out := make([]Entry, 0, len(list))
	for _, f := range list {
		e := Entry{Level: f.Level.String(), Code: string(f.Code), Mesh: f.Mesh, Kind: string(f.Object.Kind), Namespace: f.Object.Namespace,
			Name: f.Object.Name.Name, Path: where.Written(f.Object, f.Path), Message: f.Message, Hint: f.Hint}
		if f.Object.Kind == document {
			e.Namespace, e.Name = "", ""
		}
		if f.Wish {
			e.Feature = f.Feature.String()
		}
		e.File, e.Line, e.Column = where.Find(f.Object, f.Path)
		out = append(out, e)
	}
	return out
}

var marks = [...]string{model.Exact: "✔", model.Notice: "•", model.Approximate: "≈", model.Unsupported: "✘", model.Invalid: "‼"}

// Mark is the sign of a level.
func Mark(l model.Level) string { return marks[l] }

// Verdict is the sign of a yes or a no.
func Verdict(yes bool) string {
	if yes {
		return marks[model.Exact]
	}
	return marks[model.Unsupported]
}

// Text shows findings to a person, a block for each object. What is exact is shown only with all.
func Text(list []model.Finding, where Places, all bool) string {
	var b strings.Builder
	var last model.Ref
	for _, f := range list {
		if f.Level == model.Exact && !all {
			continue
		}
		file, line, column := where.Find(f.Object, f.Path)
		if f.Object != last {
			last = f.Object
			fmt.Fprintln(&b, title(f.Object, file, line))
		}
		fmt.Fprintf(&b, "  %s %s", marks[f.Level], f.Level)
		if f.Code != "" {
			fmt.Fprintf(&b, " %s", f.Code)
		}
		if f.Mesh != "" {
			fmt.Fprintf(&b, " [%s]", f.Mesh)
		}
		if file != "" {
			fmt.Fprintf(&b, " %s:%d:%d", file, line, column)
		}
		if f.Path != "" {
			fmt.Fprintf(&b, " %s", where.Written(f.Object, f.Path))
		}
		if f.Level == model.Exact {
			fmt.Fprintf(&b, " (%s)", f.Feature)
		}
		b.WriteByte('\n')
		if f.Message != "" {
			fmt.Fprintf(&b, "      %s\n", f.Message)
		}
		if f.Hint != "" {
			fmt.Fprintf(&b, "      → %s\n", f.Hint)
		}
	}
	return b.String()
}

// title names what a block of findings is about.
func title(r model.Ref, file string, line int) string {
	if r.Kind == document && file != "" {
		return fmt.Sprintf("%s %s:%d", document, file, line)
	}
	return Title(r)
}

// Title names an object as people call it; one of no namespace and name, such as the settings, by its kind alone.
func Title(r model.Ref) string {
	if r.Name == (model.Name{}) {
		return string(r.Kind)
	}
	return r.String()
}

// Summary counts findings by level. It is empty for none.
func Summary(list []model.Finding) string {
	var count [len(marks)]int
	for _, f := range list {
		count[f.Level]++
	}
	var parts []string
	for l := range model.Level(len(marks)) {
		switch n := count[l]; {
		case n == 0:
		case l == model.Notice:
			parts = append(parts, Count(n, "notice"))
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, l))
		}
	}
	return strings.Join(parts, ", ")
}

// Count is a number of things in words: 1 object, 2 objects.
func Count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Write prints a value as "json", or else as YAML.
func Write(w io.Writer, format string, v any) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	_, err := w.Write(object.AppendYAML(nil, v))
	return err
}

// Stream writes values as a stream of YAML documents, one at a time: there may be many.
func Stream[T any](w io.Writer, values []T) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var text []byte
	for i, v := range values {
		if i > 0 {
			_, _ = b.WriteString("---\n")
		}
		text = object.AppendYAML(text[:0], v)
		_, _ = b.Write(text) // a failure stays until Flush
	}
	return b.Flush()
}
