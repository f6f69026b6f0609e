// SPDX-License-Identifier: Apache-2.0

// Package remote is a Prometheus over HTTP, or whatever speaks its API: Thanos, Mimir, VictoriaMetrics.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anymesh/anymesh/metrics"
)

// Config says how a server is reached. Files are read again, so that what is in them can be renewed.
type Config struct {
	URL          string            // base: https://mimir.example/prometheus
	CA           string            // file of the certificates that sign the server's; empty: the system's
	Certificate  string            // file of a client certificate
	Key          string            // and of its key
	ServerName   string            // that the certificate must have; empty: the URL's host
	Insecure     bool              // the server's certificate is not looked at
	TokenFile    string            // of a bearer token
	User         string            // basic auth
	Password     string            // of the user
	PasswordFile string            // instead of Password
	Headers      map[string]string // added to each request: X-Scope-OrgID names a tenant of Mimir
	Most         int64             // bytes of one answer, 32 MiB
}

// Client asks a server. It is safe for concurrent use.
type Client struct {
	c     Config
	base  *url.URL
	http  *http.Client
	proxy *httputil.ReverseProxy
}

var _ metrics.Prometheus = (*Client)(nil)

// New makes a client. It asks the server nothing; its errors are of the configuration.
func New(c Config) (*Client, error) {
	base, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the URL of Prometheus: %w", err)
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("the URL of Prometheus %q: write http://HOST:PORT or https://HOST:PORT", c.URL)
	case base.RawQuery != "" || base.Fragment != "":
		return nil, fmt.Errorf("the URL of Prometheus %q: a base has no query", c.URL)
	case c.TokenFile != "" && (c.User != "" || base.User != nil):
		return nil, errors.New("a bearer token and a user: one of them is who asks")
	case (c.Certificate == "") != (c.Key == ""):
		return nil, errors.New("a client certificate needs its key, and a key its certificate")
	}
	if base.User != nil { // not in any message
		c.User = base.User.Username()
		c.Password, _ = base.User.Password()
		base.User = nil
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	if c.Most == 0 {
		c.Most = 32 << 20
	}
	p := &Client{c: c, base: base}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	p.http = &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		return fmt.Errorf("it leads elsewhere, to %s://%s%s: name the server itself, not what stands before it", r.URL.Scheme, r.URL.Host, r.URL.Path)
	}}
	p.proxy = p.through(transport)
	return p, nil
}

// URL is the base, without a password.
func (p *Client) URL() string { return p.base.String() }

// Query implements metrics.Prometheus. An error says which server and what it said; when the context ends it is one of the context.
func (p *Client) Query(ctx context.Context, expr string, at time.Time) ([]metrics.Sample, error) {
	form := url.Values{"query": {expr}, "time": {strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64)}}
	form.Set("partial_response", "false") // Thanos: an answer without some of the numbers is none
	if d, ok := ctx.Deadline(); ok {
		form.Set("timeout", strconv.FormatFloat(max(time.Until(d).Seconds(), 0.001), 'f', 3, 64)) // nobody waits for more
	}
	res, err := p.ask(ctx, "/api/v1/query", form)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := p.read(res)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.base, cause(ctx, err))
	}
	return out, nil
}

// ask posts a form; a server that takes none is asked by GET.
func (p *Client) ask(ctx context.Context, path string, form url.Values) (*http.Response, error) {
	u := p.base.JoinPath(path)
	res, err := p.send(ctx, http.MethodPost, u.String(), form.Encode())
	if err == nil && (res.StatusCode == http.StatusMethodNotAllowed || res.StatusCode == http.StatusNotImplemented) {
		res.Body.Close()
		u.RawQuery = form.Encode()
		res, err = p.send(ctx, http.MethodGet, u.String(), "")
	}
	if err != nil {
		var of *url.Error // names the whole of the URL, query and all
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, fmt.Errorf("%s: %w", p.base, cause(ctx, err))
	}
	return res, nil
}

func (p *Client) send(ctx context.Context, method, u, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, u, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if err := p.sign(r.Header); err != nil {
		return nil, err
	}
	return p.http.Do(r)
}

// sign says who asks.
func (p *Client) sign(h http.Header) error {
	for _, name := range slices.Sorted(maps.Keys(p.c.Headers)) {
		h.Set(name, p.c.Headers[name])
	}
	switch {
	case p.c.TokenFile != "":
		token, err := os.ReadFile(p.c.TokenFile)
		if err != nil {
			return fmt.Errorf("the bearer token: %w", err)
		}
		h.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	case p.c.User != "":
		password := p.c.Password
		if p.c.PasswordFile != "" {
			text, err := os.ReadFile(p.c.PasswordFile)
			if err != nil {
				return fmt.Errorf("the password: %w", err)
			}
			password = strings.TrimRight(string(text), "\r\n")
		}
		r := http.Request{Header: h}
		r.SetBasicAuth(p.c.User, password)
	}
	return nil
}

// cause is the context's own word where it has ended.
func cause(ctx context.Context, err error) error {
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		return fmt.Errorf("%w: %v", end, err)
	}
	return err
}

// read takes an answer apart.
func (p *Client) read(res *http.Response) ([]metrics.Sample, error) {
	body := &io.LimitedReader{R: res.Body, N: p.c.Most + 1}
	text, err := io.ReadAll(body)
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > p.c.Most:
		return nil, fmt.Errorf("the answer is larger than %d bytes: ask for less", p.c.Most)
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil || a.Status == "" {
		return nil, fmt.Errorf("%s is no answer of Prometheus: %s", res.Status, excerpt(text))
	}
	if a.Status != "success" {
		return nil, fmt.Errorf("%s: %s", a.Type, a.Error)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", res.Status, excerpt(text))
	}
	return a.Data.samples()
}

// excerpt is the beginning of a text, on one line.
func excerpt(text []byte) string {
	s := strings.Join(strings.Fields(string(text[:min(len(text), 400)])), " ")
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:120], "") + "…"
	}
	return strconv.Quote(s)
}
