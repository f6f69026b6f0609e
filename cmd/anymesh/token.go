// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/join"
	"github.com/anymesh/anymesh/model"
)

func tokenCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "token", Short: "Let hosts into the mesh of a control plane, and send them out", GroupID: "run", Args: count(0, 0, "one of create, list and revoke"),
		Long: `token makes the tokens by which hosts join the mesh of 'anymesh control-plane'. A token is good for one
use, within its time, and for one identity. From then on the host renews its certificate by its own key,
until it is revoked.`,
		Example: "  anymesh token create shop/web --identity-dir /var/lib/anymesh > web.token\n  anymesh token list --identity-dir /var/lib/anymesh",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(tokenCreateCommand(), tokenListCommand(), tokenRevokeCommand())
	return c
}

// keyring is the folder that the commands of tokens work on.
type keyring struct{ dir string }

func (k *keyring) flag(c *cobra.Command) {
	c.Flags().StringVar(&k.dir, "identity-dir", "", "`DIR` of the control plane")
	need(c, "identity-dir", "--identity-dir DIR")
}

func (k *keyring) open() (*join.Folder, error) {
	return join.Open(filepath.Join(k.dir, "join"), time.Now)
}

func tokenCreateCommand() *cobra.Command {
	var k keyring
	var within time.Duration
	var domain string
	c := &cobra.Command{
		Use: "create NAMESPACE/ACCOUNT", Short: "Make a token and print it", Args: count(1, 1, "one identity: NAMESPACE/ACCOUNT"),
		Long:    "create makes a token by which one host becomes an identity, and prints it. It is kept nowhere: give it to the host, readable by its proxy alone.",
		Example: "  anymesh token create shop/web --identity-dir /var/lib/anymesh --ttl 1h > web.token",
		RunE: func(c *cobra.Command, args []string) error {
			namespace, account, ok := strings.Cut(args[0], "/")
			if !ok || namespace == "" || account == "" {
				return misused(c, fmt.Errorf("%q is no identity: write NAMESPACE/ACCOUNT", args[0]))
			}
			id, err := identity.ID(domain, namespace, account)
			if err != nil {
				return err
			}
			if id == identity.ControlPlane(id.TrustDomain()) {
				return fmt.Errorf("%s is the control plane's own", args[0])
			}
			f, err := k.open()
			if err != nil {
				return err
			}
			token, err := f.Create(id, within)
			if err != nil {
				return err
			}
			fmt.Fprintln(c.OutOrStdout(), token)
			return nil
		},
	}
	k.flag(c)
	c.Flags().DurationVar(&within, "ttl", 10*time.Minute, "`TIME` within which it is to be used")
	c.Flags().StringVar(&domain, "trust-domain", model.Defaults().TrustDomain, "trust `DOMAIN` of the mesh")
	return c
}

func tokenListCommand() *cobra.Command {
	var k keyring
	c := &cobra.Command{
		Use: "list", Short: "List tokens and who has joined by them", Args: count(0, 0, "no arguments"),
		Long:    "list shows the tokens that may still be used, and the hosts that have joined by one.",
		Example: "  anymesh token list --identity-dir /var/lib/anymesh",
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := k.open()
			if err != nil {
				return err
			}
			all, err := f.List()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tIDENTITY\tSTATE")
			for _, e := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", e.ID, account(e.Identity), state(&e))
			}
			return w.Flush()
		},
	}
	k.flag(c)
	return c
}

// account is an identity as it is written on the command line.
func account(id spiffeid.ID) string {
	namespace, name, err := identity.Parse(id)
	if err != nil {
		return id.String()
	}
	return namespace + "/" + name
}

func state(e *join.Entry) string {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case e.Joined.IsZero() && time.Now().After(e.Expires):
		return "expired " + at(e.Expires)
	case e.Joined.IsZero():
		return "to be used until " + at(e.Expires)
	case e.Renewed.IsZero():
		return "joined " + at(e.Joined)
	}
	return "joined " + at(e.Joined) + ", renewed " + at(e.Renewed)
}

func tokenRevokeCommand() *cobra.Command {
	var k keyring
	c := &cobra.Command{
		Use: "revoke NAME", Short: "Take a token back, or let a host renew no more", Args: count(1, 1, "one NAME, as list shows it"),
		Long:    "revoke takes a token back, or the right of the host that joined by it to renew: the certificate that it has, of one hour at most, is its last.",
		Example: "  anymesh token revoke 0b6c1f0e9d2a7c35 --identity-dir /var/lib/anymesh",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := k.open()
			if err != nil {
				return err
			}
			found, err := f.Revoke(args[0])
			if err == nil && !found {
				err = fmt.Errorf("there is no token %s: `anymesh token list` shows them", args[0])
			}
			return err
		},
	}
	k.flag(c)
	return c
}
