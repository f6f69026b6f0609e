// SPDX-License-Identifier: Apache-2.0

// Package tap lets a person watch requests as they pass the built-in mesh: who asked whom for what, and what was decided.
//
// What could be a secret does not leave the mesh: no header and no body is seen, of a query the names alone, and parts of a path that look
// like a key are taken out.
package tap

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anymesh/anymesh/proxy"
)

// Event is one finished request, or one connection of bytes, as one of the two proxies saw it.
type Event struct {
	Time     time.Time `json:"time"`
	Side     string    `json:"side"`
	Source   string    `json:"source"`            // identity of the caller
	Workload string    `json:"workload"`          // whose proxy tells, namespace/name
	Account  string    `json:"account"`           // identity of the workload
	Pod      string    `json:"pod,omitempty"`     // of the workload
	Service  string    `json:"service,omitempty"` // that was asked for; of the client side
	Backend  string    `json:"backend,omitempty"` // that a split chose; of the client side
	Method   string    `json:"method,omitempty"`  // empty: bytes
	Path     string    `json:"path,omitempty"`
	Code     int       `json:"code"`           // HTTP status; 0: no response
	GRPC     *int      `json:"grpc,omitempty"` // gRPC status
	Verdict  string    `json:"verdict"`        // allowed, denied
	Rule     string    `json:"rule,omitempty"` // route or grant that decided
	Millis   float64   `json:"ms"`
	Lost     uint64    `json:"lost,omitempty"` // events before this one that came faster than they were read
}

// Filter chooses events. What is empty does not choose.
type Filter struct {
	Side, Source, Workload, Service, Method, Path string // Path is a prefix; Workload is a namespace, with a slash, or namespace/name
	Denied                                        bool
}

// Query is the filter as parameters of a URL.
func (f Filter) Query() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"side": f.Side, "source": f.Source, "workload": f.Workload, "service": f.Service, "method": f.Method, "path": f.Path} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if f.Denied {
		v.Set("denied", "true")
	}
	return v
}

func read(v url.Values) (f Filter, err error) {
	f = Filter{Side: v.Get("side"), Source: v.Get("source"), Workload: v.Get("workload"), Service: v.Get("service"), Method: v.Get("method"), Path: v.Get("path")}
	if text := v.Get("denied"); text != "" {
		if f.Denied, err = strconv.ParseBool(text); err != nil {
			return f, fmt.Errorf("denied=%s: true or false", text)
		}
	}
	if f.Side != "" && f.Side != "client" && f.Side != "server" {
		return f, fmt.Errorf("side=%s: client or server", f.Side)
	}
	return f, nil
}

func (f *Filter) takes(a *proxy.Access) bool {
	is := func(want, have string) bool { return want == "" || want == have }
	return is(f.Side, string(a.Side)) && is(f.Source, a.Source) && is(f.Method, a.Method) && (!f.Denied || a.Denied) && strings.HasPrefix(a.Path, f.Path) &&
		(is(f.Workload, a.Workload) || strings.HasSuffix(f.Workload, "/") && strings.HasPrefix(a.Workload, f.Workload)) &&
		(f.Service == "" || a.Service == f.Service || strings.HasPrefix(a.Service, f.Service+".") || strings.HasPrefix(a.Service, f.Service+":"))
}

// Tap passes events to those who watch. The zero value is ready. It is safe for concurrent use.
type Tap struct {
	watched atomic.Int32
	mu      sync.RWMutex
	all     map[*watcher]struct{}
}

// watcher is one who watches.
type watcher struct {
	filter Filter
	events chan Event
	lost   atomic.Uint64
}

// room is how many events wait for one who watches.
const room = 256

// Add tells of an event at the proxy of an account, as namespace/account. Nobody is waited for: who reads too slowly loses some, and is told how many.
func (t *Tap) Add(account string, a proxy.Access) {
	if t.watched.Load() == 0 {
		return
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for w := range t.all {
		if !w.filter.takes(&a) {
			continue
		}
		e := event(&a)
		e.Account = account
		e.Lost = w.lost.Swap(0)
		select {
		case w.events <- e:
		default:
			w.lost.Add(e.Lost + 1)
		}
	}
}

func event(a *proxy.Access) Event {
	e := Event{Time: time.Now(), Side: string(a.Side), Source: a.Source, Workload: a.Workload, Pod: a.Pod, Service: a.Service, Backend: a.Backend,
		Method: a.Method, Path: Redact(a.Path), Code: a.Code, Verdict: "allowed", Rule: a.Rule, Millis: float64(a.Duration.Microseconds()) / 1000}
	if a.Denied {
		e.Verdict = "denied"
	}
	if a.GRPC >= 0 {
		e.GRPC = &a.GRPC
	}
	return e
}

func (t *Tap) watch(f Filter) *watcher {
	w := &watcher{filter: f, events: make(chan Event, room)}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[*watcher]struct{}{}
	}
	t.all[w] = struct{}{}
	t.watched.Add(1)
	return w
}

func (t *Tap) leave(w *watcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, w)
	t.watched.Add(-1)
}

// ServeHTTP streams events as lines of JSON, until the client leaves.
func (t *Tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, err := read(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	me := t.watch(f)
	defer t.leave(me)
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w)
	enc := json.NewEncoder(w)
	if flush.Flush() != nil { // so that the client knows that it watches
		return
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case e := <-me.events:
			if enc.Encode(e) != nil || len(me.events) == 0 && flush.Flush() != nil {
				return
			}
		}
	}
}
