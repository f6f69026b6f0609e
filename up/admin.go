// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
)

// adminHandler serves what a person or a scraper asks of a running mesh.
func (m *Mesh) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.stats.Handler())
	if m.numbers != nil {
		m.numbers.handle(mux)
	}
	mux.Handle("GET /tap", &m.tap)
	mux.HandleFunc("GET /findings", m.serveFindings)
	mux.HandleFunc("GET /proxies", func(w http.ResponseWriter, _ *http.Request) { reply(w, m.server.Statuses()) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	return mux
}

// passed tells of requests that the proxy of an identity has finished to whoever wants to know.
func (m *Mesh) passed(id model.Identity) func(proxy.Access) {
	account := id.String()
	return func(a proxy.Access) {
		m.tap.Add(account, a)
		if m.o.Access != nil {
			m.o.Access(a)
		}
	}
}

func (m *Mesh) serveFindings(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	type finding struct {
		Level         model.Level
		Code          model.Code
		Object        string
		Path, Message string
		Hint          string `json:",omitempty"`
	}
	list := []finding{}
	err := m.engine.Ask(ctx, func(e *engine.Engine) {
		for _, f := range e.Findings() {
			list = append(list, finding{f.Level, f.Code, f.Object.String(), f.Path, f.Message, f.Hint})
		}
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	reply(w, list)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v)
}
