// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/anymesh/anymesh/up"
)

// flow is one kind of request that one pod keeps making.
type flow struct {
	from   string // account
	to     string // host:port
	path   string // empty: a TCP connection
	header http.Header
	each   time.Duration
}

// flows is the traffic of the shop.
var flows = []flow{
	{from: "web", to: "catalog:8080", path: "/products", each: 4 * time.Millisecond},
	{from: "web", to: "catalog:8080", path: "/products/1", header: http.Header{"X-User": {"beta-7"}}, each: 50 * time.Millisecond},
	{from: "web", to: "catalog:8080", path: "/admin", each: 500 * time.Millisecond},
	{from: "web", to: "payments:9000", each: 50 * time.Millisecond},
	{from: "intruder", to: "catalog:8080", path: "/products", each: 100 * time.Millisecond},
	{from: "intruder", to: "payments:9000", each: 100 * time.Millisecond},
}

// doors know where the process of each account finds its proxy at present.
type doors struct{ by sync.Map } // account → address

func (d *doors) open(p up.Pod) { d.by.Store(p.Identity.ServiceAccount, p.Outbound) }

func (d *doors) of(account string) (string, bool) {
	v, ok := d.by.Load(account)
	if !ok {
		return "", false
	}
	return v.(string), true
}

// drive makes the traffic of those who have a door until the context ends.
func drive(ctx context.Context, d *doors) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, f := range flows {
		wg.Go(func() { f.run(ctx, d) })
	}
}

func (f *flow) run(ctx context.Context, d *doors) {
	door := func(*http.Request) (*url.URL, error) {
		at, _ := d.of(f.from)
		return &url.URL{Scheme: "http", Host: at}, nil
	}
	client := &http.Client{Transport: &http.Transport{Proxy: door, MaxIdleConnsPerHost: 4}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(f.each)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at, there := d.of(f.from)
		// The proxies count what comes of it; a caller that asks again is all that there is to do about a failure.
		switch {
		case !there:
		case f.path == "":
			_ = f.connect(ctx, at)
		default:
			_ = f.request(ctx, client)
		}
	}
}

func (f *flow) request(ctx context.Context, client *http.Client) error {
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, "http://"+f.to+f.path, nil)
	if err != nil {
		return err
	}
	for k, v := range f.header {
		r.Header[k] = v
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// connect opens a connection through the pod's proxy, says a word and hears it.
func (f *flow) connect(ctx context.Context, proxy string) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(context.WithoutCancel(ctx), "tcp", proxy)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", f.to, f.to)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", f.to, resp.Status)
	}
	if _, err := io.WriteString(c, "pay\n"); err != nil {
		return err
	}
	_, err = r.ReadString('\n')
	return err
}
