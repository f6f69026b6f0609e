// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httputil"
)

// ServeHTTP passes a request of Prometheus' API on to the server and its answer back, as they are, signed as our own are. What the client
// sent to say who it is stays here.
func (p *Client) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.proxy.ServeHTTP(w, r) }

func (p *Client) through(t http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: signed{p, t},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(p.base)
			r.Out.Header.Del("Authorization")
			r.Out.Header.Del("Cookie")
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": "unavailable", "error": p.base.String() + ": " + err.Error()})
		},
	}
}

// signed says who asks, on the way.
type signed struct {
	p *Client
	t http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (s signed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := s.p.sign(r.Header); err != nil {
		return nil, err
	}
	return s.t.RoundTrip(r)
}
