// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/became"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/outcome"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
)

func statusCommand() *cobra.Command {
	var k asking
	var format string
	c := &cobra.Command{
		Use: "status [KIND[/NAME]]", Short: "Say what became of SMI objects in each mesh of a cluster", GroupID: "cluster",
		Args: count(0, 1, "at most one kind, such as trafficsplits or ts/web, or mesh"),
		Long: `status prints, for each SMI object, what the controller says of it: whether it is sound, whether what it
names is there, and what each mesh makes of it. With -o wide it says why, condition by condition. KIND is
a kind, its plural or its short name; mesh lists the meshes.

Exit codes: 0 all programmed, 1 failure, 4 something is not programmed, 5 something is not accepted.`,
		Example: "  anymesh status -A\n  anymesh status ts -n shop -o wide\n  anymesh status traffictarget/web -o yaml\n  anymesh status mesh",
		RunE: func(c *cobra.Command, args []string) error {
			return k.run(c, strings.Join(args, ""), format)
		},
	}
	k.flags(c)
	c.Flags().StringVarP(&k.namespace, "namespace", "n", "", "`NAMESPACE` of the objects; the context's without")
	c.Flags().BoolVarP(&k.every, "all-namespaces", "A", false, "objects of all namespaces")
	formatFlag(c, &format, "table", "wide", "json", "yaml")
	for _, k := range smi.Kinds() {
		c.ValidArgs = append(c.ValidArgs, outcome.Plural(k))
	}
	c.ValidArgs = append(c.ValidArgs, "mesh")
	return c
}

// asking is what status is told by its flags.
type asking struct {
	cluster
	namespace string
	every     bool
}

// run prints the objects that a word names: a kind, or kind/name; all for none.
func (k *asking) run(c *cobra.Command, word, format string) error {
	conn, err := k.open()
	if err != nil {
		return err
	}
	var q outcome.Query
	kind, name, _ := strings.Cut(word, "/")
	q.Name = name
	if slices.Contains([]string{"mesh", "meshes"}, strings.ToLower(kind)) {
		meshes, err := outcome.Meshes(c.Context(), conn)
		if err != nil {
			return err
		}
		if name != "" {
			meshes = slices.DeleteFunc(meshes, func(m api.Mesh) bool { return m.Name != name })
		}
		return became.Meshes(c.OutOrStdout(), format, meshes)
	}
	if q.Kinds, err = kindsOf(kind); err != nil {
		return err
	}
	if !k.every {
		q.Namespace = cmp.Or(k.namespace, conn.Namespace)
	}
	list, err := outcome.List(c.Context(), conn, q)
	if err != nil {
		return err
	}
	if name != "" && len(list) == 0 {
		return fmt.Errorf("there is no %s in namespace %s", word, q.Namespace)
	}
	if err := became.Objects(c.OutOrStdout(), format, list); err != nil {
		return err
	}
	return verdict(list)
}

// shorts are the short names of the kinds, as kubectl has them.
var shorts = map[string]model.Kind{"ts": model.KindSplit, "tt": model.KindPermission, "htr": model.KindGroup, "tr": model.KindTCPRoute, "ur": model.KindUDPRoute,
	"ib": model.KindBinding}

// kindsOf finds the kind that a user means; all for none.
func kindsOf(name string) ([]model.Kind, error) {
	if name == "" || name == "all" {
		return nil, nil
	}
	word, _, _ := strings.Cut(strings.ToLower(name), ".")
	if k, ok := shorts[word]; ok {
		return []model.Kind{k}, nil
	}
	var known []string
	for _, k := range smi.Kinds() {
		if word == strings.ToLower(string(k)) || word == outcome.Plural(k) {
			return []model.Kind{k}, nil
		}
		known = append(known, outcome.Plural(k))
	}
	known = append(known, "mesh")
	return nil, fmt.Errorf("SMI has no kind %q; there are %s. %s", name, strings.Join(known, ", "), object.Suggest(word, known))
}

// verdict is the exit code of what became of objects.
func verdict(list []outcome.Object) error {
	worst := exitOK
	for i := range list {
		s := &list[i].Status
		if c := outcome.Condition(s.Conditions, api.Accepted); c != nil && c.Status == "False" {
			return exit(exitInvalid)
		}
		if c := outcome.Condition(s.Conditions, api.Programmed); c != nil && c.Status == "False" {
			worst = exitUnsupported
		}
	}
	if worst != exitOK {
		return exit(worst)
	}
	return nil
}
