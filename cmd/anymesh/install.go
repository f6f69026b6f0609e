// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube/adopt"
	"github.com/anymesh/anymesh/kube/install"
	"github.com/anymesh/anymesh/model"
)

// settle is when every API server of a cluster is sure to know a changed definition.
const settle = 5 * time.Second

// installing is what install and uninstall are told by their flags.
type installing struct {
	cluster
	set    []string
	only   bool
	dry    bool
	limit  time.Duration
	format string
}

// values are the defaults with what --set says.
func (in *installing) values() (*manifest.Values, error) {
	v := manifest.Defaults()
	v.Namespace = in.system
	for _, s := range in.set {
		if err := v.Set(s); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// installation opens the cluster. Progress is told on standard error.
func (in *installing) installation(c *cobra.Command) (*install.Installation, error) {
	v, err := in.values()
	if err != nil {
		return nil, err
	}
	k, err := in.open()
	if err != nil {
		return nil, err
	}
	return &install.Installation{Cluster: k, Values: v, Only: in.only, Limit: in.limit, Settle: settle,
		Tell: func(what, how string) { fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", what, how) }}, nil
}

func installCommand() *cobra.Command {
	in := installing{}
	c := &cobra.Command{
		Use: "install", Short: "Put anymesh into a cluster, and take over the SMI definitions that are there", GroupID: "cluster", Args: nothing,
		Long: `install applies the CustomResourceDefinitions of SMI in all versions, the controller with its webhook,
and the permissions for the meshes that are enabled and no others.

Definitions that another mesh made are taken over without losing an object: they learn the other
versions and the conversion webhook while they store as before; every object is tried; then the newest
version becomes the stored one and every object is written anew. Where an object would not survive
that, all of them are listed with field and advice, and nothing is done. An interrupted install goes on
when it is run again; it also upgrades.

Exit codes: 0 done, 1 failure, 5 objects that are there would be lost or could no longer be changed.`,
		Example: `  anymesh install --dry-run
  anymesh install --set meshes=istio --set replicas=3
  anymesh install --only-crds           # where Helm installs the rest
  anymesh install -o yaml > anymesh.yaml`,
		RunE: func(c *cobra.Command, _ []string) error {
			if in.format != "" {
				return in.print(c)
			}
			i, err := in.installation(c)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			p, err := i.Plan(ctx)
			if err != nil {
				return err
			}
			if in.dry {
				tellPlan(c.OutOrStdout(), p)
			} else if err = i.Do(ctx, p); err == nil && !in.only && in.limit > 0 {
				err = i.Ready(ctx)
			}
			if err == nil && in.dry {
				err = refused(p)
			}
			if err = lost(c, err); err != nil || in.dry {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s anymesh is installed in %s; anymesh check looks at it\n", report.Mark(model.Exact), in.system)
			return err
		},
	}
	in.cluster.flags(c)
	in.systemFlag(c, "namespace", "n")
	f := c.Flags()
	f.StringArrayVar(&in.set, "set", nil, "change a `NAME=VALUE` of the chart's values: replicas=3, image.tag=1.2, meshes=istio,kuma; may be repeated")
	f.BoolVar(&in.only, "only-crds", false, "make, take over and upgrade the definitions, and nothing else")
	f.BoolVar(&in.dry, "dry-run", false, "say every step, and do nothing")
	f.DurationVar(&in.limit, "wait", 5*time.Minute, "how long to wait for the controller, and for its webhook; 0: do not wait where nothing needs it")
	formatOrNone(c, &in.format)
	complete(c, "set", "meshes="+strings.Join(manifest.Meshes(), ","))
	return c
}

// formatOrNone adds -o to a command that writes objects only where it is asked to.
func formatOrNone(c *cobra.Command, into *string) {
	c.Flags().StringVarP(into, "output", "o", "", "only write the objects as `FORMAT`: yaml, json; no cluster is asked")
	complete(c, "output", "yaml", "json")
	c.PreRunE = func(*cobra.Command, []string) error {
		if *into != "" && *into != "yaml" && *into != "json" {
			return misused(c, fmt.Errorf("-o %s: the formats are yaml, json", *into))
		}
		return nil
	}
}

// print writes what would be applied.
func (in *installing) print(c *cobra.Command) error {
	v, err := in.values()
	if err != nil {
		return err
	}
	i := install.Installation{Values: v}
	all := i.Manifests(in.only)
	if in.format == "json" {
		return report.Write(c.OutOrStdout(), "json", map[string]any{"apiVersion": "v1", "kind": "List", "items": all})
	}
	return report.Stream(c.OutOrStdout(), all)
}

// refused is the refusal that a plan leads to; nil where it can be done.
func refused(p *install.Plan) error {
	var r adopt.Refused
	for _, d := range p.Definitions {
		if len(d.Faults) > 0 {
			r.Definitions = append(r.Definitions, d)
		}
	}
	if len(r.Definitions) == 0 {
		return nil
	}
	return &r
}

// lost says on standard error what a refusal is about, and gives it its exit code.
func lost(c *cobra.Command, err error) error {
	var r *adopt.Refused
	if !errors.As(err, &r) {
		return err
	}
	fmt.Fprintln(c.ErrOrStderr(), "anymesh:", err)
	return exit(exitInvalid)
}

// tellPlan writes a plan for a person.
func tellPlan(w io.Writer, p *install.Plan) {
	for _, d := range p.Definitions {
		switch {
		case len(d.Faults) > 0:
			fmt.Fprintf(w, "%s %s: %s's, cannot be taken over\n", report.Mark(model.Invalid), d.Name, d.Whose)
		case len(d.Steps) == 0:
			fmt.Fprintf(w, "= %s\n", d.Name)
		case d.Whose == "":
			fmt.Fprintf(w, "+ %s\n", d.Name)
		default:
			fmt.Fprintf(w, "~ %s: %s's, stored as %s, %s\n", d.Name, d.Whose, strings.Join(d.Stored, ", "), report.Count(d.Objects, "object"))
			for n, s := range d.Steps {
				fmt.Fprintf(w, "    %d. %s\n", n+1, d.Say(s))
			}
		}
		for _, n := range d.Notes {
			fmt.Fprintf(w, "    %s %s\n", report.Mark(model.Notice), n)
		}
	}
	for _, a := range p.Objects {
		fmt.Fprintf(w, "%s %s %s\n", map[string]string{"create": "+", "change": "~", "delete": "-"}[a.Do], a.Kind, a.Name)
	}
}
