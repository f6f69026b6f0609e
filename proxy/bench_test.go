// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"io"
	"net/http"
	"syscall"
	"testing"

	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
)

// BenchmarkPair sends requests through both proxies of a pair, with routing, mTLS and access rules. The CPU time that it
// reports is of the whole process: both proxies, the client and the server. BenchmarkDirect is what to take off.
func BenchmarkPair(b *testing.B) {
	w := newWorld(b)
	w, _ = guarded(b, grants([]string{w.ca.id("shop/web")}, map[string][]*rbacv3.Permission{
		"a": {and(onPath("/a/.*"), withHeader(":method", "POST"))}, "b": {and(onPath("/api/v[0-9]+/.*"), withHeader(":method", "GET"))}}))
	w.setRoutes(api, to("x", pathRegex("/x/.*"), arm{api, 1}), to("y", pathRegex(".*", headerRegex("x-user", "test-.*")), arm{api, 1}),
		to("", nil, arm{api, 90}))
	web := w.client("shop/web")
	for name, c := range map[string]*http.Client{"h1": web.http1(b), "h2": web.http2(b)} {
		b.Run(name, func(b *testing.B) { load(b, c, "http://api.shop:8080/api/v1/item") })
	}
}

// BenchmarkDirect is the same client and server without a mesh.
func BenchmarkDirect(b *testing.B) {
	w := newWorld(b)
	d := &pod{ip: freeIP()}
	w.app(d, 8080, says("hello"))
	b.Run("h1", func(b *testing.B) {
		load(b, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}, "http://"+d.ip.String()+":8080/api/v1/item")
	})
}

func load(b *testing.B, c *http.Client, url string) {
	get(b, c, url)
	b.SetParallelism(16)
	b.ReportAllocs()
	before := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := c.Get(url)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != 200 {
				b.Errorf("%d", res.StatusCode)
			}
		}
	})
	b.StopTimer()
	b.ReportMetric((cpu(b)-before)/float64(b.N), "cpu-us/req")
}

// cpu is the processor time of this process so far, in microseconds.
func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	us := func(t syscall.Timeval) float64 { return float64(t.Sec)*1e6 + float64(t.Usec) }
	return us(u.Utime) + us(u.Stime)
}
