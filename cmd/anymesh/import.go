// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

func importCommand() *cobra.Command {
	var in input
	var from, keep string
	c := &cobra.Command{
		Use: "import --from MESH -f FILE|DIR|-", Short: "Read a mesh's own configuration back into SMI", GroupID: "move", Args: cobra.NoArgs,
		Long: `import writes SMI objects to standard output, and to standard error what it did not understand, by object and field. An object of which a
part was not understood is kept as it is with --keep. What restricts and was not understood grants nothing: the import never allows more than the
mesh did.

Give the Services and workloads beside the mesh's objects: identities are found by the labels that the mesh selects by.`,
		Example: "  anymesh import --from istio -f mesh/ > smi.yaml\n  anymesh import --from istio -f mesh/ | anymesh translate --to builtin -f -",
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := driver(from)
			if err != nil {
				return err
			}
			if d.Import == nil {
				return fmt.Errorf("%s has no configuration to import", d.Title)
			}
			got, events, err := in.read(c, false)
			if err != nil {
				return err
			}
			s := store.New()
			for _, e := range events {
				s.Set(e)
			}
			read := mesh.Input{Objects: got.Native, World: s, Mesh: d.Name}
			d.Import(&read)
			findings := engine.Sort(append(read.Findings, got.Findings...))
			if err := kept(keep, read.Kept); err != nil {
				return err
			}
			if err := writeSMI(c, in.output, read.Facts, entries(findings, got.Positions)); err != nil {
				return err
			}
			if in.output != "json" {
				print(c.ErrOrStderr(), findings, got.Positions)
				fmt.Fprintf(c.ErrOrStderr(), "%s: %d of %d objects understood whole; %d SMI objects\n", d.Title, len(got.Native)-len(read.Kept), len(got.Native), len(read.Facts))
			}
			return worst(findings)
		},
	}
	in.flags(c, "yaml", "json")
	meshFlag(c, &from, "from", "the mesh", true)
	c.Flags().StringVar(&keep, "keep", "", "write the objects that were not understood whole to `FILE`, as they were")
	_ = c.MarkFlagRequired("from")
	return c
}

func writeSMI(c *cobra.Command, format string, facts []model.Fact, findings []entry) error {
	items := make([]any, 0, len(facts))
	for _, it := range smi.FromFacts(facts) {
		o, found := smi.Encode(it, "")
		if o == nil {
			panic(fmt.Sprintf("import: %s has no newest version: %v", it.Head().Name, found))
		}
		items = append(items, o)
	}
	if format == "json" {
		return write(c.OutOrStdout(), "json", map[string]any{"objects": items, "findings": findings})
	}
	return documents(c, items)
}

// documents writes a stream of YAML documents.
func documents(c *cobra.Command, items []any) error {
	var out []byte
	for _, v := range items {
		out = object.AppendYAML(out, v)
	}
	_, err := c.OutOrStdout().Write(out)
	return err
}

func kept(path string, list []*object.Object) error {
	if path == "" {
		return nil
	}
	var out []byte
	for _, o := range list {
		out = object.AppendYAML(out, o)
	}
	return os.WriteFile(path, out, 0o644)
}
