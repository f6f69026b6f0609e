// SPDX-License-Identifier: Apache-2.0

package learn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
	"github.com/anymesh/anymesh/up/learn"
	"github.com/anymesh/anymesh/up/tap"
)

// where is who runs where.
const where = `
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: catalog, namespace: shop}
spec: {selector: {matchLabels: {app: catalog}}, template: {metadata: {labels: {app: catalog}}, spec: {serviceAccountName: catalog, containers: [{name: c, image: x, ports: [{containerPort: 80}]}]}}}
`

// TestPropose holds that a proposal admits all that was seen and admitted, and nothing that was not but what it names.
func TestPropose(t *testing.T) {
	var b learn.Book
	if !b.Empty() || b.YAML() != "" {
		t.Error("it knows what it never saw")
	}
	see := func(source, method, path, verdict string) {
		b.Add(&tap.Event{Side: "server", Source: source, Account: "shop/catalog", Method: method, Path: path, Verdict: verdict})
	}
	see("shop/web", "GET", "/products?page=…", "allowed")
	see("shop/web", "GET", "/products", "allowed")
	see("shop/web", "GET", "/products/17", "allowed")
	see("shop/web", "GET", "/products/18", "allowed")
	see("shop/web", "POST", "/a.b(c", "allowed")
	see("bank/web", "GET", "/reset/…", "allowed")
	see("shop/intruder", "GET", "/admin\n- evil: true", "denied")
	see("", "GET", "/", "allowed")
	see("spiffe://other/ns/shop/sa/web", "GET", "/", "allowed")
	see("shop/web", "", "", "allowed")
	b.Add(&tap.Event{Side: "client", Source: "shop/web", Account: "shop/web", Method: "GET", Path: "/elsewhere", Verdict: "allowed"})
	text := b.YAML()
	for _, part := range []string{"# wider than what was seen: /products/17 /products/18\n", "# seen 2 times\n", "# wider than what was seen: /reset/…\n",
		"# refused, and not proposed: shop/intruder to shop/catalog: GET /admin?- evil: true (1 times)\n", "somebody without identity", "spiffe://other", "bytes; write a TCPRoute"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
	name := filepath.Join(t.TempDir(), "all.yaml")
	if err := os.WriteFile(name, []byte(where+"---\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := file.Read([]string{name}, nil, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range in.Findings {
		if f.Level == model.Invalid {
			t.Errorf("%+v in\n%s", f, text)
		}
	}
	s := store.New()
	d := model.Defaults()
	s.Set(store.Event{Object: d.Ref(), Facts: []model.Fact{d}})
	for _, e := range in.Events {
		s.Set(e)
	}
	for _, c := range []struct {
		source, method, path string
		want                 bool
	}{
		{"shop/web", "GET", "/products", true}, {"shop/web", "GET", "/products/17", true}, {"shop/web", "GET", "/products/99", true}, {"shop/web", "POST", "/a.b(c", true},
		{"bank/web", "GET", "/reset/abc", true},
		{"shop/web", "POST", "/products", false}, {"shop/web", "GET", "/products/x", false}, {"shop/web", "GET", "/productsfoo", false}, {"shop/web", "POST", "/aXb(c", false},
		{"shop/web", "GET", "/reset/abc", false}, {"bank/web", "GET", "/products", false}, {"bank/web", "GET", "/reset/a/b", false}, {"shop/intruder", "GET", "/products", false},
		{"shop/other", "GET", "/products", false}, {"shop/web", "GET", "/elsewhere", false}, {"shop/web", "GET", "/", false},
	} {
		ns, account, _ := strings.Cut(c.source, "/")
		v, err := model.Evaluate(s, &model.Request{From: model.Identity{Namespace: ns, ServiceAccount: account}, Service: model.Name{Namespace: "shop", Name: "catalog"}, Method: c.method, Path: c.path})
		if err != nil {
			t.Fatal(err)
		}
		if v.Allowed != c.want {
			t.Errorf("%s %s %s: %v", c.source, c.method, c.path, v.Allowed)
		}
	}
}
