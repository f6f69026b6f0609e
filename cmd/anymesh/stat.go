// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/stat"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

func statCommand() *cobra.Command {
	var m measuring
	var k stat.Look
	var ends between
	var selector string
	c := &cobra.Command{
		Use: "stat KIND[/NAME]", Short: "Success, requests a second and latencies of what runs in a mesh", GroupID: "ask", Args: count(1, 1, "one kind: deploy, svc/web"),
		Long: `stat prints the share of requests that succeeded, how many there are a second and how long half, nine
of ten and 99 of 100 of them took, as those who were asked have measured it. A failure is HTTP 5xx, no
response, or gRPC status 2, 4, 13, 14 or 15. What a TrafficSplit sends to each of its backends is
measured by callers.

With --to it is the traffic from each of KIND to one resource, with --from that from one resource to
each of KIND, on both sides where a mesh tells both.

It asks the mesh on this machine where anymesh up runs, else the cluster's TrafficMetrics API; or, with
--prometheus and --mesh, a Prometheus itself.`,
		Example: "  anymesh stat deploy -n shop\n  anymesh stat ts/catalog -n shop\n  anymesh stat deploy --to deploy/catalog -n shop -o wide\n  anymesh stat pods -A --window 5m -o json\n" +
			"  anymesh stat deploy --prometheus http://prometheus:9090 --mesh linkerd -f shop/",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := m.open(c.Context())
			if err != nil {
				return err
			}
			q, err := m.query(args[0])
			if err != nil {
				return err
			}
			q.Selector = selector
			k.Namespaces = q.Namespace == "" && !q.Kind.Cluster
			k.Empty = "there are no " + q.Kind.Plural + where(q.Namespace)
			if ends != (between{}) {
				return m.between(d, k, q, ends)
			}
			l, err := d.Measures(c.Context(), q)
			if err != nil {
				return m.explain(err)
			}
			tell(c, d)
			return k.Show(c.OutOrStdout(), l)
		},
	}
	m.flags(c)
	f := c.Flags()
	f.StringVarP(&selector, "selector", "l", "", "resources with `LABELS` alone, such as app=web")
	f.StringVar(&ends.from, "from", "", "what `KIND/NAME` sends")
	f.StringVar(&ends.to, "to", "", "what `KIND/NAME` receives")
	c.MarkFlagsMutuallyExclusive("from", "to")
	formatFlag(c, &k.Format, "table", "wide", "json", "yaml")
	kindArgs(c)
	return c
}

func kindArgs(c *cobra.Command) {
	for _, k := range metrics.Kinds() {
		c.ValidArgs = append(c.ValidArgs, k.Plural)
	}
}

func where(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " in namespace " + namespace
}

// query is what a word and the flags ask about.
func (m *measuring) query(word string) (stat.Query, error) {
	namespace := m.namespace
	if m.every {
		namespace = ""
	}
	q, err := stat.Word(word, namespace)
	if err != nil {
		return q, misused(m.command, err)
	}
	q.Window = m.window
	return q, nil
}

// explain says what to do where nobody serves TrafficMetrics.
func (m *measuring) explain(err error) error {
	if errors.Is(err, stat.ErrNone) {
		return fmt.Errorf("%w: install anymesh with its metrics (anymesh install), or ask a Prometheus itself with --prometheus URL --mesh MESH; anymesh check --metrics looks further", err)
	}
	return err
}

// between is the one end that a person names: the other ends are those of KIND.
type between struct{ from, to string }

// between prints the traffic between one resource and those that a query finds.
func (m *measuring) between(d *stat.Door, k stat.Look, q stat.Query, ends between) error {
	ctx, word, want := m.command.Context(), ends.from, string(metrics.To)
	if ends.to != "" {
		word, want = ends.to, string(metrics.From)
	}
	one, err := m.query(word)
	if err != nil {
		return err
	}
	if one.Name == "" {
		return misused(m.command, fmt.Errorf("%s: name one resource, as KIND/NAME", word))
	}
	l, err := d.Edges(ctx, one, q.Kind)
	if err != nil {
		return m.explain(err)
	}
	chosen, err := m.chosen(ctx, d, q)
	if err != nil {
		return m.explain(err)
	}
	l.Items = slices.DeleteFunc(l.Items, func(t traffic.TrafficMetrics) bool {
		return t.Edge == nil || t.Edge.Direction != want || !chosen(t.Edge.Resource)
	})
	k.Empty = "nothing was sent between these"
	tell(m.command, d)
	return k.ShowFlows(m.command.OutOrStdout(), l)
}

// chosen says whether a peer is one of those that a query finds.
func (m *measuring) chosen(ctx context.Context, d *stat.Door, q stat.Query) (func(traffic.Reference) bool, error) {
	labelled := map[traffic.Reference]bool{}
	if q.Selector != "" {
		l, err := d.Measures(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range l.Items {
			labelled[l.Items[i].Resource] = true
		}
	}
	return func(r traffic.Reference) bool {
		return r.Kind == q.Kind.Name && (q.Name == "" || r.Name == q.Name) && (q.Namespace == "" || r.Namespace == q.Namespace) && (q.Selector == "" || labelled[r])
	}, nil
}

// tell says beside an answer what the meshes cannot tell.
func tell(c *cobra.Command, d *stat.Door) {
	for _, n := range d.Notes() {
		fmt.Fprintln(c.ErrOrStderr(), "note:", n)
	}
}

func edgesCommand() *cobra.Command {
	var m measuring
	var k stat.Look
	var peer, selector string
	c := &cobra.Command{
		Use: "edges KIND[/NAME]", Short: "Who calls whom in a mesh, and how that goes", GroupID: "ask", Args: count(1, 1, "one kind: deploy, deploy/web"),
		Long: `edges prints the traffic between resources: of one with all that it calls and all that call it, or of
each of a kind. An edge stands once for each side on which it was measured: where callers see failures
that the called never saw, requests did not arrive. <outside> is a peer that is in no mesh.`,
		Example: "  anymesh edges deploy -n shop\n  anymesh edges deploy/web -n shop --peer pods\n  anymesh edges ns -o wide",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := m.open(c.Context())
			if err != nil {
				return err
			}
			q, err := m.query(args[0])
			if err != nil {
				return err
			}
			q.Selector = selector
			var other metrics.Kind
			if peer != "" {
				p, err := stat.Word(peer, "")
				if err != nil || p.Name != "" {
					return misused(c, errors.Join(fmt.Errorf("--peer %s: name a kind", peer), err))
				}
				other = p.Kind
			}
			l, err := d.Edges(c.Context(), q, other)
			if err != nil {
				return m.explain(err)
			}
			k.Empty = "no " + strings.ToLower(q.Kind.Name) + where(q.Namespace) + " called or was called in the last " + m.window.String()
			tell(c, d)
			return k.ShowFlows(c.OutOrStdout(), l)
		},
	}
	m.flags(c)
	c.Flags().StringVarP(&selector, "selector", "l", "", "of resources with `LABELS` alone, such as app=web")
	c.Flags().StringVar(&peer, "peer", "", "the other side as a `KIND` of its own, such as pods; the same without")
	formatFlag(c, &k.Format, "table", "wide", "json", "yaml")
	kindArgs(c)
	return c
}

func routesCommand() *cobra.Command {
	var m measuring
	var k stat.Look
	c := &cobra.Command{
		Use: "routes KIND/NAME", Short: "Traffic of one resource by the entries of HTTPRouteGroups", GroupID: "ask", Args: count(1, 1, "one resource: deploy/web"),
		Long: `routes prints the traffic of one resource by the entry of an HTTPRouteGroup that each request was in,
where the mesh can tell.`,
		Example: "  anymesh routes deploy/catalog -n shop",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := m.open(c.Context())
			if err != nil {
				return err
			}
			q, err := m.query(args[0])
			if err != nil {
				return err
			}
			if q.Name == "" {
				return misused(c, fmt.Errorf("%s: name one resource, as KIND/NAME", args[0]))
			}
			l, err := d.Routes(c.Context(), q)
			if err != nil {
				return m.explain(err)
			}
			k.Empty = "the mesh tells no routes of " + args[0]
			tell(c, d)
			return k.Show(c.OutOrStdout(), l)
		},
	}
	m.flags(c)
	formatFlag(c, &k.Format, "table", "wide", "json", "yaml")
	kindArgs(c)
	return c
}
