// SPDX-License-Identifier: Apache-2.0

package udp

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anymesh/anymesh/proxy/stats"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("did not come true: %s", what)
		}
	}
}

// pair is both ends of a connection on loopback.
func pair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	check(t, err)
	b, err = l.Accept()
	check(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// rig is a door, a link and a server before an echo, without a mesh around.
type rig struct {
	server *Server
	door   *Door
	edge   *stats.Edge // of the caller's side
	seen   atomic.Int64
	open   atomic.Bool
	stop   context.CancelFunc // of the server
}

func newRig(t testing.TB, idle time.Duration, flows int) *rig {
	t.Helper()
	echo, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	t.Cleanup(func() { echo.Close() })
	r := &rig{edge: stats.New().Edge(stats.Key{Side: stats.Client})}
	r.open.Store(true)
	go func() {
		buf := make([]byte, 65535)
		for {
			n, from, err := echo.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			r.seen.Add(1)
			echo.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	a, b := pair(t)
	r.server = &Server{Conn: b, Edge: stats.New().Edge(stats.Key{}), Idle: idle, Flows: flows, Sessions: new(atomic.Int64), Admit: r.open.Load,
		Dial: func() (net.Conn, error) { return net.DialUDP("udp", nil, echo.LocalAddr().(*net.UDPAddr)) }}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		_ = r.server.Serve(ctx) // a test may cut the link
		close(served)
	}()
	link := NewLink(a)
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	r.door = &Door{Conn: c, Own: netip.MustParseAddr("127.0.0.1"), Idle: idle, Flows: flows,
		Find: func(context.Context) (Way, error) { return Way{link, r.edge, func() {}}, nil }}
	go r.door.Run()
	t.Cleanup(func() {
		c.Close()
		a.Close()
		<-served
		if n := r.server.Sessions.Load(); n != 0 {
			t.Errorf("%d sockets are left", n)
		}
	})
	return r
}

func (r *rig) flow(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, r.door.Conn.LocalAddr().(*net.UDPAddr))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func answered(c net.Conn, text string) bool {
	buf := make([]byte, 65535)
	c.Write([]byte(text))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		n, err := c.Read(buf)
		if err != nil || string(buf[:n]) == text {
			return err == nil
		}
	}
}

// TestFlowsAreBounded holds that more flows than there may be push out the most silent ones, at both ends.
func TestFlowsAreBounded(t *testing.T) {
	r := newRig(t, time.Hour, 8)
	for i := range 100 {
		if !answered(r.flow(t), fmt.Sprint(i)) {
			t.Fatalf("flow %d has no answer", i)
		}
		if n := r.server.Sessions.Load(); n > 8 {
			t.Fatalf("%d sockets where 8 may be", n)
		}
	}
	r.door.mu.Lock()
	n := len(r.door.flows.items)
	r.door.mu.Unlock()
	if n != 8 {
		t.Errorf("%d flows are known, of 8 at most", n)
	}
}

// TestSilentFlowsEnd holds that a flow that nobody uses is forgotten at both ends, and begins anew when it is used again.
func TestSilentFlowsEnd(t *testing.T) {
	r := newRig(t, 50*time.Millisecond, 100)
	c := r.flow(t)
	if !answered(c, "a") {
		t.Fatal("no answer")
	}
	eventually(t, "the socket is closed", func() bool { return r.server.Sessions.Load() == 0 })
	if !answered(c, "b") {
		t.Error("no answer after a silence")
	}
}

// TestRefused holds that what is not permitted does not reach the process, either way, and is counted once for a flow.
func TestRefused(t *testing.T) {
	r := newRig(t, time.Hour, 100)
	c := r.flow(t)
	if !answered(c, "a") {
		t.Fatal("no answer")
	}
	r.open.Store(false)
	before := r.seen.Load()
	d := &r.server.Edge.Datagrams
	eventually(t, "ten are dropped", func() bool { c.Write([]byte("b")); return d.Dropped.Load() >= 10 })
	if r.seen.Load() != before || d.Flows[1].Load() != 1 {
		t.Errorf("the process saw %d more; %d flows are counted as denied", r.seen.Load()-before, d.Flows[1].Load())
	}
	eventually(t, "the caller's side knows", func() bool { return r.edge.Datagrams.Flows[1].Load() == 1 })
	r.open.Store(true)
	if !answered(c, "c") {
		t.Error("no answer after it is permitted again")
	}
}

// TestLeaving holds that a server that ends lets the answers under way through, and that its link takes no new flows.
func TestLeaving(t *testing.T) {
	r := newRig(t, time.Hour, 100)
	c := r.flow(t)
	if !answered(c, "a") {
		t.Fatal("no answer")
	}
	r.stop()
	eventually(t, "the link is no more for new flows", func() bool {
		w, err := r.door.Find(context.Background())
		return err == nil && !w.Link.usable()
	})
}

// TestSlowLink holds that a link which takes nothing drops datagrams, keeps no more than it should, and holds up nobody.
func TestSlowLink(t *testing.T) {
	s := newSender() // nobody writes
	for i := range 1000 {
		if ok := s.send(1, datagram, make([]byte, 1000)); i < 200 && !ok || i > 300 && ok {
			t.Fatalf("datagram %d: %v", i, ok)
		}
	}
	if len(s.buf) > maxPending {
		t.Errorf("%d bytes wait", len(s.buf))
	}
	if !s.send(1, ended, nil) {
		t.Error("an end is dropped")
	}
}

func FuzzFrames(f *testing.F) {
	frame := func(flow uint32, k uint16, text string) []byte {
		b := binary.BigEndian.AppendUint32(nil, flow)
		b = binary.BigEndian.AppendUint16(b, k)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
	}
	f.Add(frame(1, 0, "hello"))
	f.Add(append(frame(1, 0, ""), frame(7, 1, "")...))
	f.Add(frame(0, 9, "x"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		a, b := pair(t)
		go func() { a.Write(wire); a.Close() }()
		var again []byte
		err := receive(b, func(flow uint32, k kind, text []byte) { again = append(again, frame(flow, uint16(k), string(text))...) })
		if len(again) > len(wire) || string(again) != string(wire[:len(again)]) {
			t.Errorf("%x is read as %x", wire, again)
		}
		if err == nil && len(wire)-len(again) >= head {
			t.Errorf("%x ends without an error after %x", wire, again)
		}
	})
}

// BenchmarkRoundTrip is a datagram there and back, through both ends, without TLS.
func BenchmarkRoundTrip(b *testing.B) {
	r := newRig(b, time.Hour, 100)
	c := r.flow(b)
	if !answered(c, "x") {
		b.Fatal("no answer")
	}
	b.ReportAllocs()
	for b.Loop() {
		if !answered(c, "payload of a usual size, as DNS has it: payload of a usual size") {
			b.Fatal("no answer")
		}
	}
}
