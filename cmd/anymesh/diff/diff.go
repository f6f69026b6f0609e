// SPDX-License-Identifier: Apache-2.0

// Package diff says what would change in a folder of a mesh's objects.
package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// Change is one difference between what is there and what would be.
type Change struct {
	Action     string          `json:"action"` // create, change, delete, conflict
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Namespace  string          `json:"namespace,omitempty"`
	Name       string          `json:"name"`
	File       string          `json:"file,omitempty"` // of what is there
	Line       int             `json:"line,omitempty"`
	Before     json.RawMessage `json:"before,omitempty"`
	After      json.RawMessage `json:"after,omitempty"`
}

// Wanted is one object as it would be.
type Wanted struct {
	Key  mesh.Key
	JSON []byte
}

// Compare lists the changes that make what is there what it would be: first what is wanted, in its order, then what goes. It is
// never nil. The error says that an object cannot be written.
func Compare(objects []*mesh.Object, there map[mesh.Key]file.Existing) ([]Change, error) {
	wanted := make([]Wanted, 0, len(objects))
	for _, o := range objects {
		after, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", o.Key(), err)
		}
		wanted = append(wanted, Wanted{o.Key(), after})
	}
	return Between(wanted, there), nil
}

// Between is Compare for objects that are written already.
func Between(wanted []Wanted, there map[mesh.Key]file.Existing) []Change {
	changes := []Change{}
	step := func(action string, k mesh.Key, after []byte) {
		old := there[k]
		changes = append(changes, Change{action, k.APIVersion, k.Kind, k.Name.Namespace, k.Name.Name, old.File, old.Line, old.JSON, after})
	}
	stays := map[mesh.Key]bool{}
	for _, w := range wanted {
		stays[w.Key] = true
		switch old, ok := there[w.Key]; {
		case !ok:
			step("create", w.Key, w.JSON)
		case !old.Ours:
			step("conflict", w.Key, w.JSON)
		case !bytes.Equal(plain(old.JSON), plain(w.JSON)):
			step("change", w.Key, w.JSON)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(there), mesh.Key.Compare) {
		if there[k].Ours && !stays[k] {
			step("delete", k, nil)
		}
	}
	return changes
}

// plain is an object with its fields in one order, and without what an API server adds: a folder may be what kubectl printed.
func plain(text []byte) []byte {
	var o map[string]any
	if json.Unmarshal(text, &o) != nil {
		return text
	}
	delete(o, "status")
	if m, ok := o["metadata"].(map[string]any); ok {
		for _, name := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"} {
			delete(m, name)
		}
		if a, ok := m["annotations"].(map[string]any); ok {
			if delete(a, "kubectl.kubernetes.io/last-applied-configuration"); len(a) == 0 {
				delete(m, "annotations")
			}
		}
	}
	out, err := json.Marshal(o)
	if err != nil {
		panic("diff: what was JSON is none: " + err.Error())
	}
	return out
}

var signs = map[string]string{"create": "+", "change": "~", "delete": "-", "conflict": "!"}

// Print writes changes for a person, and counts them.
func Print(w io.Writer, changes []Change) error {
	var b bytes.Buffer
	count := map[string]int{}
	for _, s := range changes {
		count[s.Action]++
		fmt.Fprintf(&b, "%s %s %s %s", signs[s.Action], s.Action, s.Kind, model.Name{Namespace: s.Namespace, Name: s.Name})
		if s.File != "" {
			fmt.Fprintf(&b, "  (%s:%d)", s.File, s.Line)
		}
		b.WriteByte('\n')
		switch s.Action {
		case "conflict":
			b.WriteString("    the object that is there is not ours: label it app.kubernetes.io/managed-by: anymesh to hand it over, or rename one of the two\n")
		case "change":
			for _, l := range Lines(lines(plain(s.Before)), lines(plain(s.After))) {
				fmt.Fprintf(&b, "    %s\n", l)
			}
		case "create":
			for _, l := range lines(s.After) {
				fmt.Fprintf(&b, "    + %s\n", l)
			}
		}
	}
	if len(changes) == 0 {
		fmt.Fprintf(&b, "%s nothing would change\n", report.Verdict(true))
	} else {
		fmt.Fprintf(&b, "%d to create, %d to change, %d to delete, %d in conflict\n", count["create"], count["change"], count["delete"], count["conflict"])
	}
	_, err := w.Write(b.Bytes())
	return err
}

func lines(text json.RawMessage) []string {
	return strings.Split(strings.TrimSuffix(string(object.AppendYAML(nil, text)), "\n"), "\n")
}
