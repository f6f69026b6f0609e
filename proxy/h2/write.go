// SPDX-License-Identifier: Apache-2.0

package h2

import (
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/anymesh/anymesh/proxy/message"
)

// Turn is what one reader does between two reads of its socket. The connections that it wrote to are flushed at its end, so that many
// frames share a write. A nil Turn flushes at once.
type Turn struct{ touched []*Conn }

func (t *Turn) touch(c *Conn) {
	for _, o := range t.touched {
		if o == c {
			return
		}
	}
	t.touched = append(t.touched, c)
}

func (t *Turn) end() {
	for i, c := range t.touched {
		c.work.Signal()
		t.touched[i] = nil
	}
	t.touched = t.touched[:0]
}

// unlock ends a critical section in which there may have been output.
func (c *Conn) unlock(t *Turn) {
	stuck := len(c.out) >= hardLimit && c.err == nil
	dirty := c.dirty
	c.dirty = false
	c.mu.Unlock()
	switch {
	case stuck:
		go c.fail(errStuck) // not here: the caller may hold its own locks
	case dirty && t != nil:
		t.touch(c)
	case dirty:
		c.work.Signal()
	}
}

var errStuck = errors.New("the peer does not read what it asked for")

// buffers are output buffers of connections that have something to say.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 32<<10); return &b }}

// write is the writer: it takes all that has gathered and writes it at once.
func (c *Conn) write() {
	c.mu.Lock()
	for {
		for len(c.out) == 0 && !c.closing {
			if c.spare != nil { // an idle connection keeps no buffer
				b := c.spare
				buffers.Put(&b)
				c.spare = nil
			}
			c.work.Wait()
		}
		if len(c.out) == 0 {
			break
		}
		b := c.out
		c.out = nil
		c.mu.Unlock()
		_, err := c.nc.Write(b)
		if err != nil {
			c.fail(err)
		}
		c.mu.Lock()
		if cap(b) <= 2*highWater {
			c.spare = b[:0]
		}
		if len(c.waiting) > 0 {
			gone := c.drain(nil)
			c.mu.Unlock()
			tell(nil, gone)
			c.mu.Lock()
		}
	}
	c.mu.Unlock()
	c.part()
}

// part ends our direction and gives the peer a moment to read why. The reader closes.
func (c *Conn) part() {
	close(c.done)
	if c.opts.Ended != nil {
		go c.opts.Ended(c)
	}
	if w, ok := c.nc.(interface{ CloseWrite() error }); !ok || w.CloseWrite() != nil {
		c.nc.Close()
		return
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(farewell)) // fails on a closed connection only
}

// grow takes a buffer for output where there is none.
func (c *Conn) grow() {
	if c.out == nil && c.spare != nil {
		c.out, c.spare = c.spare, nil
	} else if c.out == nil {
		c.out = (*buffers.Get().(*[]byte))[:0]
	}
	c.dirty = true
}

func (c *Conn) putFrame(t http2.FrameType, f http2.Flags, id uint32, n int) {
	c.grow()
	c.out = append(c.out, byte(n>>16), byte(n>>8), byte(n), byte(t), byte(f), byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func (c *Conn) put32(t http2.FrameType, id, v uint32) {
	c.putFrame(t, 0, id, 4)
	c.out = binary.BigEndian.AppendUint32(c.out, v)
}

func (c *Conn) putReset(id uint32, code http2.ErrCode) {
	c.put32(http2.FrameRSTStream, id, uint32(code))
}

func (c *Conn) putPing(ack bool, data [8]byte) {
	var f http2.Flags
	if ack {
		f = http2.FlagPingAck
	}
	c.putFrame(http2.FramePing, f, 0, len(data))
	c.out = append(c.out, data[:]...)
}

func (c *Conn) putGoAway(last uint32, code http2.ErrCode) {
	c.putFrame(http2.FrameGoAway, 0, 0, 8)
	c.out = binary.BigEndian.AppendUint32(c.out, last)
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(code))
}

// putSettings is the first thing that a side says. The connection's window goes with it.
func (c *Conn) putSettings(own http2.Setting) {
	all := []http2.Setting{own, {ID: http2.SettingInitialWindowSize, Val: streamWindow}, {ID: http2.SettingMaxHeaderListSize, Val: MaxHead}}
	c.putFrame(http2.FrameSettings, 0, 0, 6*len(all))
	for _, s := range all {
		c.out = binary.BigEndian.AppendUint16(c.out, uint16(s.ID))
		c.out = binary.BigEndian.AppendUint32(c.out, s.Val)
	}
	c.put32(http2.FrameWindowUpdate, 0, connWindow-65535)
}

// encodeHead makes the header block of a head.
func (c *Conn) encodeHead(h *message.Head) {
	c.encoded.Reset()
	if h.Status != 0 {
		c.encode(":status", status(h.Status))
	} else {
		c.encode(":method", h.Method)
		if h.Method != "CONNECT" {
			path := h.Path
			if h.Query != "" {
				path += h.Query
			}
			c.encode(":scheme", h.Scheme)
			c.encode(":path", path)
		}
		if h.Authority != "" {
			c.encode(":authority", h.Authority)
		}
	}
	for i := range h.Fields {
		c.encode(h.Fields[i].Name, h.Fields[i].Value)
	}
}

func (c *Conn) encode(name, value string) {
	_ = c.enc.WriteField(hpack.HeaderField{Name: name, Value: value}) // a bytes.Buffer takes everything
}

func status(n int) string {
	if n == 200 {
		return "200" // strconv keeps only the small ones
	}
	return strconv.Itoa(n)
}

// putBlock sends the header block that was just encoded.
func (c *Conn) putBlock(id uint32, end bool) {
	t, f := http2.FrameHeaders, http2.Flags(0)
	if end {
		f = http2.FlagHeadersEndStream
	}
	for b := c.encoded.Bytes(); ; t, f = http2.FrameContinuation, 0 {
		n := min(len(b), maxFrame)
		if n == len(b) {
			f |= http2.FlagHeadersEndHeaders
		}
		c.putFrame(t, f, id, n)
		c.out = append(c.out, b[:n]...)
		if b = b[n:]; len(b) == 0 {
			return
		}
	}
}

func (c *Conn) putTrailers(s *Stream, fields []message.Field) {
	if len(fields) == 0 { // HEADERS without a field say less than they cost
		c.putData(s, nil, true)
	} else {
		c.encoded.Reset()
		for i := range fields {
			c.encode(fields[i].Name, fields[i].Value)
		}
		c.putBlock(s.ID, true)
	}
	c.ended(s)
}

// putData sends a frame that the windows have room for.
func (c *Conn) putData(s *Stream, p []byte, end bool) {
	var f http2.Flags
	if end {
		f = http2.FlagDataEndStream
	}
	c.putFrame(http2.FrameData, f, s.ID, len(p))
	c.out = append(c.out, p...)
	s.sendWindow -= int64(len(p))
	c.sendWindow -= int64(len(p))
	c.sentData++
}

// ended notes that our direction of a stream has ended.
func (c *Conn) ended(s *Stream) {
	s.sentEnd = true
	if s.gotEnd {
		c.remove(s)
		c.useful++
	}
}

// remove forgets a stream, and what was received on it.
func (c *Conn) remove(s *Stream) {
	s.closed, s.queue, s.first, s.trailers = true, nil, 0, nil
	delete(c.streams, s.ID)
	c.freed(s.held)
	s.held = 0
	c.left()
}

// left ends a connection that is leaving when nothing is left on it.
func (c *Conn) left() {
	if len(c.streams) == 0 && (c.leaving == 2 || c.refuses && c.opts.Accept == nil) {
		c.closing, c.dirty = true, true
		if c.err == nil {
			c.err = net.ErrClosed
			c.pulse.Stop()
			_ = c.nc.SetWriteDeadline(time.Now().Add(farewell)) // fails on a closed connection only
		}
	}
}
