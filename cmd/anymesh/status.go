// SPDX-License-Identifier: Apache-2.0

package main

import (
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
	var k cluster
	var namespace, format string
	var every bool
	c := &cobra.Command{
		Use: "status [KIND[/NAME]]", Short: "Say what became of SMI objects in each mesh of a cluster", GroupID: "cluster",
		Args: count(0, 1, "at most one kind, such as trafficsplits or ts/web, or mesh"),
		Long: `status prints, for each SMI object, what the controller says of it: whether it is sound, whether what it
names is there, and what each mesh makes of it. With -o wide it says why, condition by condition. KIND is
a kind, its plural or its short name; mesh lists the meshes.

Exit codes: 0 all programmed, 1 failure, 4 something is not programmed, 5 something is not accepted.`,
		Example: "  anymesh status -A\n  anymesh status ts -n shop -o wide\n  anymesh status traffictarget/web -o yaml\n  anymesh status mesh",
		RunE: func(c *cobra.Command, args []string) error {
			conn, err := k.open()
			if err != nil {
				return err
			}
			var q outcome.Query
			kind := ""
			if len(args) == 1 {
				kind, q.Name, _ = strings.Cut(args[0], "/")
			}
			meshes, err := outcome.Meshes(c.Context(), conn)
			if err != nil {
				return err
			}
			if slices.Contains([]string{"mesh", "meshes"}, strings.ToLower(kind)) {
				if q.Name != "" {
					meshes = slices.DeleteFunc(meshes, func(m api.Mesh) bool { return m.Name != q.Name })
				}
				return became.Meshes(c.OutOrStdout(), format, meshes)
			}
			if q.Kinds, err = kindsOf(kind); err != nil {
				return err
			}
			if !every {
				if q.Namespace = namespace; namespace == "" {
					q.Namespace = conn.Namespace
				}
			}
			list, err := outcome.List(c.Context(), conn, q)
			if err != nil {
				return err
			}
			if q.Name != "" && len(list) == 0 {
				return fmt.Errorf("there is no %s in namespace %s", args[0], q.Namespace)
			}
			if err := became.Objects(c.OutOrStdout(), format, list); err != nil {
				return err
			}
			return verdict(list)
		},
	}
	k.flags(c)
	c.Flags().StringVarP(&namespace, "namespace", "n", "", "`NAMESPACE` of the objects; the context's without")
	c.Flags().BoolVarP(&every, "all-namespaces", "A", false, "objects of all namespaces")
	formatFlag(c, &format, "table", "wide", "json", "yaml")
	for _, k := range smi.Kinds() {
		c.ValidArgs = append(c.ValidArgs, outcome.Plural(k))
	}
	c.ValidArgs = append(c.ValidArgs, "mesh")
	return c
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
