// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

func convertCommand() *cobra.Command {
	var in input
	var out output
	var to string
	c := &cobra.Command{
		Use: "convert --to GROUP/VERSION -f FILE|DIR|-", Short: "Convert SMI objects to another version of their API", GroupID: "move", Args: files,
		Long: `convert writes the objects of the group in the version, and every other object as it is. What an older
version cannot hold travels in the annotation anymesh.dev/preserved, from which the way back restores
it: nothing is lost, and nothing is allowed that was not.

Exit codes: 0 done, 1 failure, 5 invalid input.`,
		Example: `  anymesh convert --to split.smi-spec.io/v1alpha2 -f shop/
  anymesh convert --to specs.smi-spec.io/v1alpha4 -f old.yaml | anymesh convert --to access.smi-spec.io/v1alpha4 -f -`,
		RunE: func(c *cobra.Command, _ []string) error {
			if known := versions(); !slices.Contains(known, to) {
				err := fmt.Errorf("--to %s: there is no such version", to)
				if hint := object.Suggest(to, known); strings.HasPrefix(hint, "Did") {
					err = fmt.Errorf("%w. %s", err, hint)
				}
				return fmt.Errorf("%w\nThere are:\n  %s", err, strings.Join(known, "\n  "))
			}
			got, err := in.objects(c, false)
			if err != nil {
				return err
			}
			return convert(got, to).write(c, &out)
		},
	}
	in.fileFlags(c)
	out.flags(c)
	c.Flags().StringVar(&to, "to", "", "write the objects of a group in `GROUP/VERSION`: for example "+smi.Newest(model.KindSplit))
	complete(c, "to", versions()...)
	need(c, "to", "--to GROUP/VERSION")
	return c
}

func convert(got *file.Input, to string) *made[*object.Object] {
	m := &made[*object.Object]{where: got.Positions, findings: got.Findings}
	done, seen := 0, map[model.Ref]bool{}
	for _, o := range got.Objects {
		if group(o.APIVersion) == group(to) {
			v, found := smi.Convert(o, to)
			for _, f := range found {
				f.Object.Namespace = o.Namespace // as it was read: the text may name none
				m.findings = append(m.findings, f)
			}
			seen[model.Ref{Kind: model.Kind(o.Kind), Name: model.Name{Namespace: o.Namespace, Name: o.Name}}] = true
			if o = v; o.APIVersion == to {
				done++ // where not, a finding says that the version lacks the kind
			}
		}
		m.objects = append(m.objects, o)
	}
	for _, e := range got.Events {
		if seen[e.Object] {
			m.findings = append(m.findings, e.Findings...) // what was wrong stays wrong in any version
		}
	}
	m.findings = engine.Sort(m.findings)
	m.summary = fmt.Sprintf("%s: %s in this version, of %d read", to, report.Count(done, "object"), len(got.Objects))
	if s := report.Summary(m.findings); s != "" {
		m.summary += "; " + s
	}
	return m
}

// versions lists every version of every group of SMI.
func versions() []string {
	var out []string
	for _, k := range smi.Kinds() {
		out = append(out, smi.Versions(k)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
