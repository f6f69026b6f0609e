// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/diff"
	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/smi"
)

func diffCommand() *cobra.Command {
	var in input
	var format, to, against string
	c := &cobra.Command{
		Use: "diff [--to MESH] -f FILE|DIR|- --against DIR", Short: "Say what would change in a folder of a mesh's objects", GroupID: "move", Args: files,
		Long: `diff translates the input and compares it with the objects in a folder, which may also be what kubectl
printed; its objects tell the mesh where --to does not. What the mesh could not say
of the input is reported on standard error.

Objects that do not carry the label app.kubernetes.io/managed-by: anymesh are not ours: they are never
changed or deleted, and where one of them stands in the way of an object of ours there is a conflict.

Exit codes: 0 nothing would change, 1 failure, 5 invalid input, 6 something would change.`,
		Example: `  anymesh diff --to istio -f shop/ --against istio/
  anymesh diff --to istio -f shop/ --against istio/ -o json`,
		RunE: func(c *cobra.Command, _ []string) error {
			there, err := file.Load(against)
			if err != nil {
				return unread("--against", err)
			}
			if to == "" {
				if to, err = recognise(there); err != nil {
					return err
				}
			}
			t, err := in.translate(c, to)
			if err != nil {
				return err
			}
			changes, err := diff.Compare(t.objects, there)
			if err != nil {
				return err
			}
			err = result(c, format, changes, func() error { return diff.Print(c.OutOrStdout(), changes) })
			if err != nil {
				return err
			}
			fmt.Fprint(c.ErrOrStderr(), report.Text(t.findings, t.where, false))
			if worst(t.findings) == exit(exitInvalid) {
				return exit(exitInvalid) // a broken text would be taken for a wish to delete
			}
			if len(changes) > 0 {
				return exit(exitDifferent)
			}
			return nil
		},
	}
	in.flags(c)
	formatFlag(c, &format, "table", "json", "yaml")
	meshFlag(c, &to, "to", "compare with the objects of", false)
	c.Flags().StringVar(&against, "against", "", "the `DIR` to compare with")
	_ = c.MarkFlagDirname("against")
	need(c, "against", "--against DIR")
	return c
}

// recognise tells the mesh by the objects of a folder. Objects of SMI tell only where we wrote them, for a mesh that reads SMI itself: others
// are somebody's wishes.
func recognise(there map[mesh.Key]file.Existing) (string, error) {
	found := ""
	for _, d := range all.Drivers() {
		for k, e := range there {
			if smi.Speaks(k.APIVersion, k.Kind) && !e.Ours {
				continue
			}
			if !slices.ContainsFunc(d.Kinds, func(x mesh.Kind) bool { return x.APIVersion == k.APIVersion && x.Kind == k.Kind }) {
				continue
			}
			if found != "" && found != d.Name {
				return "", fmt.Errorf("the folder holds objects of %s and of %s; say which is meant with --to", found, d.Name)
			}
			found = d.Name
		}
	}
	if found == "" {
		return "", fmt.Errorf("the folder holds no object of a mesh that anymesh knows; say which is meant with --to MESH")
	}
	return found, nil
}
