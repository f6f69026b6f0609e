// SPDX-License-Identifier: Apache-2.0

package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/anymesh/anymesh/proxy/stats"
)

// The bounds of both sides, where nothing else is said.
const (
	DefaultIdle  = time.Minute // after which a silent flow is forgotten
	DefaultFlows = 4096        // of one door, or of one link
	maxWaiting   = 16          // datagrams of a flow whose way is being made
)

// Way is where a flow goes.
type Way struct {
	Link *Link
	Edge *stats.Edge
	Done func() // called when the flow has ended
}

// Door is a local port for one service.
type Door struct {
	Conn  *net.UDPConn
	Own   netip.Addr                         // who may use it: this address, and loopback
	Find  func(context.Context) (Way, error) // chooses a way for a new flow, and counts its failure
	Idle  time.Duration                      // 0: DefaultIdle
	Flows int                                // 0: DefaultFlows

	mu    sync.Mutex
	flows *table[netip.AddrPort, *flow]
}

// flow is what one local address sends.
type flow struct {
	door *Door
	from netip.AddrPort

	mu      sync.Mutex
	way     Way
	stream  *Stream  // nil while there is no way
	finding bool     // a way is being made
	waiting [][]byte // for it
	shut    bool
}

// Run takes datagrams until the Door's connection is closed.
func (d *Door) Run() {
	if d.Idle == 0 {
		d.Idle = DefaultIdle
	}
	if d.Flows == 0 {
		d.Flows = DefaultFlows
	}
	d.flows = newTable[netip.AddrPort, *flow](d.Flows)
	done := make(chan struct{})
	go d.sweep(done)
	defer close(done)
	buf := make([]byte, 65535)
	for {
		n, from, err := d.Conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				break
			}
			time.Sleep(time.Millisecond) // out of memory, or an error of an earlier answer
			continue
		}
		if a := from.Addr().Unmap(); a != d.Own.Unmap() && !a.IsLoopback() {
			continue // who may use it speaks in the workload's name
		}
		d.flow(from).send(buf[:n])
	}
	d.mu.Lock()
	gone := d.flows.all()
	d.mu.Unlock()
	for _, f := range gone {
		f.close()
	}
}

func (d *Door) flow(from netip.AddrPort) *flow {
	now := time.Now()
	d.mu.Lock()
	f, ok := d.flows.get(from, now)
	if ok {
		d.mu.Unlock()
		return f
	}
	f = &flow{door: d, from: from}
	gone, gave := d.flows.put(from, f, now)
	d.mu.Unlock()
	if gave {
		gone.close()
	}
	return f
}

func (d *Door) sweep(done <-chan struct{}) {
	t := time.NewTicker(d.Idle / 4)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			d.mu.Lock()
			gone := d.flows.silent(time.Now().Add(-d.Idle))
			d.mu.Unlock()
			for _, f := range gone {
				f.close()
			}
		}
	}
}

// send passes a datagram on. Where there is no way yet, or none any more, a few wait until there is.
func (f *flow) send(b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.shut:
	case f.stream != nil && f.stream.Usable():
		f.pass(b)
	case len(f.waiting) < maxWaiting:
		f.waiting = append(f.waiting, slices.Clone(b))
		if !f.finding {
			f.finding = true
			go f.find()
		}
	}
}

// pass sends on the stream. The caller holds the lock.
func (f *flow) pass(b []byte) {
	c := &f.way.Edge.Datagrams
	if f.stream.Send(b) {
		c.Sent.Add(1)
	} else {
		c.Dropped.Add(1)
	}
}

func (f *flow) find() {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	way, err := f.door.Find(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finding = false
	if err != nil {
		f.waiting = nil // the next datagram tries again
		return
	}
	if f.shut {
		way.Done()
		return
	}
	f.leave()
	f.way = way
	f.stream = way.Link.Open(f.back, f.refused)
	way.Edge.Datagrams.Flows[0].Add(1)
	for _, b := range f.waiting {
		f.pass(b)
	}
	f.waiting = nil
}

// leave gives up the way that the flow had. A link that is about to go still brings answers until then. The caller holds the lock.
func (f *flow) leave() {
	if f.stream != nil {
		if f.stream.Usable() {
			f.stream.Close()
		}
		f.way.Done()
		f.stream = nil
	}
}

// back gives an answer to the process.
func (f *flow) back(b []byte) {
	f.mu.Lock()
	edge := f.way.Edge
	f.mu.Unlock()
	if _, err := f.door.Conn.WriteToUDPAddrPort(b, f.from); err == nil {
		edge.Datagrams.Received.Add(1)
	}
}

// refused counts that the server does not permit the flow. It is not ended: what is refused now may be permitted later.
func (f *flow) refused() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.way.Edge != nil {
		f.way.Edge.Datagrams.Flows[1].Add(1)
	}
}

func (f *flow) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shut = true
	f.waiting = nil
	f.leave()
}
