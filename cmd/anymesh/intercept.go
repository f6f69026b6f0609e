// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/intercept"
	"github.com/anymesh/anymesh/up"
)

// intercepting is what `intercept` is told by its flags.
type intercepting struct {
	rules    intercept.Rules
	user     uint32
	notTo    []uint
	notFrom  []uint
	nets     []string
	dry, end bool
}

func interceptCommand() *cobra.Command {
	var o intercepting
	c := &cobra.Command{
		Use: "intercept", Short: "Lead this host's connections to its proxy, by nftables", GroupID: "run", Args: count(0, 0, "no arguments"),
		Long: `intercept leads what the processes of this host (or network namespace) open to the outbound port of
'anymesh proxy --intercept', and what others open to them to its inbound port. It writes the one table
inet anymesh of nftables, needs no other program, and ends at once: run it before the proxy, as root or
with the capability NET_ADMIN.

The proxy's own connections bear a mark, or are known by its user. What comes in without passing the
proxy is refused, so that nobody gets around the mesh: exclude what is not of it.`,
		Example: "  anymesh intercept --dry-run\n  anymesh intercept --not-from 22 --not-to 53\n  anymesh intercept --undo",
		RunE: func(c *cobra.Command, _ []string) error {
			if o.end {
				return intercept.Undo()
			}
			if err := o.read(c.Flags().Changed("proxy-user")); err != nil {
				return err
			}
			if o.dry {
				fmt.Fprint(c.OutOrStdout(), o.rules.String())
				return nil
			}
			return o.rules.Apply()
		},
	}
	f := c.Flags()
	f.Uint16Var(&o.rules.Outbound, "outbound-port", up.OutboundPort, "`PORT` of the proxy for what this host opens")
	f.Uint16Var(&o.rules.Inbound, "inbound-port", up.InboundPort, "`PORT` of the proxy for what others open")
	f.Uint32Var(&o.rules.Mark, "mark", intercept.Mark, "`NUMBER` that the proxy's own connections bear; 0: none")
	f.Uint32Var(&o.user, "proxy-user", 0, "`UID` that the proxy alone runs as, where it may not mark its connections")
	f.UintSliceVar(&o.notTo, "not-to", nil, "`PORTS` that this host opens as it would without a proxy")
	f.UintSliceVar(&o.notFrom, "not-from", nil, "`PORTS` of this host that others open without the proxy, such as 22 and those of its administration")
	f.StringSliceVar(&o.nets, "not-to-net", nil, "`NETWORKS`, such as 10.9.0.0/16, to which this host opens connections as it would without a proxy")
	f.BoolVar(&o.dry, "dry-run", false, "print the table in the language of nft, and change nothing")
	f.BoolVar(&o.end, "undo", false, "take the table away")
	return c
}

func (o *intercepting) read(byUser bool) error {
	if byUser {
		o.rules.User = &o.user
	}
	for _, x := range []struct {
		flag string
		from []uint
		to   *[]uint16
	}{{"--not-to", o.notTo, &o.rules.NotTo}, {"--not-from", o.notFrom, &o.rules.NotFrom}} {
		for _, p := range x.from {
			if p == 0 || p > 65535 {
				return fmt.Errorf("%s %d: it is no port", x.flag, p)
			}
			*x.to = append(*x.to, uint16(p))
		}
	}
	for _, n := range o.nets {
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return fmt.Errorf("--not-to-net: %w", err)
		}
		o.rules.Nets = append(o.rules.Nets, p)
	}
	return o.rules.Check()
}
