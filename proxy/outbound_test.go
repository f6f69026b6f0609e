// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/anymesh/anymesh/proxy/ads"
)

const (
	catalog = "catalog.shop.svc.cluster.local:8080"
	v1      = "catalog-v1.shop.svc.cluster.local:8080"
	v2      = "catalog-v2.shop.svc.cluster.local:8080"
)

// shop is a mesh with a client and two versions of a catalog, all open, split 90 to 10.
func shop(t testing.TB) (*world, *pod) {
	w := newWorld(t)
	for _, s := range []struct{ workload, cluster, word string }{{"shop/catalog-v1", v1, "one"}, {"shop/catalog-v2", v2, "two"}} {
		w.setInbound(s.workload, open(8080))
		d := w.serve(s.workload, 8080, says(s.word))
		w.cluster(s.cluster, 8080, s.workload, d)
	}
	w.setRoutes(catalog, to("TrafficSplit/shop/canary", nil, arm{v1, 90}, arm{v2, 10}))
	w.setListener(catalog, "http")
	return w, w.client("shop/web")
}

func TestSplitShares(t *testing.T) {
	_, web := shop(t)
	const n = 2000
	for proto, c := range map[string]*http.Client{"h1": web.http1(t), "h2c": web.http2(t)} {
		two := 0
		for range n {
			a := get(t, c, "http://catalog.shop:8080/")
			switch {
			case a.code != 200:
				t.Fatalf("%s: %d %s", proto, a.code, a.body)
			case a.body == "two":
				two++
			}
		}
		if sigma := math.Sqrt(n * 0.1 * 0.9); math.Abs(float64(two)-n*0.1) > 3*sigma {
			t.Errorf("%s: %d of %d went to the 10 %% arm, more than 3 sigma (%.1f) off", proto, two, n, sigma)
		}
	}
}

func TestNames(t *testing.T) {
	w, web := shop(t)
	w.setRoutes("catalog.shop.svc.cluster.local:80", to("", nil, arm{v1, 1}))
	w.setListener("catalog.shop.svc.cluster.local:80", "http")
	c := web.http1(t)
	plain := &http.Client{}
	for _, host := range []string{"catalog", "catalog.shop", "catalog.shop.svc", "Catalog.shop.svc.cluster.local",
		"catalog.shop.svc.cluster.local."} {
		if a := get(t, c, "http://"+host+"/"); a.code != 200 {
			t.Errorf("forward proxy to %s: %d %s", host, a.code, a.body)
		}
		req, err := http.NewRequest("GET", "http://"+web.OutboundAddr().String()+"/", nil)
		check(t, err)
		req.Host = host
		if a := ask(t, plain, req); a.code != 200 {
			t.Errorf("Host: %s: %d %s", host, a.code, a.body)
		}
	}
	for url, code := range map[string]int{"http://10.1.2.3/": 502, "http://nowhere.shop/": 503} {
		if a := get(t, c, url); a.code != code || a.header.Get("X-Anymesh-Error") == "" {
			t.Errorf("%s: %d with reason %q", url, a.code, a.header.Get("X-Anymesh-Error"))
		}
	}
}

func TestMatches(t *testing.T) {
	w, web := shop(t)
	w.setRoutes(catalog,
		to("by-path", pathRegex("/api/.*"), arm{v2, 1}),
		to("by-method", pathRegex(".*", headerRegex(":method", "PUT|PATCH")), arm{v2, 1}),
		to("by-header", pathRegex("/h.*", headerRegex("X-User", "a.*,b")), arm{v2, 1}),
		to("", nil, arm{v1, 1}))
	c := web.http1(t)
	wantBody(t, c, "http://catalog:8080/api/x", "two")
	for _, x := range []struct{ method, path, header, want string }{
		{"GET", "/", "", "one"},
		{"GET", "/api/x?y", "", "two"},
		{"GET", "/x/api/x", "", "one"},
		{"GET", "//api/x", "", "one"},
		{"GET", "/%61pi/x", "", "one"},
		{"PUT", "/", "", "two"},
		{"GET", "/h", "abc|b", "two"},
		{"GET", "/h", "abc", "one"},
		{"GET", "/h", "", "one"},
		{"GET", "/?x=/api/", "", "one"},
	} {
		req, err := http.NewRequest(x.method, "http://catalog:8080"+x.path, nil)
		check(t, err)
		for v := range strings.SplitSeq(x.header, "|") {
			if v != "" {
				req.Header.Add("x-user", v)
			}
		}
		if a := ask(t, c, req); a.body != x.want {
			t.Errorf("%+v: %s", x, a.body)
		}
	}
}

func TestEmptyAndMissing(t *testing.T) {
	w, web := shop(t)
	c := web.http1(t)
	wantCode(t, c, "http://catalog:8080/", 200)
	w.setEndpoints(v1, 8080)
	w.setEndpoints(v2, 8080)
	a := wantCode(t, c, "http://catalog:8080/", 503)
	if !strings.Contains(a.header.Get("X-Anymesh-Error"), "no healthy endpoint") {
		t.Errorf("reason: %v", a.header)
	}
	w.remove(ads.Listener, catalog)
	wantCode(t, c, "http://catalog:8080/", 502)
	w.setListener(catalog, "http")
	wantCode(t, c, "http://catalog:8080/", 503)
}

func TestWrongIdentityIsRefused(t *testing.T) {
	w, web := shop(t)
	w.setRoutes(catalog, to("", nil, arm{v1, 1}))
	c := web.http1(t)
	wantCode(t, c, "http://catalog:8080/", 200)
	w.setCluster(v1, w.ca.id("shop/somebody-else"))
	a := wantCode(t, c, "http://catalog:8080/", 503)
	if want := "none of the identities"; !strings.Contains(a.header.Get("X-Anymesh-Error"), want) {
		t.Errorf("reason %q, want %q in it", a.header.Get("X-Anymesh-Error"), want)
	}
	w.setCluster(v1) // nobody is not anybody
	eventually(t, "no identity", func() bool {
		a := get(t, c, "http://catalog:8080/")
		if a.code == 200 {
			t.Fatal("an endpoint without any allowed identity answered")
		}
		return a.code == 503
	})
}

func TestNACKKeepsLastGood(t *testing.T) {
	w, web := shop(t)
	c := web.http1(t)
	w.setRoutes(catalog, to("", nil, arm{v1, 1}))
	wantBody(t, c, "http://catalog:8080/", "one")
	bad := to("", nil, arm{v2, 1})
	bad.Match.Grpc = &routev3.RouteMatch_GrpcRouteMatchOptions{}
	w.setRoutes(catalog, bad)
	eventually(t, "a NACK", func() bool { return w.nacked(catalog, "RouteMatch", "grpc") })
	for range 20 {
		if a := get(t, c, "http://catalog:8080/"); a.body != "one" {
			t.Fatalf("after a bad resource: %+v", a)
		}
	}
	w.setRoutes(catalog, to("", nil, arm{v2, 1}))
	wantBody(t, c, "http://catalog:8080/", "two")
}

func TestControlPlaneDown(t *testing.T) {
	w, web := shop(t)
	c := web.http1(t)
	w.setRoutes(catalog, to("", nil, arm{v1, 1}))
	wantBody(t, c, "http://catalog:8080/", "one")
	w.server.Stop()
	for range 20 {
		if a := get(t, c, "http://catalog:8080/"); a.body != "one" {
			t.Fatalf("without a control plane: %+v", a)
		}
	}
	eventually(t, "a clear reason for what is not known", func() bool {
		a := get(t, c, "http://new.shop/")
		return a.code == 503 && strings.Contains(a.header.Get("X-Anymesh-Error"), "cannot be reached")
	})
	w.setRoutes(catalog, to("", nil, arm{v2, 1}))
	w.start(w.addr)
	wantBody(t, c, "http://catalog:8080/", "two")
}

func TestConnectFailureTriesAnother(t *testing.T) {
	w, web := shop(t)
	w.setRoutes(catalog, to("", nil, arm{v1, 1}))
	w.setInbound("shop/catalog-v1", open(8080))
	good := w.serve("shop/catalog-v1", 8080, says("good"))
	dead := &pod{ip: freeIP()}
	w.setEndpoints(v1, 8080, good, dead)
	c := web.http1(t)
	wantBody(t, c, "http://catalog:8080/", "good")
	for i := range 50 {
		req, err := http.NewRequest("POST", "http://catalog:8080/", strings.NewReader(fmt.Sprint("body ", i)))
		check(t, err)
		if a := ask(t, c, req); a.body != "good" {
			t.Fatalf("request %d: %+v", i, a)
		}
	}
	w.setEndpoints(v1, 8080, dead)
	a := wantCode(t, c, "http://catalog:8080/", 503)
	if a.header.Get("X-Anymesh-Error") == "" {
		t.Error("a failed connect without a reason")
	}
}
