// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// The paths that an API server is given.
const (
	ConvertPath  = "/convert"
	ValidatePath = "/validate"
	InjectPath   = "/inject"
)

// Limits of what is read of a request. An API server sends an object with its predecessor to be validated, each of which its store limits to
// 1.5 MB; and whole lists to be converted, of up to 10,000 objects.
const (
	maxReview     = 16 << 20
	maxConversion = 128 << 20
	trusted       = 1 << 20 // of a length that a client announces, before it has sent it
)

// Options tune a Handler; the zero value is meant for use.
type Options struct {
	// Judge says what the mesh would find of an object, given all else that is known. Its findings name fields in the newest
	// version's shape, as Decode's do. It may be slow and is not waited for: it must return when the context ends. Nil: nobody is asked.
	Judge func(context.Context, *object.Object) []model.Finding
	// Patience is how long Judge is waited for; 300 ms if zero.
	Patience time.Duration
	// Ready says why requests should not come here yet; nil: they may at once.
	Ready func() error
	// Inject puts proxies into pods; nil: pods stay as they are.
	Inject Injector
	// Metrics is told of the numbers of reviews and conversions, and how long they took; nil: nobody is.
	Metrics prometheus.Registerer
}

// Handler answers an API server. It is safe for concurrent use.
type Handler struct {
	options Options
	judges  chan struct{} // as many as may be at work at once
	metrics *metrics
	mux     *http.ServeMux
}

// New makes a handler. It fails where Options.Metrics refuses a metric, for example since another handler has registered it.
func New(o Options) (*Handler, error) {
	if o.Patience <= 0 {
		o.Patience = 300 * time.Millisecond
	}
	m, err := newMetrics(o.Metrics)
	if err != nil {
		return nil, err
	}
	h := &Handler{options: o, judges: make(chan struct{}, 64), metrics: m, mux: http.NewServeMux()}
	h.mux.HandleFunc("POST "+ConvertPath, h.serve("convert", maxConversion, h.convert))
	h.mux.HandleFunc("POST "+ValidatePath, h.serve("validate", maxReview, h.validate))
	h.mux.HandleFunc("POST "+InjectPath, h.serve("inject", maxReview, h.inject))
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	h.mux.HandleFunc("GET /readyz", h.ready)
	return h, nil
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) ready(w http.ResponseWriter, _ *http.Request) {
	if h.options.Ready != nil {
		if err := h.options.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = io.WriteString(w, "ok\n")
}

// serve reads a body up to a limit, and writes the answer to it.
func (h *Handler) serve(name string, limit int64, answer func(context.Context, []byte) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		defer func() { h.metrics.took(name, time.Since(start)) }()
		body, err := read(http.MaxBytesReader(w, r.Body, limit), r.ContentLength)
		if err != nil {
			status := http.StatusBadRequest
			if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, err.Error(), status)
			return
		}
		out, err := answer(r.Context(), body)
		if err != nil { // not a review: there is nobody to answer in its own words
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out) // whoever is gone does not need it
	}
}

// read is ReadAll that knows how much is to come.
func read(r io.Reader, length int64) ([]byte, error) {
	body := bytes.NewBuffer(make([]byte, 0, max(0, min(length, trusted))+bytes.MinRead))
	_, err := body.ReadFrom(r)
	return body.Bytes(), err
}
