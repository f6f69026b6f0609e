// SPDX-License-Identifier: Apache-2.0

package sidecar

import (
	"fmt"
	"net/http"
	"sync"
)

// admin is what a kubelet, a person or a scraper asks of a sidecar.
type admin struct {
	address string

	mu   sync.Mutex
	lack error // why it is not ready; nil: it is
}

// wait says what is waited for; nil: nothing is any more.
func (a *admin) wait(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lack = err
}

func (a *admin) ready(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	err := a.lack
	a.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *sidecar) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /ready", s.admin.ready)
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	m.Handle("GET /metrics", s.stats.Handler())
	return m
}
