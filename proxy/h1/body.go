// SPDX-License-Identifier: Apache-2.0

package h1

import (
	"bytes"
	"io"

	"github.com/anymesh/anymesh/proxy/message"
)

// Body reads the body of a message. The zero Body is none.
type Body struct {
	c       *Conn
	left    int64 // of the body, or of a chunk; -1: not known
	chunked bool
	inside  bool // of a chunk whose end is still to come
	done    bool
}

// Body returns the body of the request whose head was read last, of the length that the head says.
func (c *Conn) Body(length int64) Body {
	return Body{c: c, left: length, chunked: length < 0}
}

// Whole tells whether the rest of a body of known length is there already.
func (b *Body) Whole() bool {
	return b.left == 0 && !b.chunked || b.left >= 0 && !b.chunked && int64(b.c.Buffered()) >= b.left
}

// Ready tells whether Next has something to say without waiting.
func (b *Body) Ready() bool {
	if b.done || b.left == 0 && !b.chunked {
		return true
	}
	have := b.c.buf[b.c.r:b.c.w]
	if !b.chunked || b.left > 0 {
		return len(have) > 0
	}
	lines := 1
	if b.inside {
		lines++
	}
	return bytes.Count(have, []byte{'\n'}) >= lines
}

// Next returns the next piece, which holds until the next call. io.EOF comes alone, at the end. trailers, where they are given, receive
// the fields after a chunked body; they hold until Release.
func (b *Body) Next(trailers *message.Head) ([]byte, error) {
	if b.done {
		return nil, io.EOF
	}
	if b.chunked && b.left <= 0 {
		if err := b.chunk(trailers); err != nil {
			return nil, err
		}
	}
	if b.left == 0 {
		b.done = true
		return nil, io.EOF
	}
	c := b.c
	if c.r == c.w {
		if c.big == nil && (b.left < 0 || b.left > small) {
			c.room()
		}
		if err := c.fill(); err != nil {
			if err == io.EOF && b.left < 0 && !b.chunked {
				b.done = true
				return nil, io.EOF
			}
			return nil, unexpected(err)
		}
	}
	n := c.w - c.r
	if b.left >= 0 {
		n = int(min(int64(n), b.left))
		b.left -= int64(n)
	}
	p := c.buf[c.r : c.r+n]
	c.r += n
	return p, nil
}

// chunk reads up to the beginning of the next chunk's data, or over the last one and what follows it.
func (b *Body) chunk(trailers *message.Head) error {
	if b.inside {
		l, err := b.c.line()
		if err == nil && len(l) > 0 {
			err = ErrMalformed
		}
		if err != nil {
			return err
		}
	}
	l, err := b.c.line()
	if err != nil {
		return err
	}
	if b.left, err = chunkSize(l); err != nil {
		return err
	}
	b.inside = true
	if b.left > 0 {
		return nil
	}
	b.chunked = false // so that it ends here
	return b.c.trailers(trailers)
}

// chunkSize reads the size of a chunk. What an extension says is for this hop alone, and not heeded.
func chunkSize(l []byte) (int64, error) {
	if i := bytes.IndexByte(l, ';'); i >= 0 {
		if !every(l[i:], inValue) {
			return 0, ErrMalformed
		}
		l = l[:i]
	}
	if len(l) == 0 || len(l) > 15 || !every(l, inHex) {
		return 0, ErrMalformed
	}
	var n int64
	for _, c := range l {
		d := int64(c & 0xf)
		if c >= 'A' {
			d += 9
		}
		n = n<<4 + d
	}
	return n, nil
}

// trailers reads the fields after the last chunk. Those that would speak of the frame are not taken.
func (c *Conn) trailers(h *message.Head) error {
	if h != nil {
		h.Reset()
	}
	for n := 0; ; {
		l, err := c.line()
		if err != nil || len(l) == 0 {
			return err
		}
		if n += len(l); n > maxTrailer {
			return ErrMalformed
		}
		own := bytes.Clone(l) // the next line may move what was read
		var into message.Head
		if err := (&framing{response: true}).field(own, &into); err != nil {
			return ErrMalformed
		}
		if h != nil && len(into.Fields) == 1 && into.Fields[0].Name != "content-length" {
			h.Fields = append(h.Fields, into.Fields...)
		}
	}
}

// maxTrailer bounds the fields after a chunked body.
const maxTrailer = 4 << 10
