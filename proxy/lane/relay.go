// SPDX-License-Identifier: Apache-2.0

package lane

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/message"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/upstream"
	"github.com/anymesh/anymesh/proxy/wire"
)

// ErrSwitched says that the server switched protocols, which nobody had asked for.
var ErrSwitched = errors.New("the server switched to a protocol that was not asked for")

// ClientGone is the code of an outcome where the client left before the end. It is never sent.
const ClientGone = 499

// pieces is a body that is read piece by piece, as h1.Body has it.
type pieces interface {
	Next(trailers *message.Head) ([]byte, error)
	Ready() bool
}

// relay brings a response to the client. again: the line may be used for another request. An error: nothing was written yet.
func (x *Exchange) relay(l *upstream.Line, w Way, odd bool) (o stats.Outcome, again bool, err error) {
	h := &x.response
	var body pieces = &x.res.Body
	if odd {
		b, err := readOdd(l.Conn, h, x.Request.Method)
		if err != nil {
			return o, false, err
		}
		defer b.Close()
		body = b
	}
	if h.Status == http.StatusSwitchingProtocols {
		return o, false, ErrSwitched
	}
	if w.Heed != nil {
		w.Heed(h)
	}
	x.Close = x.Close || x.server.closing.Load()
	x.trailers.Reset()
	s := sink{c: x.client.Conn, chunked: h.Length < 0, out: h1.AppendResponse(x.out[:0], h, h.Length < 0, x.Close)}
	o = stats.Outcome{Code: h.Status, GRPC: -1}
	for {
		if !body.Ready() && s.flush() != nil {
			return x.gone(), false, nil
		}
		p, err := body.Next(&x.trailers)
		if err == io.EOF {
			break
		}
		if err != nil {
			_ = s.flush() // the client gets what there is, and sees that it is not all
			x.Close, o.Code = true, 0
			if x.reason() == ErrGone {
				o.Code = ClientGone
			}
			return o, false, nil
		}
		if s.add(p) != nil {
			return x.gone(), false, nil
		}
	}
	if s.end(&x.trailers) != nil {
		return x.gone(), false, nil
	}
	if h.GRPC {
		o.GRPC = grpcStatus(h, &x.trailers)
	}
	return o, !odd && !x.res.Close, nil
}

func (x *Exchange) gone() stats.Outcome {
	x.Close = true
	return stats.Outcome{Code: ClientGone, GRPC: -1}
}

// grpcStatus reads the status of a finished gRPC response; one without is unknown (2).
func grpcStatus(heads ...*message.Head) int {
	v := ""
	for _, h := range heads {
		for i := range h.Fields {
			if h.Fields[i].Name == "grpc-status" {
				v = h.Fields[i].Value
			}
		}
	}
	n, err := strconv.ParseUint(v, 10, 5)
	if err != nil || n > 16 {
		return 2
	}
	return int(n)
}

// sink puts a message together and writes it in as few pieces as may be.
type sink struct {
	c       net.Conn
	out     []byte
	chunked bool
}

// direct is the size above which a piece is written from where it lies.
const direct = 8 << 10

func (s *sink) add(p []byte) error {
	for len(p) > 0 {
		room := cap(s.out) - len(s.out) - 32 // a chunk's frame
		if room < 1<<10 || !s.chunked && len(s.out) > direct {
			if err := s.flush(); err != nil {
				return err
			}
			continue
		}
		n := min(len(p), room)
		switch {
		case s.chunked:
			s.out = h1.AppendChunk(s.out, p[:n])
		case len(s.out) == 0 && len(p) >= direct:
			_, err := s.c.Write(p)
			return err
		default:
			s.out = append(s.out, p[:n]...)
		}
		p = p[n:]
	}
	return nil
}

func (s *sink) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.c.Write(s.out)
	s.out = s.out[:0]
	return err
}

func (s *sink) end(trailers *message.Head) error {
	if s.chunked {
		s.out = h1.AppendLastChunk(s.out, trailers)
	}
	return s.flush()
}

// oddBody is the body of a response that net/http has read.
type oddBody struct {
	res   *http.Response
	whole bool
	buf   *wire.Buffer
}

// readOdd has net/http read a response that h1 does not: HTTP/1.0, folded lines, announced trailers.
func readOdd(c *h1.Conn, h *message.Head, method string) (*oddBody, error) {
	r := bufio.NewReader(io.MultiReader(bytes.NewReader(c.Unread()), c.Conn))
	for range 6 {
		res, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		h.Reset()
		h.Status, h.Length = res.StatusCode, res.ContentLength
		if method == http.MethodHead || res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified {
			h.Length = 0
		}
		types := res.Header["Content-Type"]
		h.GRPC = len(types) == 1 && strings.HasPrefix(types[0], "application/grpc")
		h1.Strip(res.Header)
		for k, vs := range res.Header {
			for _, v := range vs {
				h.Fields = append(h.Fields, message.Field{Name: strings.ToLower(k), Value: v})
			}
		}
		for k := range res.Trailer {
			h.Fields = append(h.Fields, message.Field{Name: "trailer", Value: k})
		}
		return &oddBody{res: res, buf: wire.Buffers.Get().(*wire.Buffer)}, nil
	}
	return nil, errors.New("too many informational responses")
}

// Ready implements pieces.
func (b *oddBody) Ready() bool { return b.whole }

// Next implements pieces.
func (b *oddBody) Next(trailers *message.Head) ([]byte, error) {
	n, err := b.res.Body.Read(b.buf[:])
	if n > 0 {
		return b.buf[:n], nil
	}
	if err == io.EOF {
		for k, vs := range b.res.Trailer {
			for _, v := range vs {
				trailers.Fields = append(trailers.Fields, message.Field{Name: strings.ToLower(k), Value: v})
			}
		}
	}
	return nil, err
}

// Close gives back what the body holds. The connection is not used again.
func (b *oddBody) Close() { wire.Buffers.Put(b.buf) }
