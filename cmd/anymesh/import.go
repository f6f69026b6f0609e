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
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
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
			read, findings := native(d, got, events)
			d.Import(read)
			if err := kept(keep, read.Kept); err != nil {
				return err
			}
			findings = slices.Concat(read.Findings, got.Findings, findings, settled(d, read.Facts))
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

// native is what a driver is given to read: the objects that are neither SMI's nor Kubernetes' own, and beside them what events say. To a mesh
// that reads SMI itself its objects of SMI are native too: they are taken out of what is known beside, with all that was found in them, which
// is what the input says of them before the mesh is asked.
func native(d *mesh.Driver, got *file.Input, events []store.Event) (*mesh.Input, []model.Finding) {
	speaks := map[string]bool{}
	for _, k := range slices.Concat(d.Kinds, d.Reads) {
		if smi.Speaks(k.APIVersion, k.Kind) {
			speaks[group(k.APIVersion)] = true
		}
	}
	theirs := func(o *object.Object) bool { return smi.Speaks(o.APIVersion, o.Kind) && speaks[group(o.APIVersion)] }
	in := &mesh.Input{Objects: slices.Clone(got.Native), Mesh: d.Name}
	taken := map[model.Ref]bool{}
	for _, o := range got.Objects {
		if slices.Contains(in.Objects, o) {
			continue // ours
		}
		ref := model.Ref{Kind: model.Kind(o.Kind), Name: model.Name{Namespace: o.Namespace, Name: o.Name}}
		if theirs(o) && !taken[ref] {
			taken[ref] = true
			in.Objects = append(in.Objects, o)
		}
	}
	var findings []model.Finding
	var beside []store.Event
	for _, e := range events {
		if !taken[e.Object] {
			beside = append(beside, e)
			continue
		}
		findings = append(findings, e.Findings...)
	}
	in.World = gather(beside)
	return in, findings
}

// settled says what the mesh had decided for all of itself: no SMI object holds it, so that whoever runs what was imported has to say it.
func settled(d *mesh.Driver, facts []model.Fact) (out []model.Finding) {
	for _, f := range facts {
		if s, ok := f.(*model.Settings); ok && s.Access != model.AccessTargeted {
			message := "the mesh is closed where nothing permits, and SMI has no object for that"
			if s.Access == model.AccessAllow {
				message = "the mesh is open whatever is permitted, and SMI has no object for that"
			}
			out = append(out, model.Finding{Mesh: d.Name, Level: model.Approximate, Code: model.CodeNotUnderstood, Object: s.Ref(), Path: "accessDefault",
				Message: message, Hint: "Run what is imported with --access-default " + s.Access.String() + "."})
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
