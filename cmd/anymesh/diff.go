// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/diff"
	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/kube/preview"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

// differing is what diff is told by its flags.
type differing struct {
	input
	cluster
	format, to, against string
}

func diffCommand() *cobra.Command {
	d := differing{input: input{optional: true}}
	c := &cobra.Command{
		Use: "diff [--to MESH] [-f FILE|DIR|-] [--against DIR]", Short: "Say what would change in a mesh: in a folder of its objects, or in a cluster", GroupID: "move", Args: files,
		Long: `diff --against translates the input and compares it with the objects in a folder, which may also be what
kubectl printed; its objects tell the mesh where --to does not. What the mesh could not say
of the input is reported on standard error.

Without --against diff looks at the cluster of the kubeconfig: it reads what the controller reads, and
asks the API server what the controller's objects would become, with its defaults, without writing
anything. With -f it says what would change if the input were applied; --to names one Mesh.

Objects that do not carry the label app.kubernetes.io/managed-by: anymesh are not ours: they are never
changed or deleted, and where one of them stands in the way of an object of ours there is a conflict.

Exit codes: 0 nothing would change, 1 failure, 5 invalid input, 6 something would change.`,
		Example: `  anymesh diff --to istio -f shop/ --against istio/
  anymesh diff --to istio -f shop/ --against istio/ -o json
  anymesh diff --context live
  anymesh diff --context live -f shop/canary.yaml`,
		RunE: func(c *cobra.Command, _ []string) error {
			if d.against == "" {
				return d.inCluster(c)
			}
			return d.inFolder(c)
		},
	}
	d.input.flags(c)
	d.cluster.flags(c)
	formatFlag(c, &d.format, "table", "json", "yaml")
	meshFlag(c, &d.to, "to", "compare with the objects of", false)
	c.Flags().StringVar(&d.against, "against", "", "the `DIR` to compare with")
	_ = c.MarkFlagDirname("against")
	return c
}

func (d *differing) inFolder(c *cobra.Command) error {
	if !c.Flags().Changed("file") {
		return misused(c, errors.New("diff --against needs -f FILE|DIR|-"))
	}
	there, err := file.Load(d.against)
	if err != nil {
		return unread("--against", err)
	}
	if d.to == "" {
		if d.to, err = recognise(there); err != nil {
			return err
		}
	}
	t, err := d.translate(c, d.to)
	if err != nil {
		return err
	}
	changes, err := diff.Compare(t.objects, there)
	if err != nil {
		return err
	}
	return d.tell(c, changes, heard{t.findings, t.findings, t.where})
}

// inCluster compares with what a cluster's meshes hold.
func (d *differing) inCluster(c *cobra.Command) error {
	conn, err := d.open()
	if errors.Is(err, connect.ErrNone) {
		return misused(c, fmt.Errorf("diff needs --against DIR, or a cluster: %w", err))
	} else if err != nil {
		return err
	}
	o := preview.Options{Mesh: d.to}
	var where report.Places = &file.Positions{}
	var findings []model.Finding
	if c.Flags().Changed("file") {
		got, events, err := d.read(c, false)
		if err != nil {
			return err
		}
		o.Settings, o.Files, where, findings = events[0], events[1:], got.Positions, got.Findings
	} else if o.Settings, err = d.set(); err != nil {
		return err
	}
	ctx, stop := interruptible(c.Context())
	defer stop()
	meshes, said, err := preview.Of(ctx, conn, o)
	if err != nil {
		return err
	}
	changes := []diff.Change{}
	for i := range meshes {
		there := map[mesh.Key]file.Existing{}
		for _, x := range meshes[i].There {
			there[x.Key] = file.Existing{Ours: x.Ours, JSON: x.JSON}
		}
		var wanted []diff.Wanted
		for _, x := range meshes[i].Wanted {
			wanted = append(wanted, diff.Wanted{Key: x.Key, JSON: x.JSON})
		}
		changes = append(changes, diff.Between(wanted, there)...)
	}
	given := findings
	for _, f := range said {
		if slices.ContainsFunc(o.Files, func(e store.Event) bool { return e.Object == f.Object }) {
			given = append(given, f)
		}
	}
	return d.tell(c, changes, heard{engine.Sort(append(said, findings...)), given, where})
}

// heard are findings, those of the input among them, and where they were found.
type heard struct {
	all, given []model.Finding
	where      report.Places
}

// tell prints what would change. Its error carries the exit code.
func (d *differing) tell(c *cobra.Command, changes []diff.Change, f heard) error {
	err := result(c, d.format, changes, func() error { return diff.Print(c.OutOrStdout(), changes) })
	if err != nil {
		return err
	}
	fmt.Fprint(c.ErrOrStderr(), report.Text(f.all, f.where, false))
	if worst(f.given) == exit(exitInvalid) {
		return exit(exitInvalid) // a broken text would be taken for a wish to delete
	}
	if len(changes) > 0 {
		return exit(exitDifferent)
	}
	return nil
}

// recognise tells the mesh by the objects of a folder: the one that writes all of their kinds, and of its releases the newest that does.
// Kinds that no mesh writes tell nothing, and objects of SMI only where we wrote them, for a mesh that reads SMI itself: others are
// somebody's wishes.
func recognise(there map[mesh.Key]file.Existing) (string, error) {
	drivers := all.Drivers()
	told := map[mesh.Key]bool{} // kinds, without a name
	for k, e := range there {
		k.Name = model.Name{}
		if smi.Speaks(k.APIVersion, k.Kind) && !e.Ours || !slices.ContainsFunc(drivers, func(d *mesh.Driver) bool { return writes(d, k) }) {
			continue
		}
		told[k] = true
	}
	if len(told) == 0 {
		return "", fmt.Errorf("the folder holds no object of a mesh that anymesh knows; say which is meant with --to MESH")
	}
	var whole, some []string
	for _, m := range all.Meshes() {
		for _, d := range append([]*mesh.Driver{m}, m.Older...) {
			n := 0
			for k := range told {
				if writes(d, k) {
					n++
				}
			}
			if n == len(told) {
				whole = append(whole, d.Name)
				break
			}
			if n > 0 {
				some = append(some, d.Name)
			}
		}
	}
	switch {
	case len(whole) == 1:
		return whole[0], nil
	case len(whole) > 1:
		return "", fmt.Errorf("the folder may be of %s; say which is meant with --to", strings.Join(whole, " or of "))
	}
	return "", fmt.Errorf("the folder holds objects of %s; say which is meant with --to", strings.Join(some, " and of "))
}

// writes says whether a driver writes objects of a kind.
func writes(d *mesh.Driver, k mesh.Key) bool {
	return slices.ContainsFunc(d.Kinds, func(x mesh.Kind) bool { return x.APIVersion == k.APIVersion && x.Kind == k.Kind })
}
