// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

func importCommand() *cobra.Command {
	var in input
	var out output
	var from, keep string
	c := &cobra.Command{
		Use: "import --from MESH -f FILE|DIR|-", Short: "Read a mesh's own configuration back into SMI", GroupID: "move", Args: files,
		Long: `import writes SMI objects to standard output, and to standard error what it did not understand, by
object and field. What restricts and was not understood grants nothing: the import never allows more
than the mesh did. Objects of which a part was not understood are kept, as they were, with --keep.

Give the Services and workloads beside the mesh's objects: identities are found by the labels that
the mesh selects by.

` + exitLevels,
		Example: `  anymesh import --from istio -f istio/ -f workloads.yaml > smi.yaml
  anymesh import --from istio -f istio/ -f workloads.yaml --keep rest.yaml --report report.txt > smi.yaml
  anymesh import --from istio -f istio/ | anymesh translate --to builtin -f -`,
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := driver(from)
			if err != nil {
				return err
			}
			if d.Import == nil {
				return fmt.Errorf("--from %s: %s has no configuration of its own to import", from, d.Title)
			}
			got, events, err := in.read(c, false)
			if err != nil {
				return err
			}
			read := &mesh.Input{Objects: got.Native, World: gather(events), Mesh: d.Name}
			d.Import(read)
			if err := kept(keep, read.Kept); err != nil {
				return err
			}
			findings := append(append(read.Findings, got.Findings...), settled(d, read.Facts)...)
			m := made[*object.Object]{objects: encode(read.Facts), where: got.Positions, findings: engine.Sort(findings)}
			m.summary = told(d, read, len(m.objects))
			return m.write(c, &out)
		},
	}
	in.flags(c)
	out.flags(c)
	meshFlag(c, &from, "from", "read the objects of", true)
	c.Flags().StringVar(&keep, "keep", "", "write the objects that were not understood whole to `FILE`, as they were")
	return c
}

// settled says what the mesh had decided for all of itself: no SMI object holds it, so that whoever runs what was imported has to say it.
func settled(d *mesh.Driver, facts []model.Fact) (out []model.Finding) {
	for _, f := range facts {
		if s, ok := f.(*model.Settings); ok && s.Access != model.AccessTargeted {
			out = append(out, model.Finding{Mesh: d.Name, Level: model.Approximate, Code: model.CodeNotUnderstood, Object: s.Ref(), Path: "accessDefault",
				Message: "the mesh is closed where nothing permits, and SMI has no object for that", Hint: "Run what is imported with --access-default " + s.Access.String() + "."})
		}
	}
	return out
}

// told is the last line of the report. Objects that are not of the mesh's APIs and were not kept say nothing to it: a ConfigMap that
// stands beside is not counted as understood.
func told(d *mesh.Driver, read *mesh.Input, objects int) string {
	groups := map[string]bool{}
	for _, k := range slices.Concat(d.Kinds, d.Reads) {
		groups[group(k.APIVersion)] = true
	}
	theirs := len(read.Kept)
	for _, o := range read.Objects {
		if groups[group(o.APIVersion)] && !slices.Contains(read.Kept, o) {
			theirs++
		}
	}
	if theirs == 0 {
		return fmt.Sprintf("%s: the input holds no object of its APIs", d.Title)
	}
	s := fmt.Sprintf("%s: %d of %s understood whole; SMI: %s", d.Title, theirs-len(read.Kept), report.Count(theirs, "object"), report.Count(objects, "object"))
	if others := len(read.Objects) - theirs; others > 0 {
		s += fmt.Sprintf("; %s of other APIs passed over", report.Count(others, "object"))
	}
	return s
}

// group is the group of an API; empty for Kubernetes' own core.
func group(apiVersion string) string {
	g, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		return ""
	}
	return g
}

// encode writes facts as SMI, in the newest version.
func encode(facts []model.Fact) (out []*object.Object) {
	for _, it := range smi.FromFacts(facts) {
		o, found := smi.Encode(it, "")
		if o == nil {
			panic(fmt.Sprintf("import: %s has no newest version: %v", it.Head().Name, found))
		}
		out = append(out, o)
	}
	return out
}

// kept writes the objects that were not understood whole; none leave an empty file, so that an old one is not taken for new.
func kept(path string, list []*object.Object) error {
	if path == "" {
		return nil
	}
	var text []byte
	for _, o := range list {
		text = object.AppendYAML(text, o)
	}
	return unread("--keep", os.WriteFile(path, text, 0o644))
}
