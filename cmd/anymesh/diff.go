// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/object"
)

func diffCommand() *cobra.Command {
	var in input
	var to, against string
	c := &cobra.Command{
		Use: "diff --to MESH -f FILE|DIR|- --against DIR", Short: "Say what would change in a folder of a mesh's objects", GroupID: "move", Args: cobra.NoArgs,
		Long: `diff translates the input and compares it with the objects in a folder. Objects that do not carry the label
app.kubernetes.io/managed-by: anymesh are not ours: they are never changed or deleted, and an object of ours that one of them stands in the way of is
shown as a conflict.

Exit code 0: nothing would change. 6: something would.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := in.translate(c, to)
			if err != nil {
				return err
			}
			there, err := file.Load(against)
			if err != nil {
				return err
			}
			steps, err := compare(t.objects, there)
			if err != nil {
				return err
			}
			if in.output != "table" {
				err = write(c.OutOrStdout(), in.output, steps)
			} else {
				err = printSteps(c.OutOrStdout(), steps)
			}
			if err == nil && len(steps) > 0 {
				return exit(exitDifferent)
			}
			return err
		},
	}
	in.flags(c, "table", "json", "yaml")
	meshFlag(c, &to, "to", "the mesh", false)
	c.Flags().StringVar(&against, "against", "", "the `DIR` to compare with")
	_ = c.MarkFlagRequired("to")
	_ = c.MarkFlagRequired("against")
	return c
}

// change is one difference between what is there and what would be.
type change struct {
	Action     string          `json:"action"` // create, change, delete, conflict
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Namespace  string          `json:"namespace,omitempty"`
	Name       string          `json:"name"`
	Before     json.RawMessage `json:"before,omitempty"`
	After      json.RawMessage `json:"after,omitempty"`
}

func compare(objects []*mesh.Object, there map[mesh.Key]file.Existing) ([]change, error) {
	steps := []change{}
	step := func(action string, k mesh.Key, before, after []byte) {
		steps = append(steps, change{action, k.APIVersion, k.Kind, k.Name.Namespace, k.Name.Name, before, after})
	}
	wanted := map[mesh.Key]bool{}
	for _, o := range objects {
		after, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		k := o.Key()
		wanted[k] = true
		switch old, ok := there[k]; {
		case !ok:
			step("create", k, nil, after)
		case !old.Ours:
			step("conflict", k, old.JSON, after)
		case !same(old.JSON, after):
			step("change", k, old.JSON, after)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(there), mesh.Key.Compare) {
		if there[k].Ours && !wanted[k] {
			step("delete", k, there[k].JSON, nil)
		}
	}
	return steps, nil
}

// same compares JSON by meaning: what was written by others may stand in another order.
func same(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

var signs = map[string]string{"create": "+", "change": "~", "delete": "-", "conflict": "!"}

func printSteps(w io.Writer, steps []change) error {
	count := map[string]int{}
	for _, s := range steps {
		count[s.Action]++
		fmt.Fprintf(w, "%s %s %s %s/%s\n", signs[s.Action], s.Action, s.Kind, s.Namespace, s.Name)
		if s.Action == "conflict" {
			fmt.Fprintln(w, "    the object that is there is not ours: label it app.kubernetes.io/managed-by: anymesh to hand it over, or rename one of the two")
			continue
		}
		for _, l := range difference(lines(s.Before), lines(s.After)) {
			fmt.Fprintf(w, "    %s\n", l)
		}
	}
	_, err := fmt.Fprintf(w, "%d to create, %d to change, %d to delete, %d in conflict\n", count["create"], count["change"], count["delete"], count["conflict"])
	return err
}

func lines(text json.RawMessage) []string {
	if text == nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(object.AppendYAML(nil, text)), "\n"), "\n")
}

// difference lists the lines that went and came, by the longest common sequence; the objects are small.
func difference(a, b []string) (out []string) {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for k := len(b) - 1; k >= 0; k-- {
			if a[i] == b[k] {
				common[i][k] = common[i+1][k+1] + 1
			} else {
				common[i][k] = max(common[i+1][k], common[i][k+1])
			}
		}
	}
	i, k := 0, 0
	for i < len(a) || k < len(b) {
		switch {
		case i < len(a) && k < len(b) && a[i] == b[k]:
			i, k = i+1, k+1
		case k == len(b) || i < len(a) && common[i+1][k] >= common[i][k+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[k])
			k++
		}
	}
	return out
}
