// SPDX-License-Identifier: Apache-2.0

package h1

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"
	"unsafe"

	"github.com/anymesh/anymesh/proxy/wire"
)

// MaxHead is the size in bytes above which a head is odd.
const MaxHead = 16 << 10

// small is the buffer that a connection always has. Most heads fit, so that an idle connection waits in little room.
const small = 2 << 10

// ErrOdd says that a head is not for this package: it may be good, and net/http has to say so. Nothing was consumed.
var ErrOdd = errors.New("not plain HTTP/1.1")

// Conn is a connection that carries HTTP/1.1 messages. One goroutine reads at a time.
type Conn struct {
	net.Conn
	Patience time.Duration // for the rest of a head that has begun; 0: without end
	buf      []byte        // own, or big
	r, w     int           // unread bytes
	head     int           // where the head begins that was read last
	keep     int           // bytes at the front that a head's strings point to
	big      *wire.Buffer
	own      [small]byte
}

// NewConn returns a Conn over c. unread are bytes of c that were read already.
func NewConn(c net.Conn, unread []byte) *Conn {
	h := &Conn{Conn: c}
	h.buf = h.own[:]
	if len(unread) > small {
		h.big = wire.Buffers.Get().(*wire.Buffer)
		h.buf = h.big[:]
	}
	h.w = copy(h.buf, unread)
	return h
}

// Buffered tells how many bytes were read and not consumed.
func (c *Conn) Buffered() int { return c.w - c.r }

// Peek returns the next n bytes, which are there, without taking them.
func (c *Conn) Peek(n int64) []byte { return c.buf[c.r : c.r+int(n)] }

// Skip takes n bytes that are there.
func (c *Conn) Skip(n int64) { c.r += int(n) }

// Back makes the head that was read last unread again. Nothing of its body may have been read.
func (c *Conn) Back() { c.r = c.head }

// Unread returns a copy of the bytes that were read and not consumed, for whoever goes on with the connection.
func (c *Conn) Unread() []byte { return bytes.Clone(c.buf[c.r:c.w]) }

// Release ends a message: its strings do not hold any more, and its buffer is given back.
func (c *Conn) Release() {
	c.keep = 0
	n := c.w - c.r
	switch {
	case n == 0:
		c.r, c.w = 0, 0
	case c.big != nil && n <= small: // the next message has begun
		copy(c.own[:], c.buf[c.r:c.w])
		c.r, c.w = 0, n
	default:
		return
	}
	if c.big != nil {
		wire.Buffers.Put(c.big)
		c.big, c.buf = nil, c.own[:]
	}
}

// fill reads more, once. It makes room without moving what a head points to.
func (c *Conn) fill() error {
	if c.r == c.w {
		c.r, c.w = c.keep, c.keep
	}
	if len(c.buf)-c.w < 512 {
		c.room()
	}
	if c.w == len(c.buf) {
		return io.ErrShortBuffer
	}
	n, err := c.Conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

func (c *Conn) room() {
	if c.big == nil {
		// What points into own goes on doing so: own stays as it is until Release.
		c.big = wire.Buffers.Get().(*wire.Buffer)
		c.w = copy(c.big[:], c.buf[c.r:c.w])
		c.buf, c.r, c.keep = c.big[:], 0, 0
		return
	}
	if c.r > c.keep {
		n := copy(c.buf[c.keep:], c.buf[c.r:c.w])
		c.r, c.w = c.keep, c.keep+n
	}
}

// line takes the next line without its end; nil: it is not whole yet.
func (c *Conn) line() ([]byte, error) {
	for {
		b := c.buf[c.r:c.w]
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			if i == 0 || b[i-1] != '\r' {
				return nil, ErrMalformed
			}
			c.r += i + 1
			return b[:i-1], nil
		}
		if len(b) > maxLine {
			return nil, ErrMalformed
		}
		if err := c.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// maxLine bounds a line of the chunked coding. net/http allows 4096.
const maxLine = 1 << 10

// ErrMalformed says that a chunked body is not one.
var ErrMalformed = errors.New("malformed chunked coding")

// unexpected makes an end in the middle of a message an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
