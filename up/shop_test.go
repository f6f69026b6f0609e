// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up"
)

func TestShares(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	const n, clients = 10_000, 8
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for range clients {
		c := m.client(1)
		wg.Go(func() {
			for range n / clients {
				code, body, err := get(c, products)
				mu.Lock()
				got[fmt.Sprint(code, body, err)]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	sigma := math.Sqrt(n * 0.1 * 0.9)
	if v2 := got["200v2<nil>"]; got["200v1<nil>"]+v2 != n || math.Abs(float64(v2)-n*0.1) > 3*sigma {
		t.Errorf("of %d requests 10%% are for v2: %v", n, got)
	}
	c := m.client(1)
	for i := range 200 {
		if code, body, err := get(c, products, "x-user", fmt.Sprint("beta-", i)); code != 200 || body != "v2" || err != nil {
			t.Fatal(code, body, err)
		}
	}
	if code, _, err := get(c, "http://catalog:8080/admin"); code != http.StatusForbidden || err != nil {
		t.Errorf("/admin is not permitted to anyone: %d %v", code, err)
	}
}

// TestPermission takes a permission away and gives it back, on the fly.
func TestPermission(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	c := m.client(1)
	if !m.answers(c, products, http.StatusOK)() {
		t.Fatal("web is admitted at the start")
	}
	for range 3 {
		m.edit("access.yaml", "    matches: [products]\n  sources:\n  - kind: ServiceAccount\n    name: web\n", "    matches: [products]\n  sources:\n  - kind: ServiceAccount\n    name: other\n")
		t.Logf("from the save to the first 403: %v", until(t, "web is refused", m.answers(c, products, http.StatusForbidden)))
		if !m.answers(m.client(1), products, http.StatusForbidden)() {
			t.Error("refused, but a new connection is not")
		}
		m.edit("access.yaml", "name: other\n", "name: web\n")
		t.Logf("from the save to the first 200: %v", until(t, "web is admitted again", m.answers(c, products, http.StatusOK)))
	}
}

// TestFlips changes weights under load, as often as a person and more.
func TestFlips(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	split := m.read("split.yaml")
	l := m.load(1, 4, products)
	for i := range 100 {
		w := 1 + i%99
		m.write("split.yaml", strings.Replace(strings.Replace(split, "weight: 90", fmt.Sprint("weight: ", w), 1), "weight: 10\n", fmt.Sprintf("weight: %d\n", 100-w), 1))
		l.more(t, 20)
	}
	m.write("split.yaml", strings.Replace(strings.Replace(split, "weight: 90", "weight: 0", 1), "weight: 10\n", "weight: 7\n", 1))
	c := m.client(1)
	all := func() bool { // a hundred in a row
		for range 100 {
			if _, body, err := get(c, products); err != nil || body != "v2" {
				return false
			}
		}
		return true
	}
	until(t, "the last weights count", all)
	l.none(t)
	t.Logf("%d requests, none failed: %v", l.total(), l.counts)
	if l.from("v1") == 0 || l.from("v2") == 0 {
		t.Error("one version was never asked")
	}
}

// TestBrokenEdits breaks the folder in several ways. What was good last keeps serving.
func TestBrokenEdits(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	l := m.load(1, 2, products)
	good := m.read("split.yaml")
	for _, c := range []struct {
		name, old, now, path string
		line                 int
	}{
		{"not a weight", "weight: 90", "weight: -90", "spec.backends[0].weight", 9},
		{"unknown field", "  service: catalog\n  backends:\n  - service: catalog-v1", "  servise: x\n  service: catalog\n  backends:\n  - service: catalog-v1", "spec.servise", 6},
		{"tab", "  - service: catalog-v1\n    weight: 90", "  - service: catalog-v1\n\tweight: 90", "", 9},
	} {
		m.write("split.yaml", strings.Replace(good, c.old, c.now, 1))
		b := <-m.broken
		if b.File != filepath.Join(m.dir, "split.yaml") || b.Start || len(b.Findings) == 0 {
			t.Fatalf("%s: %+v", c.name, b)
		}
		if f := b.Findings[0]; f.Line != c.line || f.Path != c.path || f.Message == "" {
			t.Errorf("%s: %s:%d %s %s", c.name, f.File, f.Line, f.Path, f.Message)
		}
		l.more(t, 50)
		m.write("split.yaml", strings.Replace(good, "weight: 10\n", "weight: 11\n", 1)) // good again, and new
		if b := <-m.broken; len(b.Findings) != 0 {
			t.Errorf("%s: is good again: %+v", c.name, b)
		}
	}
	m.write("split.yaml", strings.Replace(good, "weight: 90", "weight: 0", 1))
	until(t, "what was repaired is in force", func() bool { _, body, err := get(m.client(1), products); return err == nil && body == "v2" })
	l.none(t)
}

// TestUnreadable refuses to start where nobody knows what is to be closed.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"not YAML":      "kind: TrafficTarget\n\tx: y\n",
		"without kind":  "apiVersion: access.smi-spec.io/v1alpha4\nmetadata: {name: x}\n",
		"without name":  "apiVersion: access.smi-spec.io/v1alpha4\nkind: TrafficTarget\nmetadata: {}\n",
		"no such kind":  "apiVersion: access.smi-spec.io/v1alpha4\nkind: TrafficTarge\nmetadata: {name: x}\n",
		"no such shape": "apiVersion: access.smi-spec.io/v1alpha9\nkind: TrafficTarget\nmetadata: {name: x}\n",
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "a.yaml")
		check(t, os.WriteFile(path, []byte("# what follows cannot be read\n"+text), 0o644))
		m, err := up.New(up.Options{Source: up.NewFolder([]string{dir}, file.Options{}, nil), Settings: *model.Defaults(),
			Ready: func(up.Status) { t.Errorf("%s: it started", name) }})
		check(t, err)
		err = m.Run(t.Context())
		if u := (*up.Unreadable)(nil); !errors.As(err, &u) || !strings.Contains(err.Error(), path+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFindings tells what has no meaning when that comes and goes.
func TestFindings(t *testing.T) {
	t.Parallel()
	m := start(t)
	if first := <-m.found; len(first) != 0 {
		t.Fatalf("the shop is sound: %v", first)
	}
	m.edit("split.yaml", "    name: beta\n  backends", "    name: gamma\n  backends")
	now := <-m.found
	if len(now) != 1 || now[0].Code != model.CodeNoGroup || now[0].Object.Name.Name != "catalog-beta" {
		t.Errorf("a group that is not there: %+v", now)
	}
	m.edit("split.yaml", "weight: 10\n", "weight: 20\n") // says nothing new
	m.edit("split.yaml", "name: gamma", "name: beta")
	if now := <-m.found; len(now) != 0 {
		t.Errorf("gone: %+v", now)
	}
}

// TestPayments carries bytes for who is permitted, and not one for who is not.
func TestPayments(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	c, r, err := m.dial(1, "payments:9000")
	check(t, err)
	defer c.Close()
	_, _ = io.WriteString(c, "pay\n")
	if s, err := r.ReadString('\n'); s != "pay\n" || err != nil {
		t.Errorf("%q %v", s, err)
	}
	bad, r, err := m.dial(66, "payments:9000")
	check(t, err)
	defer bad.Close()
	_, _ = io.WriteString(bad, "pay\n")
	if n, err := r.Read(make([]byte, 10)); n != 0 || err == nil || os.IsTimeout(err) {
		t.Errorf("the intruder was sent %d bytes: %v", n, err)
	}
	// What was admitted ends with the permission.
	m.edit("access.yaml", "    name: pay\n  sources:\n  - kind: ServiceAccount\n    name: web\n", "    name: pay\n  sources:\n  - kind: ServiceAccount\n    name: other\n")
	if n, err := c.Read(make([]byte, 10)); n != 0 || err == nil || os.IsTimeout(err) {
		t.Errorf("a connection outlived its permission: %d %v", n, err)
	}
}
