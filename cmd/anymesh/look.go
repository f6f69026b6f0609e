// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube/check"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/kube/install"
	"github.com/anymesh/anymesh/model"
)

// looking is what check is told about a cluster.
type looking struct {
	cluster
	pre  bool
	wait time.Duration
}

func (k *looking) flags(c *cobra.Command) {
	k.cluster.flags(c)
	k.systemFlag(c, "system-namespace", "")
	c.Flags().BoolVar(&k.pre, "pre", false, "look whether anymesh could be installed in the cluster")
	c.Flags().DurationVar(&k.wait, "wait", 0, "look again for so long as something is wrong")
}

// run looks at the cluster, again until nothing is wrong where that is asked for.
func (k *looking) run(c *cobra.Command, format string, strict bool) error {
	conn, err := k.open()
	if errors.Is(err, connect.ErrNone) {
		return misused(c, fmt.Errorf("check needs -f FILE|DIR|-, or a cluster: %w", err))
	} else if err != nil {
		return err
	}
	v := manifest.Defaults()
	v.Namespace = k.system
	look := &check.Checker{Installation: &install.Installation{Cluster: conn, Values: v}, Version: build(), Pre: k.pre}
	ctx, stop := interruptible(c.Context())
	defer stop()
	var lines []check.Line
	for end := time.Now().Add(k.wait); ; {
		lines = look.Run(ctx)
		if check.Worst(lines) != check.Error || !time.Now().Before(end) || ctx.Err() != nil {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(2*time.Second, time.Until(end))):
		}
	}
	if err := result(c, format, lines, func() error { return tellLines(c.OutOrStdout(), lines) }); err != nil {
		return err
	}
	return judged(lines, strict)
}

// judged is the exit code of what was looked at.
func judged(lines []check.Line, strict bool) error {
	switch check.Worst(lines) {
	case check.Error:
		return exit(exitFailure)
	case check.Warning:
		if strict {
			return exit(exitApproximate)
		}
	}
	return nil
}

var signs = map[check.Result]string{check.OK: report.Verdict(true), check.Warning: report.Mark(model.Invalid), check.Error: report.Verdict(false), check.Skipped: "–"}

// tellLines prints the lines of a check by group, and the sum of them.
func tellLines(w io.Writer, lines []check.Line) error {
	group := ""
	count := map[check.Result]int{}
	for _, l := range lines {
		if l.Group != group {
			if group != "" {
				fmt.Fprintln(w)
			}
			group = l.Group
			fmt.Fprintln(w, group)
		}
		count[l.Result]++
		fmt.Fprintf(w, "  %s %s", signs[l.Result], l.Check)
		if l.Message != "" {
			fmt.Fprintf(w, ": %s", l.Message)
		}
		fmt.Fprintln(w)
		if l.Hint != "" && l.Result != check.OK {
			fmt.Fprintf(w, "      → %s\n", l.Hint)
		}
	}
	_, err := fmt.Fprintf(w, "\n%s %d sound, %d to look at, %d wrong, %d not looked at\n", report.Verdict(count[check.Error] == 0), count[check.OK], count[check.Warning],
		count[check.Error], count[check.Skipped])
	return err
}
