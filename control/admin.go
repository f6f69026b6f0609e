// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Handler answers what a person or a load balancer asks: /proxies, /ready and /healthz.
func (p *Plane) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	m.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-p.filled:
			fmt.Fprintln(w, "ok")
		default:
			http.Error(w, "the mesh has not been read yet", http.StatusServiceUnavailable)
		}
	})
	m.HandleFunc("GET /proxies", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(p.xds.Statuses())
	})
	return m
}
