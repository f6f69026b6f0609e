// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/up"
)

// Options of a demo.
type Options struct {
	Mesh   up.Options // Source and Settings, at least
	Out    io.Writer
	Live   bool          // Out is a terminal: the table is drawn over itself
	Every  time.Duration // between two tables; one second if zero
	Notes  *Notes        // what there is to tell beside the table
	Folder string        // that a person edits
}

// Notes are lines of news, told once each.
type Notes struct {
	mu    sync.Mutex
	lines []string
}

// Add tells news.
func (n *Notes) Add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *Notes) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.lines
	n.lines = nil
	return out
}

// Run runs the shop until the context ends.
func Run(ctx context.Context, o Options) error {
	if o.Every == 0 {
		o.Every = time.Second
	}
	if o.Notes == nil {
		o.Notes = &Notes{}
	}
	log := o.Mesh.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// Processes outlive the mesh, and the traffic ends before it: what is under way at the end is answered.
	back, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	st := &stage{running: map[string]bool{}, log: log}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	ready := make(chan up.Status, 1)
	o.Mesh.Flushed = func(e *engine.Engine) { st.run(back, apps(e.Store, e.Store.Facts)) }
	t := newTally()
	o.Mesh.Access = t.add
	o.Mesh.Ready = func(s up.Status) { ready <- s }
	o.Mesh.NACK = func(node, why string) { o.Notes.Add("the proxy %s refused a configuration: %s", node, why) }
	m, err := up.New(o.Mesh)
	if err != nil {
		return err
	}
	meshCtx, end := context.WithCancel(back)
	ended := make(chan error, 1)
	wg.Go(func() { ended <- m.Run(meshCtx) })
	select {
	case err := <-ended:
		end()
		return err
	case <-ctx.Done():
		end()
		return <-ended
	case s := <-ready:
		greet(&o, &s)
		wg.Go(func() { show(back, &o, t) })
		traffic := make(chan struct{})
		wg.Go(func() { drive(ctx, s.Proxies); close(traffic) })
		select {
		case err = <-ended:
		case <-traffic:
			end()
			err = <-ended
		}
		end()
		stop()
		wg.Wait()
		farewell(&o, t)
		return err
	}
}

func greet(o *Options, s *up.Status) {
	fmt.Fprintf(o.Out, "The built-in mesh runs %d pods of a small shop: mTLS between them, splits and access from the SMI objects in %s.\n", len(s.Proxies), o.Folder)
	for n, err := range s.Failed {
		fmt.Fprintf(o.Out, "  ‼ %s has no proxy: %v\n", n, err)
	}
	for _, p := range s.Proxies {
		if p.Name.Name == "web" || p.Name.Name == "intruder" {
			fmt.Fprintf(o.Out, "  be %-9s curl -x http://%s http://catalog:8080/products\n", p.Name.Name+":", p.Outbound)
		}
	}
	if s.Admin != "" {
		fmt.Fprintf(o.Out, "  metrics:     http://%s/metrics\n", s.Admin)
	}
	fmt.Fprintf(o.Out, "Edit a weight, a match or a permission in %s and watch. Ctrl-C ends it.\n\n", o.Folder)
}

// show prints the table at each tick.
func show(ctx context.Context, o *Options, t *tally) {
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	d := table{out: o.Out, live: o.Live}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.draw(t.take(), o.Every, o.Notes.take())
		}
	}
}

// farewell says what the whole run came to.
func farewell(o *Options, t *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.total
	fmt.Fprintf(o.Out, "\n%d requests: %d admitted, %d refused by access, %d failed\n", c.admitted+c.refused, c.admitted, c.refused, c.failed)
}
