// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh"
)

func translateCommand() *cobra.Command {
	var in input
	var out output
	var to string
	c := &cobra.Command{
		Use: "translate --to MESH -f FILE|DIR|-", Short: "Say SMI in a mesh's own language", GroupID: "move", Args: files,
		Long: `translate writes a mesh's own objects to standard output, and to standard error what of the input it
could not say in them, field by field. The same input always gives the same bytes.

Give the Services and workloads beside the SMI objects: ports, protocols and the labels of an
identity's workloads come from them. Where a namespace has no Service at all, those that its splits
name are assumed.

` + exitLevels,
		Example: `  anymesh translate --to istio -f shop/ > istio.yaml
  anymesh translate --to istio -f smi.yaml -f services.yaml --report report.txt
  kubectl get ts,httproutegroups,traffictargets,svc,deploy -A -o yaml | anymesh translate --to istio -f - -o json`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := in.translate(c, to)
			if err != nil {
				return err
			}
			return t.write(c, &out)
		},
	}
	in.flags(c)
	out.flags(c)
	meshFlag(c, &to, "to", "write for", false)
	c.Flags().BoolVar(&out.all, "all", false, "report what is exact too, as JSON always does")
	return c
}

// translate reads the input and translates it for one mesh. The findings are of every wish, the exact ones too.
func (in *input) translate(c *cobra.Command, to string) (*made[*mesh.Object], error) {
	d, err := writer(to)
	if err != nil {
		return nil, err
	}
	got, events, err := in.read(c, true)
	if err != nil {
		return nil, err
	}
	e := engine.New(engine.Target{Driver: d, Every: true})
	e.Set(events...)
	t := &made[*mesh.Object]{where: got.Positions}
	for _, ch := range e.Flush()[0].Changes {
		t.objects = append(t.objects, ch.Object)
	}
	slices.SortStableFunc(t.objects, func(a, b *mesh.Object) int { return a.Name.Compare(b.Name) })
	t.findings = engine.Sort(append(e.Findings(), got.Findings...))
	t.summary = fmt.Sprintf("%s: %s", d.Title, report.Count(len(t.objects), "object"))
	if s := report.Summary(t.findings); s != "" {
		t.summary += "; " + s
	}
	return t, nil
}
