// SPDX-License-Identifier: Apache-2.0

package h2

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/anymesh/anymesh/proxy/h2/head"
	"github.com/anymesh/anymesh/proxy/message"
)

// Options of a connection.
type Options struct {
	// Accept makes the handler of a stream that a client opened. Nil: this is the client's side.
	Accept func(*Stream) Handler
	// Ended is told when the connection has ended, in a goroutine of its own.
	Ended func(*Conn)
	// Idle is how long a connection without streams is kept; 0: for ever.
	Idle time.Duration
	// Log is told of a fault of ours that ended the connection; nil: slog.Default.
	Log *slog.Logger
}

// Conn is one HTTP/2 connection.
type Conn struct {
	nc   net.Conn
	opts Options
	done chan struct{}
	met  chan struct{} // closed when the peer's first SETTINGS came

	// The reader's own.
	br     *bufio.Reader
	fr     *http2.Framer
	block  *head.Block
	turn   Turn
	head   message.Head
	gone   []sent
	noise  budget // frames that say nothing
	resets budget // streams that were begun for nothing
	reads  atomic.Uint64

	mu          sync.Mutex
	work        sync.Cond // the writer waits on it
	out, spare  []byte
	enc         *hpack.Encoder
	encoded     bytes.Buffer
	streams     map[uint32]*Stream
	waiting     []*Stream // have a queue, and a window of their own
	next        uint32    // id of the next stream that we open
	last        uint32    // highest id that the peer opened
	open        int       // most streams that we may have open
	sendWindow  int64
	recvWindow  int64
	startWindow int64 // of the peer's side of a new stream
	owed, held  int64
	useful      int  // streams that ended well since the reader last looked
	sentData    int  // frames since the reader last looked: they may be answered by WINDOW_UPDATE
	dirty       bool // there is output since the lock was taken
	said        bool // the peer's first SETTINGS came
	leaving     int  // how far a graceful end has come
	refuses     bool // the peer takes no more streams
	closing     bool // the writer says what is left and ends
	err         error
	pulse       *time.Timer
	pulsed      uint64 // reads at the last beat
	quiet       int    // beats without a read
}

// Server begins the server's side of a connection, with the client's preface.
func Server(nc net.Conn, o Options) *Conn {
	c := newConn(nc, o)
	c.putSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: MaxStreams})
	go c.write()
	go func() {
		defer c.guard()
		_ = nc.SetReadDeadline(time.Now().Add(greeting))
		var preface [len(http2.ClientPreface)]byte
		if _, err := io.ReadFull(c.br, preface[:]); err != nil {
			c.fail(err)
		} else if string(preface[:]) != http2.ClientPreface {
			c.fail(fault(http2.ErrCodeProtocol, "the preface is not HTTP/2's"))
		}
		c.serve()
	}()
	return c
}

// Client begins the client's side of a connection.
func Client(nc net.Conn, o Options) *Conn {
	c := newConn(nc, o)
	c.out = append(c.out, http2.ClientPreface...)
	c.putSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	go c.write()
	go func() {
		defer c.guard()
		_ = nc.SetReadDeadline(time.Now().Add(greeting))
		c.serve()
	}()
	return c
}

// errFault is why a connection ended that met a fault of ours.
var errFault = errors.New("a fault of the proxy itself, which its log tells")

// guard ends the reader's connection, and no other, where a handler or the reader panics: one process may serve many workloads.
func (c *Conn) guard() {
	r := recover()
	if r == nil {
		return
	}
	log := c.opts.Log
	if log == nil {
		log = slog.Default()
	}
	log.Error("an HTTP/2 connection ended for a fault of ours", "panic", r, "stack", string(debug.Stack()))
	c.nc.Close()
	go c.fail(errFault) // not here: what panicked may hold our lock
}

func newConn(nc net.Conn, o Options) *Conn {
	r := bufio.NewReaderSize(nc, maxFrame)
	c := &Conn{nc: nc, opts: o, br: r, done: make(chan struct{}), met: make(chan struct{}), streams: map[uint32]*Stream{}, next: 1, open: startStreams,
		sendWindow: 65535, recvWindow: connWindow, startWindow: 65535, noise: newBudget(), resets: newBudget()}
	c.work.L = &c.mu
	c.fr = http2.NewFramer(io.Discard, r)
	c.fr.SetReuseFrames()
	c.fr.SetMaxReadFrameSize(maxFrame)
	c.block = head.New(MaxHead, blockLimit)
	c.enc = hpack.NewEncoder(&c.encoded)
	c.pulse = time.AfterFunc(beat, c.feel)
	return c
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Met is closed when the peer has said what it takes. Streams that are opened before may be too many for it.
func (c *Conn) Met() <-chan struct{} { return c.met }

// Err is why the connection ended.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Open begins a stream with a request. ErrFull: another connection may have room.
func (c *Conn) Open(t *Turn, h Handler, request *message.Head, end bool) (*Stream, error) {
	c.mu.Lock()
	defer c.unlock(t)
	if c.closing || c.refuses || c.leaving > 0 || len(c.streams) >= c.open || c.next > maxWindow {
		return nil, ErrFull
	}
	s := c.stream(c.next, h)
	c.next += 2
	s.sentHead, s.bodiless = true, request.Method == "HEAD"
	c.encodeHead(request)
	c.putBlock(s.ID, end)
	if end {
		c.ended(s)
	}
	return s, nil
}

// Room tells whether another stream can be opened, and whether that can ever be so again.
func (c *Conn) Room() (now, ever bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ever = !c.closing && !c.refuses && c.leaving == 0 && c.next <= maxWindow
	return ever && len(c.streams) < c.open, ever
}

func (c *Conn) stream(id uint32, h Handler) *Stream {
	s := &Stream{ID: id, conn: c, h: h, sendWindow: c.startWindow, recvWindow: streamWindow, left: -1}
	c.streams[id] = s
	return s
}

// Leave ends the connection in order: nothing new is taken, and what is under way finishes.
func (c *Conn) Leave() {
	c.mu.Lock()
	defer c.unlock(nil)
	if c.leaving > 0 || c.closing {
		return
	}
	c.leaving = 1
	if c.opts.Accept != nil {
		// What the client has sent before it knows is still taken; the answer to the ping tells when it knows (RFC 9113 6.8).
		c.putGoAway(maxWindow, http2.ErrCodeNo)
		c.putPing(false, leavePing)
	} else {
		c.leaving = 2
	}
	c.left()
}

var leavePing = [8]byte{'l', 'e', 'a', 'v', 'e'}

// Close cuts the connection, with all that is under way.
func (c *Conn) Close() {
	c.fail(net.ErrClosed)
	c.nc.Close() // it may have been about to end in order
}

// fault is an error of the connection that the peer is told about.
func fault(code http2.ErrCode, reason string) error {
	return &connError{http2.ConnectionError(code), reason}
}

type connError struct {
	error
	reason string
}

func (e *connError) Error() string { return fmt.Sprintf("%v: %s", e.error, e.reason) }
func (e *connError) Unwrap() error { return e.error }

// fail ends the connection and all its streams. The peer is told of its fault.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	streams := c.streams
	for _, s := range streams {
		s.closed = true
	}
	c.streams, c.waiting, c.held, c.closing = map[uint32]*Stream{}, nil, 0, true
	var code http2.ConnectionError
	if errors.As(err, &code) && len(c.out) < hardLimit {
		c.putGoAway(c.last, http2.ErrCode(code))
		_ = c.nc.SetWriteDeadline(time.Now().Add(farewell)) // fails on a closed connection only
	} else {
		c.nc.Close() // the writer may be stuck
	}
	c.mu.Unlock()
	c.pulse.Stop()
	c.work.Signal()
	for _, s := range streams {
		s.h.Closed(nil, err)
	}
}

// feel is called at each beat: it ends a connection that is not used, and on the client's side one that is dead.
func (c *Conn) feel() {
	c.mu.Lock()
	n := c.reads.Load()
	if n != c.pulsed {
		c.pulsed, c.quiet = n, 0
	} else {
		c.quiet++
	}
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.pulse.Reset(beat)
	silent := time.Duration(c.quiet) * beat
	switch used := len(c.streams) > 0; {
	case !used && c.opts.Idle > 0 && silent >= c.opts.Idle:
		c.mu.Unlock()
		c.Leave()
		return
	case used && c.opts.Accept == nil && c.quiet == 2:
		c.putPing(false, [8]byte{'a', 'l', 'i', 'v', 'e'})
	case used && c.opts.Accept == nil && c.quiet > 2:
		c.mu.Unlock()
		c.fail(errors.New("the server has not answered a ping"))
		return
	}
	c.unlock(nil)
}
