// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

func translateCommand() *cobra.Command {
	var in input
	var to, report string
	var all bool
	c := &cobra.Command{
		Use: "translate --to MESH -f FILE|DIR|-", Short: "Say SMI in a mesh's own language", GroupID: "move", Args: cobra.NoArgs,
		Long: `translate writes the objects of a mesh to standard output, and to standard error what it could not say, field by field.

Give the Services and workloads beside the SMI objects: ports, protocols and the labels of an identity's workloads come from
them. Where a namespace has no Service at all, those that its splits name are assumed.`,
		Example: "  anymesh translate --to istio -f shop/ > istio.yaml\n  kubectl get ts,httproutegroups,traffictargets,svc,deploy -A -o yaml | anymesh translate --to istio -f - -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := in.translate(c, to)
			if err != nil {
				return err
			}
			return t.report(c, in.output, report, all)
		},
	}
	in.flags(c, "yaml", "json")
	meshFlag(c, &to, "to", "the mesh", false)
	c.Flags().StringVar(&report, "report", "", "write the report to `FILE` and not to standard error")
	c.Flags().BoolVar(&all, "all", false, "report what is exact too")
	_ = c.MarkFlagRequired("to")
	return c
}

// translation is what a mesh would be told.
type translation struct {
	driver   *mesh.Driver
	objects  []*mesh.Object
	findings []model.Finding // of every wish, the exact ones too
	where    places
}

// translate reads the input and translates it for one mesh.
func (in *input) translate(c *cobra.Command, to string) (*translation, error) {
	d, err := driver(to)
	if err != nil {
		return nil, err
	}
	got, events, err := in.read(c, true)
	if err != nil {
		return nil, err
	}
	e := engine.New(engine.Target{Driver: d, Every: true})
	e.Set(events...)
	t := &translation{driver: d, where: got.Positions}
	for _, ch := range e.Flush()[0].Changes {
		t.objects = append(t.objects, ch.Object)
	}
	slices.SortStableFunc(t.objects, func(a, b *mesh.Object) int { return a.Name.Compare(b.Name) })
	t.findings = engine.Sort(append(e.Findings(), got.Findings...))
	return t, nil
}

// report prints objects and findings. Its error carries the exit code.
func (t *translation) report(c *cobra.Command, format, path string, all bool) error {
	shown := slices.DeleteFunc(slices.Clone(t.findings), func(f model.Finding) bool { return f.Level == model.Exact && !all })
	if format == "json" {
		objects := t.objects
		if objects == nil {
			objects = []*mesh.Object{}
		}
		if err := write(c.OutOrStdout(), "json", map[string]any{"objects": objects, "findings": entries(t.findings, t.where)}); err != nil {
			return err
		}
	} else if err := file.WriteStream(c.OutOrStdout(), t.objects); err != nil {
		return err
	}
	var w io.Writer = c.ErrOrStderr()
	if path != "" {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if format == "json" {
			if err := write(f, "json", entries(t.findings, t.where)); err != nil {
				return err
			}
			return worst(t.findings)
		}
		w = f
	}
	if format != "json" {
		print(w, shown, t.where)
		if all {
			for _, f := range t.findings {
				if f.Level == model.Exact {
					fmt.Fprintf(w, "%s exact %s %s (%s)\n", marks[model.Exact], f.Object, f.Path, f.Feature)
				}
			}
		}
		fmt.Fprintf(w, "%s: %d objects; %s\n", t.driver.Title, len(t.objects), summary(t.findings))
	}
	return worst(t.findings)
}
