// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/why"
)

func whyCommand() *cobra.Command {
	var in input
	var q why.Question
	var format string
	c := &cobra.Command{
		Use: "why --from NS/ACCOUNT --to NS/SERVICE[:PORT] [METHOD PATH] -f FILE|DIR|-", Short: "Say where a request goes, whether it is admitted, and what decided", GroupID: "ask",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return misused(c, errors.New("a request is METHOD and PATH, for example: GET /api"))
			}
			return nil
		},
		Long: `why answers for one request, as the mesh would: which backend gets which share, whether each admits the
caller, and the object, line and field that decided. Without METHOD and PATH it asks for GET /, or for
a raw connection where the port carries no HTTP; without a PORT it takes the first that fits.

Give the Services and the workloads (Deployments, Pods) beside the SMI objects: whether a backend admits
a caller depends on who it runs as.

Exit codes: 0 admitted by every backend that has a share, 1 failure, 7 refused by some or by all.`,
		Example: `  anymesh why --from shop/web --to shop/catalog:8080 GET /products -f shop/
  anymesh why --from shop/web --to shop/catalog GET /products -H 'x-user: beta-7' -f shop/ -o json
  anymesh why --from spiffe://example.org/ns/shop/sa/web --to shop/payments --tcp -f shop/`,
		RunE: func(c *cobra.Command, args []string) error {
			got, events, err := in.read(c, true)
			if err != nil {
				return err
			}
			q.Namespace, q.World = in.namespace, gather(events)
			v, err := q.Ask(args, got.Positions)
			if err != nil {
				return err
			}
			if err := result(c, format, v, func() error { return v.Print(c.OutOrStdout()) }); err != nil {
				return err
			}
			for _, note := range q.Notes(got) {
				fmt.Fprintln(c.ErrOrStderr(), "note:", note)
			}
			if !v.Allowed {
				return exit(exitDenied)
			}
			return nil
		},
	}
	in.flags(c)
	formatFlag(c, &format, "table", "json", "yaml")
	f := c.Flags()
	f.StringVar(&q.From, "from", "", "who calls: `NS/ACCOUNT` or a SPIFFE ID; nobody for a caller without identity")
	f.StringVar(&q.To, "to", "", "what is called: `NS/SERVICE[:PORT]`")
	f.StringArrayVarP(&q.Headers, "header", "H", nil, "a header of the request, `'name: value'`; may be repeated")
	f.BoolVar(&q.TCP, "tcp", false, "ask for a raw connection")
	f.BoolVar(&q.UDP, "udp", false, "ask for a UDP flow")
	need(c, "from", "--from NS/ACCOUNT")
	need(c, "to", "--to NS/SERVICE[:PORT]")
	c.MarkFlagsMutuallyExclusive("tcp", "udp")
	return c
}
