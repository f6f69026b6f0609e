// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/anymesh/anymesh/proxy/h1"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/wire"
)

// exchange is one HTTP request on its way through, and its response on the way back.
type exchange struct {
	w       http.ResponseWriter
	r       *http.Request
	start   time.Time
	req     policy.Request // what policy judges, which is what is sent on
	url     *url.URL
	upgrade string // protocol that the client wants to switch to; empty: none
	grpc    bool
	access  Access
	edge    *stats.Edge
	cut     bool // the response could not be finished
}

// newExchange reads a request and takes out what concerns this hop alone. After it the headers are not changed any more.
func newExchange(w http.ResponseWriter, r *http.Request) (*exchange, error) {
	x := &exchange{w: w, r: r, start: time.Now()}
	x.grpc = isGRPC(r.Header)
	path, u, err := target(r.RequestURI)
	if err != nil {
		return x, err
	}
	x.url = u
	if r.ProtoMajor == 1 && httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		// Only WebSocket: a switch to anything that carries HTTP again (h2c, TLS) would be a way around the policy.
		if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
			x.upgrade = "websocket"
		}
	}
	trailers := httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers")
	h1.Strip(r.Header)
	delete(r.Header, "Expect") // this hop has answered it
	delete(r.Header, "X-Forwarded-Client-Cert")
	if trailers {
		r.Header["Te"] = []string{"trailers"}
	}
	if x.upgrade != "" {
		r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{x.upgrade}
	}
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = nil // net/http would add its own
	}
	x.req = policy.Request{Method: r.Method, Path: path, Authority: r.Host, Headers: policy.HTTP(r.Header)}
	x.access.Method, x.access.Path = r.Method, path
	return x, nil
}

// target reads a request target as it was sent and makes the URL that is written exactly the same.
func target(raw string) (path string, u *url.URL, err error) {
	if raw != "*" && !strings.HasPrefix(raw, "/") { // absolute form
		_, rest, ok := strings.Cut(raw, "://")
		if !ok {
			return "", nil, errors.New("the request target is neither a path nor a URL")
		}
		if i := strings.IndexAny(rest, "/?"); i < 0 {
			raw = "/"
		} else if raw = rest[i:]; raw[0] == '?' {
			raw = "/" + raw
		}
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c == 0x7f || c == '#' {
			return "", nil, errors.New("the request target has a character that no target may have")
		}
	}
	path, query, asked := strings.Cut(raw, "?")
	u = &url.URL{RawQuery: query, ForceQuery: asked}
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path
		return path, u, nil
	}
	// An opaque "//" would be written as an absolute URL.
	if u.Path, err = url.PathUnescape(path); err != nil {
		return "", nil, errors.New("the path is not well escaped")
	}
	u.RawPath = path
	if u.RequestURI() != raw {
		return "", nil, errors.New("the path cannot be handed on as it was sent")
	}
	return path, u, nil
}

// request is what is sent on.
func (x *exchange) request(ctx context.Context) *http.Request {
	r := x.r
	out := (&http.Request{
		Method: r.Method, URL: x.url, Host: r.Host, Header: r.Header, Trailer: r.Trailer,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: r.ContentLength,
	}).WithContext(ctx)
	if r.ContentLength != 0 {
		out.Body = r.Body
		// An answer may begin before the question ends. HTTP/2 can always do that and says so by an error.
		_ = http.NewResponseController(x.w).EnableFullDuplex()
	}
	return out
}

// respond copies a response back and returns its outcome.
func (x *exchange) respond(ctx context.Context, res *http.Response) stats.Outcome {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return x.tunnel(ctx, res)
	}
	defer res.Body.Close()
	if res.ProtoMajor == 2 && ctx != x.r.Context() {
		// net/http looks at ctx only when the request's body has ended, which may be long after.
		defer context.AfterFunc(ctx, func() { res.Body.Close() })()
	}
	h := x.w.Header()
	h1.Strip(res.Header)
	for k, v := range res.Header {
		h[k] = v
	}
	for _, k := range []string{"Date", "Content-Type"} {
		if _, ok := h[k]; !ok {
			h[k] = nil // not ours to add
		}
	}
	for k := range res.Trailer {
		h.Add("Trailer", k)
	}
	announced := len(res.Trailer)
	grpc := isGRPC(res.Header)
	x.w.WriteHeader(res.StatusCode)
	// A response without a body is not flushed, so that HTTP/2 ends the stream with the header: gRPC tells errors so.
	err := x.body(res, res.ContentLength < 0 || grpc && res.ContentLength != 0)
	o := stats.Outcome{Code: res.StatusCode, GRPC: -1}
	if err != nil && !(grpc && errors.Is(context.Cause(ctx), errRevoked)) {
		x.cut = true
		if errors.Is(err, errClientGone) || x.r.Context().Err() != nil {
			o.Code = statusClientGone
		} else {
			o.Code = 0
		}
		return o
	}
	if err != nil {
		h[http.TrailerPrefix+"Grpc-Status"] = []string{"7"}
		h[http.TrailerPrefix+"Grpc-Message"] = []string{"access was taken away"}
		return stats.Outcome{Code: res.StatusCode, GRPC: 7, Denied: true}
	}
	for k, v := range res.Trailer {
		if announced != len(res.Trailer) {
			k = http.TrailerPrefix + k
		}
		h[k] = v
	}
	if grpc {
		o.GRPC = grpcStatus(res)
	}
	return o
}

// errClientGone says that a response could not be written, in contrast to not read.
var errClientGone = errors.New("the client left")

// body copies the response's body; live: each piece goes on its way at once.
func (x *exchange) body(res *http.Response, live bool) error {
	if x.r.Method == http.MethodHead {
		return nil
	}
	var flush func() error
	if live {
		flush = http.NewResponseController(x.w).Flush
		if flush() != nil {
			return errClientGone
		}
	}
	buf := wire.Buffers.Get().(*wire.Buffer)
	defer wire.Buffers.Put(buf)
	for {
		n, err := res.Body.Read(buf[:])
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return errClientGone
			}
			if live && flush() != nil {
				return errClientGone
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
