// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/stat"
)

func topCommand() *cobra.Command {
	var m measuring
	var k stat.Look
	var every time.Duration
	var times int
	c := &cobra.Command{
		Use: "top [KIND]", Short: "A live table of what is asked most in a mesh", GroupID: "ask", Args: count(0, 1, "at most one kind: deploy, ts/web"),
		Long: `top prints what stat prints, again and again, with what is asked most at the top. KIND is pods where
none is given. Ctrl-C ends it.`,
		Example: "  anymesh top\n  anymesh top svc -A --every 5s",
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			d, err := m.open(ctx)
			if err != nil {
				return err
			}
			word := "pods"
			if len(args) > 0 {
				word = args[0]
			}
			q, err := m.query(word)
			if err != nil {
				return err
			}
			k.Namespaces = q.Namespace == "" && !q.Kind.Cluster
			k.Empty = "there are no " + q.Kind.Plural + where(q.Namespace)
			t := &live{out: c.OutOrStdout(), over: terminal(c.OutOrStdout())}
			return t.run(ctx, every, times, func(ctx context.Context, w io.Writer) error {
				l, err := d.Measures(ctx, q)
				if err != nil {
					return m.explain(err)
				}
				stat.Busiest(l)
				return k.Show(w, l)
			})
		},
	}
	m.flags(c)
	c.Flags().DurationVar(&every, "every", 2*time.Second, "`TIME` between two tables")
	c.Flags().IntVar(&times, "count", 0, "end after `N` tables; 0: at Ctrl-C")
	formatFlag(c, &k.Format, "table", "wide")
	kindArgs(c)
	return c
}

// live is a table that is printed again and again, over itself where a person looks at it.
type live struct {
	out  io.Writer
	over bool
}

// clear puts the cursor of a terminal into the corner of an empty screen.
const clear = "\x1b[H\x1b[2J"

// run prints until the context ends, which is no error, or for so many times. An error of the first time ends it; a later one is shown in
// place of the table.
func (t *live) run(ctx context.Context, every time.Duration, times int, draw func(context.Context, io.Writer) error) error {
	if every <= 0 {
		return fmt.Errorf("--every %s: it must be more than nothing", every)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := 1; ; n++ {
		var b bytes.Buffer
		err := draw(ctx, &b)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && n == 1:
			return err
		case err != nil:
			b.Reset()
			fmt.Fprintf(&b, "‼ %v\n", err)
		}
		if err := t.print(b.Bytes()); err != nil || n == times {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (t *live) print(text []byte) error {
	head := time.Now().Format(time.TimeOnly) + "\n"
	if t.over {
		head = clear + head
	}
	_, err := io.WriteString(t.out, head+string(text)+"\n")
	return err
}
