// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/up/learn"
	"github.com/anymesh/anymesh/up/tap"
)

func learnCommand() *cobra.Command {
	var admin, namespace string
	var over time.Duration
	c := &cobra.Command{
		Use: "learn", Short: "Propose permissions and routes from requests that pass the mesh on this machine", GroupID: "ask", Args: nothing,
		Long: `learn watches the mesh of anymesh up for a while and prints TrafficTargets and HTTPRouteGroups that admit
what it saw admitted: for each pair of accounts the methods and paths that the one asked of the other.
Nothing is applied. Where a proposal is wider than what was seen (a number in a path stands for every
number) a comment names what was seen; what was refused, or cannot be proposed, is named in comments too.

What did not happen while it watched is not in it: watch for as long as your traffic needs to show all.`,
		Example: "  anymesh learn --for 10m > proposed.yaml\n  anymesh learn -n shop --for 1m",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			ctx, cancel := context.WithTimeout(ctx, over)
			defer cancel()
			f := tap.Filter{Side: "server"}
			if namespace != "" {
				f.Workload = namespace + "/"
			}
			var b learn.Book
			var lost uint64
			err := watch(ctx, admin, f, 0, func(e *tap.Event) error {
				lost += e.Lost
				b.Add(e)
				return nil
			})
			if err != nil {
				return err
			}
			if lost > 0 {
				fmt.Fprintf(c.ErrOrStderr(), "note: %d requests came faster than they were read, and are not in it\n", lost)
			}
			if b.Empty() {
				fmt.Fprint(c.ErrOrStderr(), b.YAML())
				return errors.New("no request was admitted in that time: there is nothing to propose")
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "# What passed in %s up to %s. Read it before you apply it.\n%s", over, time.Now().Format(time.RFC3339), b.YAML())
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&admin, "admin", adminAddress, "`ADDRESS` of the admin port of anymesh up")
	f.StringVarP(&namespace, "namespace", "n", "", "what is asked of `NAMESPACE`; of all without")
	f.DurationVar(&over, "for", 30*time.Second, "how long to watch: a `TIME`")
	return c
}
