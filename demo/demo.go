// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up"
)

// Options of a demo.
type Options struct {
	Mesh  up.Options // Source and Settings, at least
	Out   io.Writer
	Live  bool          // Out is a terminal: the table is drawn over itself
	Every time.Duration // between two tables; one second if zero
	Notes *Notes        // what there is to tell beside the table
	Where string        // a person edits the SMI objects: a folder
	Hints []string      // lines that say more of that
	Apart bool          // the pods' processes run by themselves and make their own traffic; see Process
}

// show is one run of the demo.
type show struct {
	Options
	stage *stage
	tally *tally
	doors *doors
	ready chan up.Status
}

// Run runs the shop until the context ends.
func Run(ctx context.Context, o Options) error {
	o.Every = cmp.Or(o.Every, time.Second)
	o.Notes = cmp.Or(o.Notes, &Notes{})
	if o.Live {
		o.Mesh.Logger = o.Notes.logger(o.Mesh.Logger)
	} else if o.Mesh.Logger == nil {
		o.Mesh.Logger = slog.New(slog.DiscardHandler)
	}
	s := &show{Options: o, tally: newTally(), doors: &doors{}, ready: make(chan up.Status, 1),
		stage: &stage{running: map[string]bool{}, log: o.Mesh.Logger}}
	// Processes outlive the mesh, and the traffic ends before it: what is under way at the end is answered.
	back, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	m, err := up.New(s.listen(back))
	if err != nil {
		return err
	}
	meshCtx, end := context.WithCancel(back)
	defer end()
	ended := make(chan error, 1)
	wg.Go(func() { ended <- m.Run(meshCtx) })
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		end()
		return <-ended
	case st := <-s.ready:
		s.greet(&st)
		if len(st.Proxies) == 0 {
			end()
			return cmp.Or(<-ended, errors.New("no pod has a proxy: there is nothing to show"))
		}
	}
	wg.Go(func() { s.draw(back) })
	traffic := make(chan struct{})
	wg.Go(func() {
		defer close(traffic)
		if o.Apart {
			<-ctx.Done()
		} else {
			drive(ctx, s.doors)
		}
	})
	select {
	case err = <-ended:
	case <-traffic:
		end()
		err = <-ended
	}
	stop()
	wg.Wait()
	s.farewell()
	return err
}

// listen makes the mesh tell of what happens in it.
func (s *show) listen(ctx context.Context) up.Options {
	o, apart := s.Mesh, s.Apart
	o.Flushed = func(e *engine.Engine) {
		if !apart {
			s.stage.run(ctx, apps(e.Store, e.Store.Facts))
		}
		s.tally.learn(e)
	}
	o.Access = s.tally.add
	o.Ready = func(st up.Status) {
		for _, p := range st.Proxies {
			s.doors.open(p)
		}
		s.ready <- st
	}
	o.Pod = func(p up.Pod, err error) {
		if err == nil {
			s.doors.open(p)
			s.Notes.Add("%s  %s is in the mesh as %s, at %s", time.Now().Format(time.TimeOnly), p.Name, p.Identity, p.Address)
		}
	}
	o.NACK = func(node, why string) { s.Notes.Add("the proxy %s refused a configuration: %s", node, why) }
	return o
}

// greet says what there is to see, and how to be one of the callers.
func (s *show) greet(st *up.Status) {
	for _, n := range slices.SortedFunc(maps.Keys(st.Failed), model.Name.Compare) {
		fmt.Fprintf(s.Out, "‼ %s has no proxy: %v\n", n, st.Failed[n])
	}
	if r := st.Remedy(); r != "" {
		fmt.Fprintln(s.Out, r)
	}
	if len(st.Proxies) == 0 {
		return
	}
	fmt.Fprintf(s.Out, "A small shop of %d pods on the built-in mesh, with mTLS between them.\n", len(st.Proxies))
	fmt.Fprintf(s.Out, "Splits and access are as the SMI objects in %s say.\n\n", s.Where)
	for _, p := range st.Proxies {
		if account := p.Identity.ServiceAccount; account == "web" || account == "intruder" {
			fmt.Fprintf(s.Out, "  be %-10s curl -x http://%s http://catalog:8080/products\n", account+":", p.Outbound)
		}
	}
	if st.Admin != "" {
		fmt.Fprintf(s.Out, "  metrics:      http://%s/metrics\n", st.Admin)
	}
	fmt.Fprintf(s.Out, "\nEdit a weight, a match or a permission in %s and watch. Ctrl-C ends it.\n", s.Where)
	for _, h := range s.Hints {
		fmt.Fprintln(s.Out, "  "+h)
	}
	fmt.Fprintln(s.Out)
}

// draw shows the table at each tick.
func (s *show) draw(ctx context.Context) {
	tick := time.NewTicker(s.Every)
	defer tick.Stop()
	d := table{out: s.Out, live: s.Live}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			d.draw(s.tally.take(), s.Every, s.Notes.take())
		}
	}
}

// farewell says what the whole run came to, and what news there was at the end.
func (s *show) farewell() {
	for _, n := range s.Notes.take() {
		fmt.Fprintln(s.Out, n)
	}
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	c := s.tally.total
	fmt.Fprintf(s.Out, "\n%d requests: %d admitted, %d refused by access, %d failed\n", c.admitted+c.refused, c.admitted, c.refused, c.failed)
}
