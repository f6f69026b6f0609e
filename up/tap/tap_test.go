// SPDX-License-Identifier: Apache-2.0

package tap_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/up/tap"
)

func TestRedact(t *testing.T) {
	for path, want := range map[string]string{
		"":                           "",
		"/":                          "/",
		"/products/17/reviews":       "/products/17/reviews",
		"/shop.Catalog/ListProducts": "/shop.Catalog/ListProducts",
		"/a-long-and-readable-product-name-of-many-words": "/a-long-and-readable-product-name-of-many-words",
		"/internationalization":                           "/internationalization",
		"/p?token=abc&page=2&x":                           "/p?token=…&page=…&…",
		"/p?":                                             "/p?",
		"/p?a=b=c":                                        "/p?a=…",
		"/reset/3f9d0c1b2a4e5f60718293a4b5c6d7e8":         "/reset/…",
		"/cb/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln":   "/cb/…",
		"/share/xQzVbNmLkJhGfDsAqWeRtY":                   "/share/…",
		"/u/123e4567-e89b-12d3-a456-426614174000/x":       "/u/…/x",
		"/q?3f9d0c1b2a4e5f60718293a4b5c6d7e8=1":           "/q?…",
		"/x/%65%79%4a%68%62%47%63":                        "/x/…",
	} {
		if got := tap.Redact(path); got != want {
			t.Errorf("%s: %s, and not %s", path, got, want)
		}
	}
}

func access(side stats.Side, source, path string, denied bool) proxy.Access {
	return proxy.Access{Key: stats.Key{Side: side, Source: source, Workload: "shop/catalog", Service: "catalog.shop.svc:8080"}, Method: "GET", Path: path, Code: 200, GRPC: -1, Denied: denied, Duration: 1500 * time.Microsecond}
}

// TestStream watches with filters; what nobody watches is told to nobody.
func TestStream(t *testing.T) {
	var tp tap.Tap
	tp.Add("shop/catalog", access("server", "shop/web", "/before", false))
	srv := httptest.NewServer(&tp)
	t.Cleanup(srv.Close) // after those who watch have left
	open := func(f tap.Filter) func() tap.Event {
		res, err := srv.Client().Get(srv.URL + "?" + f.Query().Encode())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		lines := bufio.NewScanner(res.Body)
		return func() (e tap.Event) {
			if !lines.Scan() {
				t.Fatalf("it ended: %v", lines.Err())
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			return e
		}
	}
	all, denied, narrow := open(tap.Filter{}), open(tap.Filter{Denied: true, Workload: "shop/"}), open(tap.Filter{Side: "client", Source: "shop/web", Service: "catalog", Path: "/pr", Method: "GET", Workload: "shop/catalog"})
	for _, a := range []proxy.Access{access("server", "shop/web", "/products?key=secret", false), access("server", "shop/intruder", "/products", true), access("client", "shop/web", "/products/1", false)} {
		tp.Add("shop/catalog", a)
	}
	if e := all(); e.Path != "/products?key=…" || e.Verdict != "allowed" || e.Millis != 1.5 || e.Source != "shop/web" || e.GRPC != nil || e.Account != "shop/catalog" {
		t.Errorf("%+v", e)
	}
	if e := denied(); e.Source != "shop/intruder" || e.Verdict != "denied" {
		t.Errorf("%+v", e)
	}
	if e := narrow(); e.Path != "/products/1" || e.Side != "client" {
		t.Errorf("%+v", e)
	}
	for _, query := range []string{"?denied=maybe", "?side=middle"} {
		res, err := srv.Client().Get(srv.URL + query)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", query, res.Status)
		}
	}
}

// TestSlow does not wait for one who does not read, and tells him what he lost.
func TestSlow(t *testing.T) {
	var tp tap.Tap
	pr, started := newBlocked(), make(chan struct{})
	r := httptest.NewRequest(http.MethodGet, "/tap", nil)
	go func() { close(started); tp.ServeHTTP(pr, r.WithContext(t.Context())) }()
	<-started
	<-pr.flushed // it watches, and is held up by its first event from here on
	const n = 5000
	for range n {
		tp.Add("shop/catalog", access("server", "shop/web", "/", false))
	}
	close(pr.goOn)
	seen, lost := uint64(0), uint64(0)
	for seen+lost < n {
		if len(pr.events) == 0 {
			tp.Add("shop/catalog", access("server", "shop/web", "/last", false)) // carries the number of those lost
		}
		e := <-pr.events
		seen, lost = seen+1, lost+e.Lost
	}
	if lost == 0 {
		t.Error("nothing was lost: the test tests nothing")
	}
}

// blocked is a client that reads when it is told to.
type blocked struct {
	header        http.Header
	flushed, goOn chan struct{}
	events        chan tap.Event
	once          bool
}

func newBlocked() *blocked {
	return &blocked{http.Header{}, make(chan struct{}, 1), make(chan struct{}), make(chan tap.Event, 10000), false}
}

func (b *blocked) Header() http.Header { return b.header }
func (b *blocked) WriteHeader(int)     {}
func (b *blocked) Flush() {
	if !b.once {
		b.once = true
		b.flushed <- struct{}{}
	}
}

func (b *blocked) Write(text []byte) (int, error) {
	<-b.goOn
	var e tap.Event
	if err := json.Unmarshal(text, &e); err != nil {
		return 0, err
	}
	b.events <- e
	return len(text), nil
}
