// SPDX-License-Identifier: Apache-2.0

package udp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/state"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
)

// Outlet is all that a proxy does with the datagrams of its own workload.
type Outlet struct {
	Book *state.Book
	Edge func(service, backend string) *stats.Edge
	Own  netip.Addr // of the workload
	Idle time.Duration
	Max  int // flows of one port
	Log  *slog.Logger

	doors []*Door
	links Pool
}

// sweepPeriod is how often unused links are closed.
const sweepPeriod = 30 * time.Second

// Listen opens a port for a service, whose name is that of its Listener. Nothing is taken before Run.
func (o *Outlet) Listen(port uint16, name string) error {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(o.Own, port)))
	if err != nil {
		return fmt.Errorf("UDP port for %s: %w", name, err)
	}
	o.doors = append(o.doors, &Door{Conn: c, Own: o.Own, Idle: o.Idle, Flows: o.Max,
		Find: func(ctx context.Context) (Way, error) { return o.find(ctx, name) }})
	return nil
}

// Run takes datagrams until Close.
func (o *Outlet) Run(ctx context.Context) {
	for _, d := range o.doors {
		go d.Run()
	}
	t := time.NewTicker(sweepPeriod)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			o.links.Sweep(now.Add(-sweepPeriod))
		}
	}
}

// Close closes ports and links.
func (o *Outlet) Close() {
	for _, d := range o.doors {
		d.Conn.Close()
	}
	o.links.Close()
}

// find finds where a new flow goes: a split is drawn for each flow, and so is an endpoint; where that cannot be reached, one other.
func (o *Outlet) find(ctx context.Context, name string) (Way, error) {
	h, err := o.Book.Host(ctx, name)
	if err == nil && h.UDP == nil {
		err = errors.New("carries no datagrams")
	}
	if err != nil {
		o.Log.Debug("outbound: no way for datagrams", "name", name, "err", err)
		o.Edge(name, "").Datagrams.Failed.Add(1)
		return Way{}, err
	}
	cluster := h.UDP.Pick()
	w := Way{Edge: o.Edge(h.Name, cluster)}
	var last upstream.Place
	for range 2 {
		var place upstream.Place
		if place, w.Done, err = h.Backends[cluster].Choose(last); err != nil {
			break
		}
		open := func(ctx context.Context) (net.Conn, error) { return place.Open(ctx, policy.FramedUDP) }
		if w.Link, err = o.links.Get(ctx, place, open); err == nil {
			return w, nil
		}
		w.Done()
		last = place
	}
	o.Log.Debug("outbound: no way for datagrams", "name", name, "err", err)
	w.Edge.Datagrams.Failed.Add(1)
	return Way{}, err
}
