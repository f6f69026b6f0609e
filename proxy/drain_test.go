// SPDX-License-Identifier: Apache-2.0

package proxy_test

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// TestDrain holds that what is under way finishes when a proxy ends, and that nothing new is taken.
func TestDrain(t *testing.T) {
	w, d := guarded(t, nil)
	w.setInbound("shop/api", open(8090))
	arrived, leave := make(chan struct{}), make(chan struct{})
	w.app(d, 8090, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-leave
		io.WriteString(w, "done")
	}))
	const name = "api.shop.svc.cluster.local:8090"
	w.cluster(name, 8090, "shop/api", d)
	w.setRoutes(name, to("", nil, arm{name, 1}))
	w.setListener(name, "http")
	web := w.client("shop/web")
	got := make(chan answer, 1)
	go func() { got <- get(t, web.http1(t), "http://api:8090/") }()
	<-arrived
	ended := make(chan error, 2)
	for _, p := range []*pod{d, web} {
		go func() { ended <- p.stop() }()
		eventually(t, "nothing new is taken", func() bool {
			c, err := net.Dial("tcp", p.OutboundAddr().String())
			if err == nil {
				c.Close()
			}
			return err != nil
		})
	}
	close(leave)
	if a := <-got; a.code != 200 || a.body != "done" {
		t.Errorf("the request under way: %+v", a)
	}
	for range 2 {
		check(t, <-ended)
	}
}
