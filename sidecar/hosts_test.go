// SPDX-License-Identifier: Apache-2.0

package sidecar_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/sidecar"
)

// TestHosts runs the shop on hosts that join by tokens: who may call whom, and how traffic is shared, is as the folder says.
func TestHosts(t *testing.T) {
	s := newSite(t)
	p := s.plane("")
	shop := s.shop(p.address)
	if id := shop["catalog-v1"].ID.String(); id != "spiffe://cluster.local/ns/shop/sa/catalog" {
		t.Error(id)
	}
	if n := shop["catalog-v1"].Node; n.Workload != "catalog-v1" || n.Kind != "Pod" || n.IP.String() != s.net+".11" {
		t.Errorf("%+v", n)
	}
	seen := map[string]int{}
	s.until("both versions answer", func() bool {
		code, body, err := get(shop["web"].Outbound, products)
		check(t, err)
		if code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
		seen[body]++
		return seen["v1"] > 0 && seen["v2"] > 0
	})
	for what, x := range map[string]struct{ from, target string }{
		"who is not admitted": {"intruder", products}, "what is not admitted": {"web", "http://catalog.shop:8080/admin"},
	} {
		if code, body, err := get(shop[x.from].Outbound, x.target); code != http.StatusForbidden || err != nil {
			t.Errorf("%s: %d %s %v", what, code, body, err)
		}
	}
	s.edit("access.yaml", "    name: web\n---\napiVersion: access.smi-spec.io/v1alpha4\nkind: TrafficTarget\nmetadata: {name: payments", "    name: intruder\n---\napiVersion: access.smi-spec.io/v1alpha4\nkind: TrafficTarget\nmetadata: {name: payments")
	s.until("the other one is admitted", func() bool {
		mine, _, err := get(shop["web"].Outbound, products)
		check(t, err)
		other, _, err := get(shop["intruder"].Outbound, products)
		check(t, err)
		return mine == http.StatusForbidden && other == http.StatusOK
	})
}

// TestAlone takes all control planes away: what is known goes on, and one that comes again is followed.
func TestAlone(t *testing.T) {
	s := newSite(t)
	first, second := s.plane(""), s.plane("")
	shop := s.shop(first.address + "," + second.address)
	ask := func(when string) {
		t.Helper()
		if code, body, err := get(shop["web"].Outbound, products); code != http.StatusOK || err != nil {
			t.Errorf("%s: %d %s %v", when, code, body, err)
		}
	}
	ask("with both")
	s.until("every proxy is with one of the two", func() bool { return len(first.Statuses())+len(second.Statuses()) == len(shop) })
	check(t, first.stop())
	s.until("the other one serves all", func() bool { return len(second.Statuses()) == len(shop) })
	ask("with one")
	check(t, second.stop())
	ask("with none")
	if code, _, err := get(shop["intruder"].Outbound, products); code != http.StatusServiceUnavailable && code != http.StatusForbidden || err != nil {
		t.Errorf("without a control plane the intruder is told %d %v", code, err)
	}
	s.edit("split.yaml", "weight: 90", "weight: 0")
	s.plane(first.address)
	s.until("what has changed meanwhile is in force", func() bool {
		for range 20 {
			_, body, err := get(shop["web"].Outbound, products)
			check(t, err)
			if body != "v2" {
				return false
			}
		}
		return true
	})
}

// TestRestart ends a host's proxy and starts it again: the token is used up, the key is not.
func TestRestart(t *testing.T) {
	s := newSite(t)
	p := s.plane("")
	shop := s.shop(p.address)
	state, token := t.TempDir(), s.token("catalog")
	check(t, shop["catalog-v1"].stop())
	for range 3 {
		h := s.host(s.options("catalog-v1", p.address, token, state))
		check(t, h.stop())
	}
	list, err := s.tokens.List()
	check(t, err)
	for _, e := range list {
		if strings.Contains(token, e.ID) {
			_, err := s.tokens.Revoke(e.ID)
			check(t, err)
		}
	}
	s.never(s.options("catalog-v1", p.address, token, state), "it was revoked")
}

// never starts a host that must not come up: it is told so, and goes on asking.
func (s *site) never(o sidecar.Options, why string) {
	s.t.Helper()
	ready := make(chan struct{})
	o.Ready = func(sidecar.Status) { close(ready) }
	var said seen
	o.Logger = said.logger()
	h := run(s.t, func(ctx context.Context) error { return sidecar.Run(ctx, o) })
	s.until("it is refused twice", func() bool {
		select {
		case <-ready:
			s.t.Fatalf("it came up, though %s", why)
		default:
		}
		return said.times("not yet")+said.times("PermissionDenied") >= 2
	})
	check(s.t, h.stop())
}

// TestOthersPods claims to be beside pods of other accounts.
func TestOthersPods(t *testing.T) {
	s := newSite(t)
	p := s.plane("")
	s.never(s.options("catalog-v1", p.address, s.token("web"), t.TempDir()), "the pod is another account's")
	o := s.options("catalog-v1", p.address, s.token("catalog"), t.TempDir())
	o.Node.Namespace, o.Node.Kind, o.Node.Workload, o.Node.ClusterDomain = "shop", "Pod", "catalog-v2", "cluster.local"
	o.Node.IP = s.addr(11)
	s.never(o, "the workload is not the pod's")
	s.never(s.options("catalog-v1", p.address, "anymesh-join.0011223344556677.abc", t.TempDir()), "nobody made the token")
	for _, n := range p.Statuses() {
		t.Errorf("%s is told things", n.Node)
	}
}

// TestTold looks at what a proxy is told: its own permissions alone, whatever it asks for.
func TestTold(t *testing.T) {
	s := newSite(t)
	p := s.plane("")
	conn := s.mtls(p.address, "web")
	all, err := subscribe(t.Context(), conn, "shop/web/web", "*", "inbound/shop/Pod/catalog-v1", "catalog.shop.svc.cluster.local:8080")
	check(t, err)
	want := []string{"-inbound/shop/Pod/catalog-v1", "catalog.shop.svc.cluster.local:8080", "inbound/shop/Pod/web"}
	if strings.Join(all, " ") != strings.Join(want, " ") {
		t.Errorf("told %q, want %q", all, want)
	}
	if _, err := subscribe(t.Context(), s.mtls(p.address, ""), "shop/web/web", "*"); err == nil {
		t.Error("who shows no certificate is told things")
	}
	if _, err := subscribe(t.Context(), conn, "shop/catalog-v1/catalog-v1", "*"); err == nil {
		t.Error("web is told what catalog admits")
	}
}
