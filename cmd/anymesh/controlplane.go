// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"

	"github.com/anymesh/anymesh/control"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/identity/join"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/up"
)

// rootsFile is where a control plane keeps its public roots in its folder, for the hosts that are to join.
const rootsFile = "roots.pem"

// planning is what `control-plane` is told by its flags.
type planning struct {
	in      input
	listen  string
	keys    string
	socket  string
	users   string
	admin   string
	verbose bool
}

func controlPlaneCommand() *cobra.Command {
	var o planning
	c := &cobra.Command{
		Use: "control-plane DIR", Short: "Serve proxies on other hosts, from a folder", GroupID: "run", Args: count(1, 1, "one folder: DIR"),
		Long: `control-plane tells the proxies of other hosts what the folder says, and gives their workloads
certificates: 'anymesh proxy' beside each process asks for both on one port. The folder is watched, as
by 'anymesh up'.

A host joins by a token ('anymesh token create'), or, on this host, by the user that asks through a Unix
socket. It needs the public roots, which are kept in roots.pem of the identity folder.

Several control planes with the same folder and identity folder can serve any proxy.`,
		Example: "  anymesh control-plane shop/ --identity-dir /var/lib/anymesh\n" +
			"  anymesh token create shop/web --identity-dir /var/lib/anymesh > web.token",
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			return o.run(ctx, c.OutOrStdout(), c.ErrOrStderr(), args[0])
		},
	}
	o.in.settingFlags(c)
	f := c.Flags()
	f.StringVarP(&o.in.namespace, "namespace", "n", "default", "`NAMESPACE` of objects that say none")
	f.StringVar(&o.listen, "listen", fmt.Sprintf(":%d", control.DefaultPort), "`ADDRESS` that proxies ask")
	f.StringVar(&o.keys, "identity-dir", "", "`DIR` of the CA's keys and of the join tokens")
	f.StringVar(&o.socket, "unix-socket", "", "`PATH` of a socket by which users of this host get certificates; who may connect is its file's mode; empty: none")
	f.StringVar(&o.users, "unix-users", "", "`FILE` of lines USER NAMESPACE/ACCOUNT, for the socket")
	f.StringVar(&o.admin, "admin", "127.0.0.1:15000", "`ADDRESS` of /proxies, /ready and /healthz; empty for none")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what happens; certificates and refusals are logged anyhow")
	need(c, "identity-dir", "--identity-dir DIR")
	return c
}

func (o *planning) run(ctx context.Context, out, errs io.Writer, folder string) error {
	settings, err := o.in.set()
	if err != nil {
		return err
	}
	if (o.socket == "") != (o.users == "") {
		return errors.New("--unix-socket and --unix-users go together")
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))
	ca, attestors, err := o.authority()
	if err != nil {
		return err
	}
	e := engine.New()
	plane := control.New(control.Options{Authority: ca, Attestors: attestors, ClusterDomain: o.in.settings.ClusterDomain, Pod: control.Of(e), Logger: log})
	e.Retarget(engine.Target{Driver: builtin.Driver, Sink: plane})
	e.Set(settings)
	l, socket, admin, err := o.listeners()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "control plane on %s; its roots are in %s\n", l.Addr(), filepath.Join(o.keys, rootsFile))
	src := up.NewFolder([]string{folder}, file.Options{Namespace: o.in.namespace}, func(b up.Broken) { tellBroken(out, b.File, b.Findings) })
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.publish(ctx, ca) })
	g.Go(func() error { return plane.Serve(ctx, l, socket) })
	if admin != nil {
		g.Go(func() error { return serveHTTP(ctx, admin, plane.Handler()) })
	}
	g.Go(func() error { return e.Run(ctx, engine.Options{Logger: log}, src) })
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// authority opens the CA and who may be given certificates.
func (o *planning) authority() (*identity.CA, map[string]issue.Attestor, error) {
	domain, err := spiffeid.TrustDomainFromString(o.in.settings.TrustDomain)
	if err != nil {
		return nil, nil, fmt.Errorf("--trust-domain: %w", err)
	}
	ca, err := identity.NewCA(identity.Options{TrustDomain: domain, Dir: o.keys})
	if err != nil {
		return nil, nil, err
	}
	tokens, err := join.Open(filepath.Join(o.keys, "join"), time.Now)
	if err != nil {
		return nil, nil, err
	}
	attestors := maps.Clone(tokens.Attestors())
	if o.users != "" {
		attestors[issue.Unix] = issue.Users{File: o.users, Domain: domain}
	}
	return ca, attestors, nil
}

func (o *planning) listeners() (l, socket, admin net.Listener, err error) {
	if l, err = net.Listen("tcp", o.listen); err != nil {
		return nil, nil, nil, fmt.Errorf("--listen: %w", err)
	}
	if o.socket != "" {
		// One of a control plane that was killed is in the way. One that answers is another's.
		if c, err := net.Dial("unix", o.socket); err == nil {
			c.Close()
			return nil, nil, nil, fmt.Errorf("--unix-socket: another process answers on %s", o.socket)
		}
		_ = os.Remove(o.socket)
		if socket, err = net.Listen("unix", o.socket); err == nil {
			err = os.Chmod(o.socket, 0o666) // who may connect is the folder's to say: what a user gets is his own
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("--unix-socket: %w", err)
		}
	}
	if o.admin != "" {
		if admin, err = net.Listen("tcp", o.admin); err != nil {
			return nil, nil, nil, fmt.Errorf("--admin: %w", err)
		}
	}
	return l, socket, admin, nil
}

// publish keeps the public roots in a file.
func (o *planning) publish(ctx context.Context, ca *identity.CA) error {
	for {
		changed := ca.Changed()
		var text []byte
		for _, c := range ca.Bundle().X509Authorities() {
			text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
		}
		path := filepath.Join(o.keys, rootsFile)
		if err := os.WriteFile(path+".new", text, 0o644); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// serveHTTP serves HTTP until the context ends.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { s.Close() })
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
