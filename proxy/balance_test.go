// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/anymesh/anymesh/proxy/ads"
)

const farm = "farm.shop.svc.cluster.local:8080"

// farmOf is a service of some pods, each with its own handler, tuned.
func farmOf(t testing.TB, tune func(*clusterv3.Cluster, *routev3.RouteAction), hs ...http.Handler) (*world, *pod) {
	w := newWorld(t)
	w.setInbound("shop/farm", open(8080))
	var ds []*pod
	for _, h := range hs {
		ds = append(ds, w.serve("shop/farm", 8080, h))
	}
	c := mutual(farm, w.ca.id("shop/farm"))
	r := to("", nil, arm{farm, 1})
	if tune != nil {
		tune(c, r.GetRoute())
	}
	w.set(ads.Cluster, farm, c)
	w.setEndpoints(farm, 8080, ds...)
	w.setRoutes(farm, r)
	w.setListener(farm, "http")
	web := w.client("shop/web")
	eventually(t, "the service is known", func() bool {
		a := get(t, web.http1(t), "http://farm:8080/")
		return a.header.Get("X-Anymesh-Error") == ""
	})
	return w, web
}

func TestRoundRobin(t *testing.T) {
	_, web := farmOf(t, func(c *clusterv3.Cluster, _ *routev3.RouteAction) { c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN }, says("a"), says("b"), says("c"))
	c, counts := web.http1(t), map[string]int{}
	for range 30 {
		counts[get(t, c, "http://farm:8080/").body]++
	}
	if counts["a"] != 10 || counts["b"] != 10 || counts["c"] != 10 {
		t.Errorf("%v", counts)
	}
}

func TestHashByHeader(t *testing.T) {
	_, web := farmOf(t, func(c *clusterv3.Cluster, a *routev3.RouteAction) {
		c.LbPolicy = clusterv3.Cluster_MAGLEV
		a.HashPolicy = []*routev3.RouteAction_HashPolicy{{PolicySpecifier: &routev3.RouteAction_HashPolicy_Header_{
			Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: "x-user"}}}}
	}, says("a"), says("b"), says("c"))
	c, counts := web.http1(t), map[string]int{}
	for user := range 40 {
		first := get(t, c, "http://farm:8080/", "X-User", fmt.Sprint(user)).body
		counts[first]++
		for range 3 {
			if again := get(t, c, "http://farm:8080/", "X-User", fmt.Sprint(user)).body; again != first {
				t.Fatalf("user %d went to %s and then to %s", user, first, again)
			}
		}
	}
	if len(counts) != 3 {
		t.Errorf("users are on %v", counts)
	}
}

// TestOutlier holds that an endpoint which fails is set aside, and asked again later.
func TestOutlier(t *testing.T) {
	var sick atomic.Bool
	sick.Store(true)
	var asked atomic.Int64
	bad := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && asked.Add(1) > 0 && sick.Load() {
			w.WriteHeader(500)
		}
	})
	_, web := farmOf(t, func(c *clusterv3.Cluster, _ *routev3.RouteAction) {
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		c.OutlierDetection = &clusterv3.OutlierDetection{Consecutive_5Xx: wrapperspb.UInt32(3),
			BaseEjectionTime: durationpb.New(200 * time.Millisecond), MaxEjectionPercent: wrapperspb.UInt32(50)}
	}, says("well"), bad)
	c, failed := web.http1(t), 0
	for asked.Load() < 3 {
		if get(t, c, "http://farm:8080/x").code == 500 {
			failed++
		}
	}
	begin := time.Now()
	for range 20 {
		a := get(t, c, "http://farm:8080/x")
		if a.code != 200 && time.Since(begin) < 150*time.Millisecond {
			t.Fatalf("asked although it failed %d times in a row", failed)
		}
	}
	sick.Store(false)
	n := asked.Load()
	eventually(t, "it is asked again, and does well", func() bool { get(t, c, "http://farm:8080/x"); return asked.Load() > n+5 })
}

// TestOverflow holds that what is more than the limits is refused at once, with a reason, and that what waits gets its turn.
func TestOverflow(t *testing.T) {
	hold := make(chan struct{})
	in := make(chan struct{}, 100)
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			in <- struct{}{}
			<-hold
		}
	})
	_, web := farmOf(t, func(c *clusterv3.Cluster, _ *routev3.RouteAction) {
		c.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
			MaxRequests: wrapperspb.UInt32(2), MaxPendingRequests: wrapperspb.UInt32(3)}}}
	}, slow)
	c := web.http1(t)
	codes := make(chan answer, 10)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { codes <- get(t, c, "http://farm:8080/hold") })
	}
	<-in
	<-in
	for range 5 {
		a := <-codes
		if a.code != 503 || !strings.Contains(a.header.Get("X-Anymesh-Error"), "overflow") {
			t.Errorf("%d %q", a.code, a.header.Get("X-Anymesh-Error"))
		}
	}
	if len(in) > 0 {
		t.Error("more than two are in")
	}
	close(hold)
	wg.Wait()
	for range 5 {
		if a := <-codes; a.code != 200 {
			t.Errorf("one that was in, or waited: %d", a.code)
		}
	}
	// Who waits and leaves gives up its place.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://farm:8080/", nil)
	check(t, err)
	if _, err := c.Do(req); err == nil {
		t.Error("a cancelled request is answered")
	}
	wantBody(t, c, "http://farm:8080/", "")
}

// TestRetries holds what is tried again, and what never is.
func TestRetries(t *testing.T) {
	var asked atomic.Int64
	broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(503)
	})
	_, web := farmOf(t, func(c *clusterv3.Cluster, a *routev3.RouteAction) {
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		a.RetryPolicy = &routev3.RetryPolicy{RetryOn: "connect-failure,refused-stream", NumRetries: wrapperspb.UInt32(1)}
	}, broken, says("well"))
	for _, c := range []*http.Client{web.http1(t)} {
		for range 10 {
			if a := get(t, c, "http://farm:8080/"); a.body != "well" {
				t.Errorf("a GET was not tried again: %+v", a)
			}
		}
		before := asked.Load()
		refused := 0
		for range 10 {
			res, err := c.Post("http://farm:8080/", "text/plain", strings.NewReader("once"))
			check(t, err)
			if res.StatusCode == 503 {
				refused++
			}
			res.Body.Close()
		}
		if int64(refused) != asked.Load()-before || refused == 0 {
			t.Errorf("%d POSTs came to the broken one, and %d were answered by it", asked.Load()-before, refused)
		}
	}
}

// TestTryTimeout holds that a try which takes too long is given up for another, and that the body of an answer may take its time.
func TestTryTimeout(t *testing.T) {
	quit := make(chan struct{})
	t.Cleanup(func() { close(quit) })
	stuck := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Stick") == "" {
			return
		}
		select {
		case <-r.Context().Done():
		case <-quit:
		}
	})
	drips := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 4 {
			io.WriteString(w, "x")
			http.NewResponseController(w).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	})
	_, web := farmOf(t, func(c *clusterv3.Cluster, a *routev3.RouteAction) {
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		a.RetryPolicy = &routev3.RetryPolicy{RetryOn: "connect-failure", NumRetries: wrapperspb.UInt32(2), PerTryTimeout: durationpb.New(250 * time.Millisecond)}
	}, stuck, drips)
	c := web.http1(t)
	for range 4 {
		if a := get(t, c, "http://farm:8080/", "X-Stick", "1"); a.body != "xxxx" {
			t.Errorf("%+v", a)
		}
	}
}
