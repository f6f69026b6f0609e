// SPDX-License-Identifier: Apache-2.0

// Package stat asks for TrafficMetrics and shows them to a person: where they are asked, what is asked, and how it looks.
package stat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/ask"
	"github.com/anymesh/anymesh/metrics/plain"
	"github.com/anymesh/anymesh/metrics/remote"
)

// Door is where the TrafficMetrics API is asked: a mesh on this machine, a cluster, or this process itself.
type Door struct {
	Where string // in words
	base  string
	trip  http.RoundTripper

	mu    sync.Mutex
	notes []string
}

// Notes are what the meshes that answered cannot tell, each once.
func (d *Door) Notes() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.notes)
}

// hear keeps the warnings of an answer, which are notes in HTTP's words: 299 - "text".
func (d *Door) hear(h http.Header) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range h.Values("Warning") {
		_, text, _ := strings.Cut(v, " - ")
		if u, err := strconv.Unquote(text); err == nil {
			text = u
		}
		if text != "" && !slices.Contains(d.notes, text) {
			d.notes = append(d.notes, text)
		}
	}
}

// HTTP asks an address.
func HTTP(where, base string) *Door {
	return &Door{Where: where, base: base, trip: http.DefaultTransport}
}

// Handler asks in this process.
func Handler(where string, h http.Handler) *Door {
	return &Door{Where: where, base: "http://here", trip: handled{h}}
}

// patience is how long a person waits for a Prometheus.
const patience = 30 * time.Second

// Prometheus asks a Prometheus that scrapes a mesh, in this process.
func Prometheus(d *mesh.Driver, p *remote.Client, w metrics.World) *Door {
	source := ask.New(w, []ask.Mesh{{Name: d.Name, Queries: d.Queries, Prometheus: p}}, ask.WithBudget(patience))
	return Handler("Prometheus at "+p.URL(), plain.Handler(plain.Options{Source: source, World: w}))
}

// Cluster asks a cluster's API server, which passes it on.
func Cluster(c *connect.Cluster) (*Door, error) {
	base, trip, err := c.Raw()
	if err != nil {
		return nil, err
	}
	return &Door{Where: "the cluster at " + base.String(), base: strings.TrimSuffix(base.String(), "/"), trip: trip}, nil
}

// handled serves a request by calling.
type handled struct{ h http.Handler }

// RoundTrip implements http.RoundTripper.
func (t handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &written{header: http.Header{}, code: http.StatusOK}
	t.h.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.code, Header: w.header, Body: io.NopCloser(&w.body), Request: r}, nil
}

type written struct {
	header http.Header
	body   bytes.Buffer
	code   int
}

func (w *written) Header() http.Header         { return w.header }
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *written) WriteHeader(code int)        { w.code = code }

// ErrNone says that there is no such API where it was asked.
var ErrNone = errors.New("no TrafficMetrics are served there")

// most bounds one answer.
const most = 256 << 20

// Get asks for a path, and reads the answer into a value.
func (d *Door) Get(ctx context.Context, path string, query url.Values, into any) error {
	u := d.base + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	res, err := d.Open(ctx, u)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return fmt.Errorf("%s: %w", d.Where, err)
	}
	d.hear(res.Header)
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, into); err != nil {
			return fmt.Errorf("%s: what it says cannot be read: %w", d.Where, err)
		}
		return nil
	}
	var s metav1.Status
	switch known := json.Unmarshal(text, &s) == nil && s.Message != ""; {
	case res.StatusCode == http.StatusNotFound && (!known || strings.HasPrefix(s.Message, "the server could not find the requested resource")):
		return fmt.Errorf("%s: %w", d.Where, ErrNone)
	case res.StatusCode == http.StatusNotFound:
		return &missing{s.Message}
	case known:
		return fmt.Errorf("%s: %s", d.Where, s.Message)
	}
	return fmt.Errorf("%s answers %d: %.200s", d.Where, res.StatusCode, text)
}

// missing says that a resource is not there.
type missing struct{ message string }

func (m *missing) Error() string { return m.message }

// Open asks for a URL and leaves the answer to be read.
func (d *Door) Open(ctx context.Context, u string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	res, err := d.trip.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Where, err)
	}
	return res, nil
}

// URL is the address of a path.
func (d *Door) URL(path string) string { return d.base + path }
