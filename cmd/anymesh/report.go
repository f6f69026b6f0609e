// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// places finds the line of a field.
type places interface {
	Find(ref model.Ref, path string) (file string, line, column int)
}

// entry is a finding as reports show it.
type entry struct {
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

func entries(list []model.Finding, where places) []entry {
	out := make([]entry, 0, len(list))
	for _, f := range list {
		e := entry{Level: f.Level.String(), Code: string(f.Code), Mesh: f.Mesh, Kind: string(f.Object.Kind), Namespace: f.Object.Namespace,
			Name: f.Object.Name.Name, Path: f.Path, Message: f.Message, Hint: f.Hint}
		if f.Wish {
			e.Feature = f.Feature.String()
		}
		e.File, e.Line, e.Column = where.Find(f.Object, f.Path)
		out = append(out, e)
	}
	return out
}

// worst is the exit code of a list of findings.
func worst(list []model.Finding) error {
	level := model.Exact
	for _, f := range list {
		level = max(level, f.Level)
	}
	switch level {
	case model.Approximate:
		return exit(exitApproximate)
	case model.Unsupported:
		return exit(exitUnsupported)
	case model.Invalid:
		return exit(exitInvalid)
	}
	return nil
}

var marks = [...]string{model.Exact: "✔", model.Notice: "•", model.Approximate: "≈", model.Unsupported: "✘", model.Invalid: "‼"}

// print writes findings for a person: one block for each object, the place first, so that an editor can jump to it.
func print(w io.Writer, list []model.Finding, where places) {
	var last model.Ref
	for _, f := range list {
		if f.Level == model.Exact {
			continue
		}
		if f.Object != last {
			last = f.Object
			fmt.Fprintln(w, f.Object)
		}
		file, line, column := where.Find(f.Object, f.Path)
		fmt.Fprintf(w, "  %s %s %s", marks[f.Level], f.Level, f.Code)
		if f.Mesh != "" {
			fmt.Fprintf(w, " [%s]", f.Mesh)
		}
		if file != "" {
			fmt.Fprintf(w, " %s:%d:%d", file, line, column)
		}
		if f.Path != "" {
			fmt.Fprintf(w, " %s", f.Path)
		}
		fmt.Fprintf(w, "\n      %s\n", f.Message)
		if f.Hint != "" {
			fmt.Fprintf(w, "      → %s\n", f.Hint)
		}
	}
}

// summary counts the levels in one line. Wishes that are exact are in the list only where they were asked for.
func summary(list []model.Finding) string {
	var count [model.Invalid + 1]int
	for _, f := range list {
		count[f.Level]++
	}
	var parts []string
	for l := model.Exact; l <= model.Invalid; l++ {
		if n := count[l]; n > 0 || l == model.Exact {
			parts = append(parts, fmt.Sprintf("%d %s", n, l))
		}
	}
	return strings.Join(parts, ", ")
}

// write prints a value as JSON or YAML.
func write(w io.Writer, format string, v any) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	_, err := w.Write(object.AppendYAML(nil, v))
	return err
}
