// SPDX-License-Identifier: Apache-2.0

// kubernetes is the demo in a cluster: the shop as Deployments, the built-in mesh beside their pods, and SMI objects that kubectl edits. The
// cluster is a real one, in one process on this machine (see test/cluster), and goes when the demo ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/demo"
	"github.com/anymesh/anymesh/examples"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	var err error
	if args := os.Args[1:]; len(args) > 0 && args[0] == process {
		err = runProcess(ctx, args[1:])
	} else {
		err = run(ctx, args, os.Stdout)
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// process is the first argument of the pods' processes, which are this program too.
const process = "process"

// runProcess is a process of a pod: its arguments are its account and its ports, such as http:8080.
func runProcess(ctx context.Context, args []string) error {
	p := demo.Process{Pod: model.Name{Namespace: os.Getenv("POD_NAMESPACE"), Name: os.Getenv("POD_NAME")}, Account: args[0], Address: os.Getenv("BIND_IP")}
	for _, a := range args[1:] {
		protocol, number, _ := strings.Cut(a, ":")
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return fmt.Errorf("argument %s is not such as http:8080", a)
		}
		if protocol == "http" {
			p.HTTP = append(p.HTTP, uint16(n))
		} else {
			p.TCP = append(p.TCP, uint16(n))
		}
	}
	return p.Run(ctx)
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("kubernetes", flag.ContinueOnError)
	every := flags.Duration("every", time.Second, "`TIME` between two tables")
	limit := flags.Duration("for", 0, "end after this `TIME`; 0: at Ctrl-C")
	admin := flags.String("admin", "127.0.0.1:15000", "`ADDRESS` of metrics, findings and health; empty for none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	notes := &demo.Notes{}
	log := slog.New(slog.NewTextHandler(notes, &slog.HandlerOptions{Level: slog.LevelWarn}))
	kube.LogTo(slog.New(slog.DiscardHandler)) // what the client tries again by itself is no news
	c, err := start(ctx, func(line string) { fmt.Fprintln(out, "·", line) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.end()) }()
	w, err := answer(ctx, log)
	if err != nil {
		return err
	}
	if err := c.install(ctx, w, examples.Files, "shop"); err != nil {
		return err
	}
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	src, err := c.source(ctx, log)
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Options{
		Mesh: up.Options{Source: src, Settings: *model.Defaults(), OutboundPort: up.OutboundPort, InboundPort: up.InboundPort, Admin: *admin,
			Findings: tell(notes), Logger: log},
		Out: out, Live: terminal(out), Every: *every, Notes: notes, Where: "the cluster", Apart: true, Hints: c.hints(),
	})
}

// tell notes each finding when it comes.
func tell(notes *demo.Notes) func([]model.Finding) {
	var last []model.Finding
	return func(now []model.Finding) {
		for _, f := range now {
			if slices.Contains(last, f) {
				continue
			}
			text := fmt.Sprintf("%s %s %s %s: %s", time.Now().Format(time.TimeOnly), report.Mark(f.Level), report.Title(f.Object), f.Path, f.Message)
			if f.Hint != "" {
				text += "\n           → " + f.Hint
			}
			notes.Add("%s", text)
		}
		last = now
	}
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
