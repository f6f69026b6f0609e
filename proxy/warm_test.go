// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anymesh/anymesh/proxy/ads"
)

// TestMakeBeforeBreak changes weights and clusters a hundred times under load; not one request may fail.
func TestMakeBeforeBreak(t *testing.T) {
	w, web := shop(t)
	w.setInbound("shop/catalog-v3", open(8080))
	extra := w.serve("shop/catalog-v3", 8080, says("three"))
	stop := make(chan struct{})
	var load sync.WaitGroup
	var asked atomic.Int64
	for i := range 4 {
		c := web.http1(t)
		if i%2 == 1 {
			c = web.http2(t)
		}
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := c.Post("http://catalog.shop:8080/", "text/plain", strings.NewReader("x"))
				if err != nil {
					t.Errorf("request: %v", err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 {
					t.Errorf("request: %d %s %v", res.StatusCode, b, err)
				}
				asked.Add(1)
			}
		})
	}
	c := web.http1(t)
	for i := range 100 {
		if t.Failed() {
			break
		}
		name := fmt.Sprintf("catalog-x%d.shop.svc.cluster.local:8080", i)
		// The route names a cluster first that comes only afterwards, endpoints before identities.
		w.setRoutes(catalog, to("", nil, arm{v1, uint32(i)}, arm{v2, uint32(100 - i)}, arm{name, 100}))
		w.setEndpoints(name, 8080, extra)
		w.setCluster(name, w.ca.id("shop/catalog-v3"))
		wantBody(t, c, "http://catalog:8080/", "three")
		w.setRoutes(catalog, to("", nil, arm{v1, uint32(100 - i)}, arm{v2, uint32(1 + i)}))
		w.remove(ads.Cluster, name)
		w.remove(ads.Endpoint, name)
	}
	close(stop)
	load.Wait()
	t.Logf("%d requests", asked.Load())
	if asked.Load() == 0 {
		t.Error("no load")
	}
}

// TestWarming holds that a route to a cluster which is not there changes nothing.
func TestWarming(t *testing.T) {
	w, web := shop(t)
	c := web.http1(t)
	w.setRoutes(catalog, to("", nil, arm{v1, 1}))
	wantBody(t, c, "http://catalog:8080/", "one")
	const late = "late.shop.svc.cluster.local:8080"
	w.setRoutes(catalog, to("", nil, arm{late, 1}))
	w.setCluster(late, w.ca.id("shop/catalog-v2"))
	for range 50 {
		if a := get(t, c, "http://catalog:8080/"); a.body != "one" {
			t.Fatalf("before the endpoints came: %+v", a)
		}
	}
	// A newer route that is ready overtakes the one that waits.
	w.setRoutes(catalog, to("", nil, arm{v2, 1}))
	wantBody(t, c, "http://catalog:8080/", "two")
	w.setEndpoints(late, 8080)
	w.setRoutes(catalog, to("", nil, arm{late, 1}))
	wantCode(t, c, "http://catalog:8080/", http.StatusServiceUnavailable)
}
