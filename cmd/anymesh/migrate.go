// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/move"
	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/kube/read"
	"github.com/anymesh/anymesh/kube/source"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/migrate"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

// moving is what migrate is told by its flags.
type moving struct {
	input
	cluster
	from, to          string
	keep, dir, format string
	requests          int
	seed              uint64
	live              bool // a cluster is read
}

func migrateCommand() *cobra.Command {
	o := moving{input: input{optional: true}}
	c := &cobra.Command{
		Use: "migrate --from MESH --to MESH [-f FILE|DIR|-]", Short: "Plan the way from one mesh to another, and prove that it means the same", GroupID: "move", Args: files,
		Long: `migrate imports what a mesh is told, says it for another, and writes the plan in between: namespace by
namespace what is created, what must be removed in the same step and why, which marks on the namespace
change and what is restarted, what to check, and the way back. It writes to no cluster.

Then it asks both sides the same requests, made from the conditions of the objects, from what just
fails them, and at random, and prints every difference with the simplest request that shows it. The mesh
that is left means what the import made of it; the other, what its own importer reads in what was
written for it. Where it has none, the check is left out, and says so.

Give the mesh's objects with the Services and workloads, and with the Namespaces where there are any.
Without -f all of that is read from the cluster of the kubeconfig.

Exit codes: 0 the same in meaning, 1 failure, or something is admitted that was not and the report does
not say so; 3 approximate, 4 unsupported, 5 invalid input, 6 a difference was found. The worst counts.`,
		Example: `  anymesh migrate --from istio --to builtin -f istio/ -f workloads.yaml
  anymesh migrate --from istio --to builtin -f everything.yaml --namespace shop --out plan/
  anymesh migrate --from istio --to builtin --context live --keep left.yaml -o json > plan.json`,
		RunE: func(c *cobra.Command, _ []string) error {
			o.live = !c.Flags().Changed("file")
			if !o.live && (c.Flags().Changed("context") || c.Flags().Changed("kubeconfig")) {
				return misused(c, errors.New("migrate reads files or a cluster: leave out -f, or --context and --kubeconfig"))
			}
			return o.run(c)
		},
	}
	o.flags(c)
	return c
}

func (o *moving) flags(c *cobra.Command) {
	o.input.flags(c)
	f := c.Flags()
	f.Lookup("namespace").Usage = "move one `NAMESPACE` alone, which is also that of objects which say none"
	o.cluster.flags(c)
	formatFlag(c, &o.format, "text", "json", "yaml")
	meshFlag(c, &o.from, "from", "leave", true)
	meshFlag(c, &o.to, "to", "enter", false)
	f.StringVar(&o.keep, "keep", "", "write the objects that were not understood whole to `FILE`, as they were")
	f.StringVar(&o.dir, "out", "", "write the objects into `DIR`, by step and namespace, with plan.txt and the way back")
	_ = c.MarkFlagDirname("out")
	f.IntVar(&o.requests, "requests", 1000, "`NUMBER` of random requests that both sides are asked, beside those of the conditions")
	f.Uint64Var(&o.seed, "seed", 1, "`NUMBER` that the random requests begin with")
}

func (o *moving) run(c *cobra.Command) error {
	m := &migrate.Move{Requests: o.requests, Seed: o.seed, Namespaces: map[string]migrate.Labels{}}
	var err error
	if m.From, m.To, err = ends(o.from, o.to); err != nil {
		return err
	}
	if c.Flags().Changed("namespace") {
		m.Namespace = o.namespace
	}
	var where report.Places = &file.Positions{}
	var beside []*object.Object
	var findings []model.Finding
	if o.live {
		err = o.inCluster(c, m)
	} else {
		where, beside, findings, err = o.inFiles(c, m)
	}
	if err != nil {
		return err
	}
	if m.Files = "-f smi.yaml -f services.yaml"; o.dir != "" {
		m.Files = "-f " + filepath.Join(o.dir, "smi.yaml") + " -f " + filepath.Join(o.dir, "beside.yaml")
	}
	r := m.Run()
	r.Findings = engine.Sort(append(r.Findings, findings...))
	if o.live && o.dir != "" {
		gathered(r, o.dir)
	}
	if err := kept(o.keep, r.Kept); err != nil {
		return err
	}
	if err := o.write(c, m, r, beside, where); err != nil {
		return err
	}
	return moved(r)
}

// ends finds the two meshes.
func ends(from, to string) (a, b *mesh.Driver, err error) {
	if a, err = driver(from); err != nil {
		return nil, nil, err
	}
	if b, err = driver(to); err != nil {
		return nil, nil, err
	}
	switch {
	case a == b:
		return nil, nil, fmt.Errorf("--from %s --to %s: that is one mesh", from, to)
	case a.Import == nil:
		return nil, nil, fmt.Errorf("--from %s: %s has no configuration of its own to import", from, a.Title)
	case !b.Writes():
		return nil, nil, fmt.Errorf("--to %s: %s is only read", to, b.Title)
	}
	return a, b, nil
}

// inFiles reads all that is known from files.
func (o *moving) inFiles(c *cobra.Command, m *migrate.Move) (report.Places, []*object.Object, []model.Finding, error) {
	got, events, err := o.read(c, false)
	if err != nil {
		return nil, nil, nil, err
	}
	m.Objects, m.Events = got.Objects, events
	var beside []*object.Object
	for _, x := range got.Objects {
		if x.Kind == "Namespace" && x.APIVersion == "v1" {
			m.Namespaces[x.Name] = migrate.Labels{Labels: x.Labels, Annotations: x.Annotations}
		}
		if !slices.Contains(got.Native, x) && !smi.Speaks(x.APIVersion, x.Kind) {
			beside = append(beside, x)
		}
	}
	return got.Positions, beside, got.Findings, nil
}

// patience is for how long a cluster may take to say everything.
const patience = 2 * time.Minute

// inCluster reads all that is known from a cluster.
func (o *moving) inCluster(c *cobra.Command, m *migrate.Move) error {
	settings, err := o.set()
	if err != nil {
		return err
	}
	conn, err := o.open()
	if errors.Is(err, connect.ErrNone) {
		return misused(c, fmt.Errorf("migrate needs -f FILE|DIR|-, or a cluster: %w", err))
	} else if err != nil {
		return err
	}
	ctx, stop := interruptible(c.Context())
	defer stop()
	ctx, end := context.WithTimeout(ctx, patience)
	defer end()
	known, err := source.Once(ctx, conn.Cluster, source.Options{Namespace: func(name string, labels map[string]string) {
		m.Namespaces[name] = migrate.Labels{Labels: labels}
	}})
	if err != nil {
		return err
	}
	m.Events = append([]store.Event{settings}, known...)
	m.Objects, err = read.Native(ctx, conn.Cluster, m.From)
	return err
}

// gathered puts before the first check of each namespace how the Services and workloads come into a file: of a cluster only what they mean is
// read.
func gathered(r *migrate.Result, dir string) {
	for i := range r.Plan.Parts {
		for k := range r.Plan.Parts[i].Steps {
			if s := &r.Plan.Parts[i].Steps[k]; s.Name == migrate.Verify {
				s.Actions = append([]migrate.Action{{Do: migrate.Run, Why: "what the commands below read beside",
					Command: "kubectl get services,serviceaccounts,pods,deployments,statefulsets,daemonsets -A -o yaml > " + filepath.Join(dir, "beside.yaml")}}, s.Actions...)
			}
		}
	}
}

// write shows the result, and puts its files where they are asked for.
func (o *moving) write(c *cobra.Command, m *migrate.Move, r *migrate.Result, beside []*object.Object, where report.Places) error {
	var text strings.Builder
	if err := move.Print(&text, m, r, where, o.dir); err != nil {
		return err
	}
	if o.dir != "" {
		if err := move.Write(o.dir, r, beside, text.String()); err != nil {
			return unread("--out", err)
		}
	}
	if o.format == "text" {
		_, err := fmt.Fprint(c.OutOrStdout(), text.String())
		return err
	}
	return report.Write(c.OutOrStdout(), o.format, move.Of(m, r, where))
}

// moved is the exit code of a migration.
func moved(r *migrate.Result) error {
	if slices.ContainsFunc(r.Check.Differences, func(d migrate.Difference) bool { return d.Fault() }) {
		return errors.New("something is admitted that was not, and nothing in the report says so. This is a fault of anymesh: do not switch, and report it with the input that shows it")
	}
	err := worst(r.Findings)
	if err != exit(exitInvalid) && len(r.Check.Differences) > 0 {
		return exit(exitDifferent)
	}
	return err
}
