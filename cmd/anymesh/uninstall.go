// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/kube/install"
	"github.com/anymesh/anymesh/model"
)

func uninstallCommand() *cobra.Command {
	in := installing{}
	var ok install.Agreed
	var sure bool
	c := &cobra.Command{
		Use: "uninstall", Short: "Take anymesh out of a cluster, and leave users' objects", GroupID: "cluster", Args: nothing,
		Long: `uninstall removes the controller, its webhook and its permissions. SMI objects and their definitions
stay. So do the objects that anymesh wrote into meshes: what they allow, refuse and route stays in force
until they are deleted, with --mesh-objects or by their label anymesh.dev/mesh.

Without the webhook nothing converts. A definition goes back to conversion None where that loses
nothing: a version whose schema is the stored one's stays served, the others can not. Where there are
such others nothing is done, and you are told who writes them, until you say --drop-versions.

--crds deletes the definitions, and with them every SMI object of every namespace; it wants
--delete-all-smi-objects besides.

Exit codes: 0 done, 1 failure, 5 something would be lost that has not been agreed to.`,
		Example: "  anymesh uninstall --dry-run\n  anymesh uninstall --drop-versions\n  anymesh uninstall --crds --delete-all-smi-objects",
		RunE: func(c *cobra.Command, _ []string) error {
			if ok.Crds && !sure && !in.dry {
				return misused(c, fmt.Errorf("--crds deletes every SMI object of every namespace: say --delete-all-smi-objects too"))
			}
			i, err := in.installation(c)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			r, err := i.Removal(ctx)
			if err != nil {
				return err
			}
			if in.dry {
				tellRemoval(c.OutOrStdout(), r, ok)
				return nil
			}
			if err := lost(c, i.Remove(ctx, r, ok)); err != nil {
				return err
			}
			tellRemoved(c.OutOrStdout(), r, ok)
			return nil
		},
	}
	in.cluster.flags(c)
	in.systemFlag(c, "namespace", "n")
	in.limit = time.Minute
	f := c.Flags()
	f.BoolVar(&in.dry, "dry-run", false, "say what would go and what would stay, and do nothing")
	f.BoolVar(&ok.Versions, "drop-versions", false, "agree that versions which only conversion can serve are served no more")
	f.BoolVar(&ok.Native, "mesh-objects", false, "delete what anymesh wrote into meshes too: what it refused is then open, as the mesh decides")
	f.BoolVar(&ok.Crds, "crds", false, "delete the definitions too, and with them every SMI object")
	f.BoolVar(&sure, "delete-all-smi-objects", false, "agree to what --crds does")
	return c
}

func tellRemoval(w io.Writer, r *install.Removal, ok install.Agreed) {
	for _, d := range r.Definitions {
		if ok.Crds {
			fmt.Fprintf(w, "- %s, with %s\n", d.Name, report.Count(d.Objects, "object"))
			continue
		}
		fmt.Fprintf(w, "= %s, with %s; serves %s\n", d.Name, report.Count(d.Objects, "object"), strings.Join(d.Keeps, ", "))
		if len(d.Loses) > 0 {
			fmt.Fprintf(w, "    - %s, which only conversion can serve: wants --drop-versions\n", strings.Join(d.Loses, ", "))
		}
		for _, f := range d.Faults {
			fmt.Fprintf(w, "    %s %s\n      → %s\n", report.Mark(model.Invalid), f, f.Do)
		}
	}
	for _, a := range r.Objects {
		fmt.Fprintf(w, "- %s %s\n", a.Kind, a.Name)
	}
	if ok.Native {
		for kind, n := range r.Native {
			fmt.Fprintf(w, "- %s of %s\n", report.Count(n, "object"), kind)
		}
	} else {
		tellNative(w, r)
	}
	tellKeeps(w, r)
}

// tellRemoved says what has gone, and what stays.
func tellRemoved(w io.Writer, r *install.Removal, ok install.Agreed) {
	if r.Helm {
		fmt.Fprintf(w, "%s the definitions need anymesh no more; Helm installed the rest: helm uninstall -n %s\n", report.Mark(model.Exact), r.Namespace)
		return
	}
	fmt.Fprintf(w, "%s anymesh is out of %s\n", report.Mark(model.Exact), r.Namespace)
	if !ok.Native {
		tellNative(w, r)
	}
	tellKeeps(w, r)
}

// tellNative says what stays in the meshes.
func tellNative(w io.Writer, r *install.Removal) {
	n := 0
	for _, x := range r.Native {
		n += x
	}
	if n > 0 {
		fmt.Fprintf(w, "= %s in meshes: what they allow, refuse and route stays in force; --mesh-objects deletes them\n", report.Count(n, "object"))
	}
}

func tellKeeps(w io.Writer, r *install.Removal) {
	if len(r.Keeps) > 0 {
		fmt.Fprintf(w, "= Namespace %s, in which others live: %s\n", r.Namespace, strings.Join(r.Keeps, ", "))
	}
}
