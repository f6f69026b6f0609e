// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/metrics/local"
	"github.com/anymesh/anymesh/metrics/remote"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// engine is Prometheus' engine behind its API, with a counter that has reached 42, and a value that is none.
func engine(t *testing.T) http.Handler {
	t.Helper()
	s, err := local.Open(local.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	read := func(context.Context) ([]byte, string, error) {
		return []byte("hits{code=\"200\"} 42\nodd NaN\n"), "", nil
	}
	check(t, s.Scraper(&local.Target{Labels: map[string]string{"job": "app"}, Read: read}).Scrape(t.Context(), time.Now().Add(-time.Second)))
	return s.Handler()
}

func client(t *testing.T, c remote.Config) *remote.Client {
	t.Helper()
	p, err := remote.New(c)
	check(t, err)
	return p
}

// asks asks for the counter.
func asks(t *testing.T, p *remote.Client) {
	t.Helper()
	v, err := p.Query(t.Context(), `hits{code="200"}`, time.Now())
	if err != nil || len(v) != 1 || v[0].Value != 42 || v[0].Labels["job"] != "app" || v[0].Labels["code"] != "200" {
		t.Errorf("%v %v", v, err)
	}
}

// fails asks what is answered with an error that says all of this.
func fails(t *testing.T, p *remote.Client, expr string, says ...string) {
	t.Helper()
	v, err := p.Query(t.Context(), expr, time.Now())
	if err == nil {
		t.Errorf("%s: %v", expr, v)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%v: it does not say %q", err, s)
		}
	}
}

func TestQuery(t *testing.T) {
	srv := httptest.NewServer(engine(t))
	defer srv.Close()
	p := client(t, remote.Config{URL: srv.URL + "/"})
	asks(t, p)
	v, err := p.Query(t.Context(), "vector(1)", time.Now())
	if err != nil || len(v) != 1 || v[0].Value != 1 || len(v[0].Labels) != 0 {
		t.Errorf("%v %v", v, err)
	}
	if v, err = p.Query(t.Context(), "7", time.Now()); err != nil || len(v) != 1 || v[0].Value != 7 {
		t.Errorf("%v %v", v, err)
	}
	if v, err = p.Query(t.Context(), "odd", time.Now()); err != nil || len(v) != 1 || !math.IsNaN(v[0].Value) {
		t.Errorf("%v %v", v, err)
	}
	if v, err = p.Query(t.Context(), "hits / 0", time.Now()); err != nil || len(v) != 1 || !math.IsInf(v[0].Value, 1) {
		t.Errorf("%v %v", v, err)
	}
	if v, err = p.Query(t.Context(), "hits", time.Now().Add(-time.Hour)); err != nil || len(v) != 0 {
		t.Errorf("%v %v", v, err)
	}
	fails(t, p, "sum(", srv.URL, "bad_data", "parse error")
	fails(t, p, "hits[5m]", srv.URL, "matrix")
}

// TestGET asks a server that takes no forms.
func TestGET(t *testing.T) {
	h := engine(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			http.Error(w, "no", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	asks(t, client(t, remote.Config{URL: srv.URL}))
}

// TestWho is told who asks: by token, password, header and path, read again at each request.
func TestWho(t *testing.T) {
	h := http.StripPrefix("/prometheus", engine(t))
	var want func(*http.Request) bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !want(r) {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	check(t, os.WriteFile(secret, []byte("one\n"), 0o600))
	base := srv.URL + "/prometheus/"
	bearer := func(token string) func(*http.Request) bool {
		return func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+token }
	}
	p := client(t, remote.Config{URL: base, TokenFile: secret})
	want = bearer("one")
	asks(t, p)
	want = bearer("two")
	fails(t, p, "hits", base[:len(base)-1], "401 Unauthorized", "who are you?")
	check(t, os.WriteFile(secret, []byte("two"), 0o600))
	asks(t, p)
	check(t, os.Remove(secret))
	fails(t, p, "hits", "the bearer token", secret)

	want = func(r *http.Request) bool {
		u, s, _ := r.BasicAuth()
		return u == "me" && s == "p:w"
	}
	asks(t, client(t, remote.Config{URL: base, User: "me", Password: "p:w"}))
	p = client(t, remote.Config{URL: strings.Replace(base, "://", "://me:p%3Aw@", 1)})
	asks(t, p)
	if strings.Contains(p.URL(), "@") {
		t.Errorf("the password is shown: %s", p.URL())
	}
	check(t, os.WriteFile(secret, []byte("p:w\n"), 0o600))
	asks(t, client(t, remote.Config{URL: base, User: "me", PasswordFile: secret}))
	fails(t, client(t, remote.Config{URL: base, User: "you", Password: "p:w"}), "hits", "401")

	want = func(r *http.Request) bool { return r.Header.Get("X-Scope-OrgID") == "shop" }
	asks(t, client(t, remote.Config{URL: base, Headers: map[string]string{"X-Scope-OrgID": "shop"}}))
}

// TestTrouble asks servers that are gone, hang, lie or are none.
func TestTrouble(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l.Close()
	fails(t, client(t, remote.Config{URL: "http://" + l.Addr().String()}), "hits", l.Addr().String(), "connection refused")

	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang/api/v1/query":
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		case "/half/api/v1/query":
			fmt.Fprint(w, `{"status":"success",`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/huge/api/v1/query":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		case "/login/api/v1/query":
			http.Redirect(w, r, "https://login.example/?secret=1", http.StatusFound)
		case "/html/api/v1/query":
			fmt.Fprint(w, "<html>\n  <h1>Welcome")
		case "/odd/api/v1/query":
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,2,3]}]}}`)
		case "/late/api/v1/query":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":"error","errorType":"timeout","error":"query timed out"}`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	at := func(path string) *remote.Client { return client(t, remote.Config{URL: srv.URL + path, Most: 1 << 20}) }
	fails(t, at("/none"), "hits", srv.URL+"/none", "404")
	fails(t, at("/huge"), "hits", "larger than 1048576 bytes")
	fails(t, at("/login"), "hits", "leads elsewhere", "https://login.example/")
	fails(t, at("/html"), "hits", "no answer of Prometheus", "<html> <h1>Welcome")
	fails(t, at("/odd"), "hits", "not a time and a value")
	fails(t, at("/late"), "hits", "timeout: query timed out")
	for _, path := range []string{"/hang", "/half"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := at(path).Query(ctx, "hits", time.Now())
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), srv.URL+path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestConfig refuses what cannot be meant.
func TestConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "empty")
	check(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		remote.Config
		says string
	}{
		{remote.Config{URL: ""}, "http://HOST:PORT"},
		{remote.Config{URL: "prometheus:9090"}, "http://HOST:PORT"},
		{remote.Config{URL: "ftp://x"}, "http://HOST:PORT"},
		{remote.Config{URL: "http://x/?a=b"}, "no query"},
		{remote.Config{URL: "http://x", TokenFile: "t", User: "u"}, "one of them"},
		{remote.Config{URL: "https://x", CA: "/does/not/exist"}, "/does/not/exist"},
		{remote.Config{URL: "https://x", CA: file}, "holds no certificate"},
		{remote.Config{URL: "https://x", CA: file, Insecure: true}, "one of them"},
		{remote.Config{URL: "https://x", Certificate: file}, "its key"},
		{remote.Config{URL: "https://x", Certificate: file, Key: file}, "client certificate"},
	} {
		if _, err := remote.New(c.Config); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c.Config, err)
		}
	}
}

// TestThrough passes requests on, with our word on who asks and not the client's.
func TestThrough(t *testing.T) {
	h := engine(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, s, _ := r.BasicAuth(); u != "me" || s != "pw" || r.Header.Get("Cookie") != "" || r.Header.Get("X-Scope-OrgID") != "shop" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	}))
	defer srv.Close()
	front := httptest.NewServer(client(t, remote.Config{URL: srv.URL, User: "me", Password: "pw", Headers: map[string]string{"X-Scope-OrgID": "shop"}}))
	defer front.Close()
	r, err := http.NewRequest(http.MethodGet, front.URL+"/api/v1/label/code/values", nil)
	check(t, err)
	r.Header.Set("Authorization", "Bearer mine")
	r.Header.Set("Cookie", "a=b")
	r.Header.Set("X-Scope-OrgID", "theirs")
	res, err := front.Client().Do(r)
	check(t, err)
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	check(t, err)
	if res.StatusCode != 200 || !strings.Contains(string(body), `["200"]`) {
		t.Errorf("%s %s", res.Status, body)
	}
	srv.Close()
	res, err = front.Client().PostForm(front.URL+"/api/v1/query", map[string][]string{"query": {"hits"}})
	check(t, err)
	body, err = io.ReadAll(res.Body)
	res.Body.Close()
	check(t, err)
	if res.StatusCode != 503 || !strings.Contains(string(body), `"errorType":"unavailable"`) || !strings.Contains(string(body), srv.URL) {
		t.Errorf("%s %s", res.Status, body)
	}
}
