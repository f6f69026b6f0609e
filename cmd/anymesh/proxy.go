// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/identity/join"
	"github.com/anymesh/anymesh/intercept"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/sidecar"
	"github.com/anymesh/anymesh/up"
)

// rootsVariable holds the mesh's public roots in pods, where there is no file of them.
const rootsVariable = "ANYMESH_ROOTS"

// proxying is what `proxy` is told by its flags.
type proxying struct {
	plane, domain, roots     string
	account, token, state    string // files of proofs, and the folder of a host's keys
	socket                   string
	namespace, pod, work, ip string
	cluster                  string
	outbound, inbound        uint16
	admin                    string
	drain                    time.Duration
	verbose                  bool
	intercept                bool
	mark                     uint32
}

func proxyCommand() *cobra.Command {
	var o proxying
	c := &cobra.Command{
		Use: "proxy", Short: "Run one proxy beside a process, on a host or in a pod", GroupID: "run", Args: count(0, 0, "no arguments"),
		Long: `proxy stands beside one process. It proves who the workload is and gets its certificate, whose key never
leaves this host; it takes what the process asks of others (set HTTP_PROXY to it) and what others ask of
the process, over mutual TLS; and it goes on with what it knows where no control plane can be reached.

The workload proves itself by one of: a join token, used once (--join-token, --state); the token of its
Kubernetes service account (--account-token); the user it runs as, on the control plane's own host
(--unix-socket). What the mesh knows of the pod, its workload and its address, is asked for.

SIGTERM has it take nothing new and finish what is under way.`,
		Example: "  anymesh proxy --control-plane mesh.example:15010 --roots roots.pem --join-token web.token --state /var/lib/anymesh-proxy --pod web-1",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			return o.run(ctx, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	o.flags(c)
	return c
}

func (o *proxying) flags(c *cobra.Command) {
	f, d := c.Flags(), model.Defaults()
	f.StringVar(&o.plane, "control-plane", "", "`HOST:PORT` of the control plane; several are separated by commas")
	f.StringVar(&o.domain, "trust-domain", d.TrustDomain, "trust `DOMAIN` of the mesh")
	f.StringVar(&o.roots, "roots", "", "`FILE` of the mesh's public roots, in PEM; the variable "+rootsVariable+" holds them without")
	f.StringVar(&o.account, "account-token", "", "`FILE` of a projected service account token for the audience "+issue.Audience)
	f.StringVar(&o.token, "join-token", "", "`FILE` of a join token")
	f.StringVar(&o.state, "state", "", "`DIR` in which a host that joined by a token keeps its key")
	f.StringVar(&o.socket, "unix-socket", "", "`PATH` of the control plane's socket on this host")
	f.StringVarP(&o.namespace, "namespace", "n", "", "`NAMESPACE` of the pod; that of its account without")
	f.StringVar(&o.pod, "pod", "", "`NAME` of the pod; this host's name without")
	f.StringVar(&o.work, "workload", "", "`KIND/NAME` that the pod belongs to; the control plane is asked without")
	f.StringVar(&o.ip, "ip", "", "`ADDRESS` on which the process and the proxy listen; the control plane is asked without")
	f.StringVar(&o.cluster, "cluster-domain", "", "DNS `SUFFIX` of services; the control plane is asked without")
	f.Uint16Var(&o.outbound, "outbound-port", up.OutboundPort, "`PORT` that takes what the process asks of others")
	f.Uint16Var(&o.inbound, "inbound-port", up.InboundPort, "`PORT` that takes mutual TLS")
	f.StringVar(&o.admin, "admin", "127.0.0.1:15000", "`ADDRESS` of /ready, /healthz and /metrics; empty for none")
	f.BoolVar(&o.intercept, "intercept", false, "take connections that 'anymesh intercept' leads here, and open those to other hosts as they are led there")
	f.Uint32Var(&o.mark, "mark", intercept.Mark, "`NUMBER` that the proxy's own connections bear where they are led; 0 for none, where its user tells them")
	f.DurationVar(&o.drain, "drain", 5*time.Second, "`TIME` for what is under way at the end")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log what happens")
	need(c, "control-plane", "--control-plane HOST:PORT")
	_ = c.MarkFlagFilename("roots", "pem")
	_ = c.MarkFlagDirname("state")
}

func (o *proxying) run(ctx context.Context, out, errs io.Writer) error {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	so, err := o.options()
	if err != nil {
		return err
	}
	so.Logger = slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))
	so.Ready = func(s sidecar.Status) {
		fmt.Fprintf(out, "%s/%s is %s; its proxy takes requests on http://%s\n", s.Node.Namespace, s.Node.Pod, s.ID, s.Outbound)
		if s.Admin != "" {
			fmt.Fprintf(out, "readiness and metrics on http://%s\n", s.Admin)
		}
	}
	return sidecar.Run(ctx, so)
}

func (o *proxying) options() (so sidecar.Options, err error) {
	if so.Domain, err = spiffeid.TrustDomainFromString(o.domain); err != nil {
		return so, fmt.Errorf("--trust-domain: %w", err)
	}
	if so.Prover, err = o.prover(); err != nil {
		return so, err
	}
	given := os.Getenv(rootsVariable)
	if o.roots == "" && o.socket == "" && given == "" {
		return so, errors.New("--roots FILE is needed: the control plane keeps it as roots.pem in its identity folder")
	}
	domain := so.Domain
	so.Roots = func() (*x509bundle.Bundle, error) {
		if o.roots == "" {
			return x509bundle.Parse(domain, []byte(given))
		}
		return x509bundle.Load(domain, o.roots)
	}
	if o.pod == "" {
		if o.pod, err = os.Hostname(); err != nil {
			return so, fmt.Errorf("--pod is needed: %w", err)
		}
	}
	so.ControlPlane, so.Socket, so.Admin = o.plane, o.socket, o.admin
	so.Node = proxy.Node{Namespace: o.namespace, Pod: o.pod, ClusterDomain: o.cluster}
	if o.work != "" {
		kind, name, ok := strings.Cut(o.work, "/")
		if !ok {
			return so, fmt.Errorf("--workload %s: write KIND/NAME, such as Deployment/web", o.work)
		}
		so.Node.Kind, so.Node.Workload = kind, name
	}
	if o.ip != "" {
		if so.Node.IP, err = netip.ParseAddr(o.ip); err != nil {
			return so, fmt.Errorf("--ip: %w", err)
		}
	}
	so.Proxy = proxy.Config{OutboundPort: o.outbound, InboundPort: o.inbound, Direct: !o.intercept, Drain: o.drain}
	if o.intercept {
		so.Proxy.OriginalDst, so.Proxy.Outgoing = intercept.Original, true
		if o.mark != 0 {
			so.Proxy.Control = intercept.Marked(o.mark)
			so.Control = so.Proxy.Control
		}
	}
	return so, nil
}

// prover is the one way in which the workload proves itself.
func (o *proxying) prover() (issue.Prover, error) {
	said := 0
	for _, s := range []string{o.account, o.token, o.socket} {
		if s != "" {
			said++
		}
	}
	if o.token == "" && o.state != "" && said == 0 {
		said = 1 // joined before
	}
	if said != 1 {
		return nil, errors.New("say one way in which the workload proves itself: --join-token, --account-token or --unix-socket")
	}
	switch {
	case o.account != "":
		return issue.Show{Attestor: issue.Kubernetes, What: func() ([]byte, error) { return os.ReadFile(o.account) }}, nil
	case o.socket != "":
		return issue.Show{Attestor: issue.Unix}, nil
	case o.state == "":
		return nil, errors.New("--join-token goes with --state DIR: the token is good for one use, and the host is known by its key from then on")
	}
	return join.Hold(o.state, func() (string, error) {
		if o.token == "" {
			return "", errors.New("no --join-token was given")
		}
		text, err := os.ReadFile(o.token)
		return string(text), err
	})
}
