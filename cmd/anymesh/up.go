// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/demo"
	"github.com/anymesh/anymesh/examples"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up"
)

// running is what the commands that run a mesh are told by their flags.
type running struct {
	in      input
	out     uint16
	inbound uint16
	admin   string
	keys    string
	verbose bool
}

func (r *running) flags(c *cobra.Command) {
	r.in.settingFlags(c)
	f := c.Flags()
	f.StringVarP(&r.in.namespace, "namespace", "n", "default", "`NAMESPACE` of objects that say none")
	f.Uint16Var(&r.out, "outbound-port", up.OutboundPort, "`PORT` of each pod's address on which its proxy takes what the pod asks of others")
	f.Uint16Var(&r.inbound, "inbound-port", up.InboundPort, "`PORT` of each pod's address on which its proxy takes mutual TLS")
	f.StringVar(&r.admin, "admin", "127.0.0.1:15000", "`ADDRESS` of metrics, findings and health; empty for none")
	f.StringVar(&r.keys, "identity-dir", "", "keep the CA's keys in `DIR`; they are new at each start without")
	f.BoolVarP(&r.verbose, "verbose", "v", false, "log what happens, to standard error")
}

// options makes the mesh's options for a folder. Broken edits are told to the function.
func (r *running) options(c *cobra.Command, folder string, broken func(string, []file.Located)) (up.Options, error) {
	ev, err := r.in.set()
	if err != nil {
		return up.Options{}, err
	}
	if st, err := os.Stat(folder); err != nil {
		return up.Options{}, unread("folder", err)
	} else if !st.IsDir() {
		return up.Options{}, fmt.Errorf("%s is a file: name the folder that is to be watched", folder)
	}
	level := slog.LevelWarn
	if r.verbose {
		level = slog.LevelDebug
	}
	src := up.NewFolder([]string{folder}, file.Options{Namespace: r.in.namespace}, func(b up.Broken) { broken(b.File, b.Findings) })
	return up.Options{
		Source: src, Settings: *ev.Facts[0].(*model.Settings), OutboundPort: r.out, InboundPort: r.inbound, Admin: r.admin, Identity: r.keys,
		Logger: slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level})),
	}, nil
}

// interruptible ends with Ctrl-C, so that what runs ends cleanly; a second Ctrl-C ends it at once.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func upCommand() *cobra.Command {
	var r running
	c := &cobra.Command{
		Use: "up DIR", Short: "Run the built-in mesh on this machine, from a folder", GroupID: "run", Args: count(1, 1, "one folder: DIR"),
		Long: `up runs a proxy beside every Pod that the folder describes, and programs them from the SMI objects,
Services and Pods in it. The folder is watched: a change is in force within milliseconds, and a broken
edit is reported while the last good configuration keeps serving. Ctrl-C ends it.

A Pod's address (status.podIP) must be one of this machine, in 127.0.0.0/8. Its process listens there
on its container ports, and asks others through its proxy: set HTTP_PROXY=http://ADDRESS:15001, or use
CONNECT for TCP.`,
		Example: "  anymesh up examples/shop\n  HTTP_PROXY=http://127.0.1.1:15001 curl http://catalog.shop:8080/products",
		RunE: func(c *cobra.Command, args []string) error {
			w := c.OutOrStdout()
			o, err := r.options(c, args[0], func(name string, list []file.Located) { tellBroken(w, name, list) })
			if err != nil {
				return err
			}
			o.Findings = func(list []model.Finding) {
				if len(list) > 0 {
					fmt.Fprint(w, report.Text(list, o.Source.(*up.Folder).Positions(), false))
				}
			}
			o.Ready = func(s up.Status) { tellReady(w, args[0], &s) }
			m, err := up.New(o)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			return m.Run(ctx)
		},
	}
	r.flags(c)
	return c
}

func tellReady(w io.Writer, folder string, s *up.Status) {
	for _, p := range s.Proxies {
		fmt.Fprintf(w, "%s %-30s identity %-24s proxy http://%s\n", report.Mark(model.Exact), p.Name, p.Identity, p.Outbound)
	}
	for n, err := range s.Failed {
		fmt.Fprintf(w, "%s %-30s %v\n", report.Mark(model.Invalid), n, err)
	}
	fmt.Fprintf(w, "%d pods in the mesh; watching %s", len(s.Proxies), folder)
	if s.Admin != "" {
		fmt.Fprintf(w, "; metrics and findings on http://%s", s.Admin)
	}
	fmt.Fprintln(w)
}

// tellBroken reports an edit that was not taken, or that is good again.
func tellBroken(w io.Writer, name string, list []file.Located) {
	now := time.Now().Format("15:04:05")
	if len(list) == 0 {
		fmt.Fprintf(w, "%s %s %s is good again, and in force\n", now, report.Mark(model.Exact), name)
		return
	}
	for _, f := range list {
		fmt.Fprintf(w, "%s %s %s:%d:%d %s %s: %s\n", now, report.Mark(model.Invalid), f.File, f.Line, f.Column, f.Code, f.Path, f.Message)
		if f.Hint != "" {
			fmt.Fprintf(w, "           → %s\n", f.Hint)
		}
	}
	fmt.Fprintf(w, "           %s is not taken: what was good last keeps serving\n", name)
}

func demoCommand() *cobra.Command {
	var r running
	var every, limit time.Duration
	c := &cobra.Command{
		Use: "demo [DIR]", Short: "A small shop on the built-in mesh, with traffic and a live table", GroupID: "run", Args: count(0, 1, "at most one folder: DIR"),
		Long: `demo runs the shop of a folder, with a process for every pod and traffic between them, and prints who
calls whom, the shares of the backends and what is refused. Edit the folder while it runs. Without a
folder it writes its own to ./anymesh-demo. Ctrl-C ends it.`,
		Example: "  anymesh demo\n  anymesh demo examples/shop --every 5s",
		RunE: func(c *cobra.Command, args []string) error {
			folder := "anymesh-demo"
			if len(args) == 1 {
				folder = args[0]
			} else if err := unpack(folder); err != nil {
				return err
			}
			notes := &demo.Notes{}
			o, err := r.options(c, folder, func(name string, list []file.Located) {
				var b strings.Builder
				tellBroken(&b, name, list)
				notes.Add("%s", strings.TrimSuffix(b.String(), "\n"))
			})
			if err != nil {
				return err
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			if limit > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, limit)
				defer cancel()
			}
			return demo.Run(ctx, demo.Options{Mesh: o, Out: c.OutOrStdout(), Live: terminal(c.OutOrStdout()), Every: every, Notes: notes, Where: folder})
		},
	}
	r.flags(c)
	c.Flags().DurationVar(&every, "every", time.Second, "`TIME` between two tables")
	c.Flags().DurationVar(&limit, "for", 0, "end after this `TIME`; 0: at Ctrl-C")
	return c
}

// unpack writes the shop that the binary carries, where there is none yet.
func unpack(folder string) error {
	if _, err := os.Stat(folder); err == nil {
		return nil
	}
	shop, err := fs.Sub(examples.Files, "shop")
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Clean(folder), shop); err != nil {
		return fmt.Errorf("the shop cannot be written: %w", err)
	}
	return nil
}

// terminal says whether what is written is read by a person as it comes.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}
