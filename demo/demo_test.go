// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anymesh/anymesh/examples"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/up"
)

// screen is what was written so far.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// shows waits until something was written after a place in the text, and returns the place behind it.
func (s *screen) shows(t *testing.T, after int, pattern string) int {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	deadline := time.Now().Add(20 * time.Second)
	for {
		text := s.text()
		if at := re.FindStringIndex(text[after:]); at != nil {
			return after + at[1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("not shown: %s\n%s", pattern, text[after:])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestShop runs the shop as a person would, with an edit.
func TestShop(t *testing.T) {
	dir, subnet := t.TempDir(), fmt.Sprintf("127.%d.%d.", 3+rand.IntN(250), rand.IntN(256))
	for _, f := range []string{"services", "access", "pods", "split"} {
		text, err := examples.Files.ReadFile("shop/" + f + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f+".yaml"), bytes.ReplaceAll(text, []byte("127.0.1."), []byte(subnet)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out screen
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Out: &out, Every: 200 * time.Millisecond, Where: dir, Mesh: up.Options{
			Source: up.NewFolder([]string{dir}, file.Options{}, nil), Settings: *model.Defaults(), OutboundPort: up.OutboundPort, InboundPort: up.InboundPort}})
	}()
	at := out.shows(t, 0, `be web: +curl -x http://`+subnet)
	at = out.shows(t, at, `^intruder → catalog +– +\d+/s +–$`)
	at = out.shows(t, at, `^intruder → payments +– +\d+/s +–$`)
	at = out.shows(t, at, `^web → catalog +\d+/s +.*catalog-v1 \d+%  catalog-v2 \d+% +[0-9.]+ / [0-9.]+ ms$`)
	at = out.shows(t, at, `^web → catalog \(catalog-beta\) +\d+/s +– +–  catalog-v2 100%`)
	at = out.shows(t, at, `^web → payments +\d+/s +– +–  payments 100%`)
	name := filepath.Join(dir, "split.yaml")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Replace(text, []byte("weight: 90"), []byte("weight: 0"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	out.shows(t, at, `^web → catalog +\d+/s .*  catalog-v2 100%`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if all := out.text(); !strings.HasSuffix(all, ", 0 failed\n") {
		t.Error(all[max(0, len(all)-200):])
	}
}

// TestLive draws over what it drew, keeps the news, and lets no line wrap.
func TestLive(t *testing.T) {
	var out bytes.Buffer
	d := table{out: &out, live: true}
	list := []row{{way{"shop/web", "catalog.shop.svc.cluster.local:8080", ""}, count{admitted: 10, failed: 1, backends: map[string]int{"catalog": 10}, took: []time.Duration{time.Millisecond}}}}
	d.draw(list, time.Second, nil)
	if s := out.String(); strings.Contains(s, "A\x1b") || !strings.Contains(s, red+"web → catalog") {
		t.Errorf("%q", s)
	}
	out.Reset()
	d.draw(list[:0], 2*time.Second, []string{"news\nof two lines"})
	s := out.String()
	if !strings.HasPrefix(s, begin+"\x1b[2Anews"+clear+"\nof two lines"+clear+"\n"+cut) || !strings.HasSuffix(s, wrap+below+end) || d.rows != 1 {
		t.Errorf("%q %d", s, d.rows)
	}
}

// TestTally takes a connection that the callee refused for refused, though the caller only saw its end.
func TestTally(t *testing.T) {
	c := newTally()
	c.behind = map[string][]string{"pay.shop.svc": {"shop/a", "shop/payments"}}
	client := proxy.Access{Key: stats.Key{Side: stats.Client, Source: "shop/x", Service: "pay.shop.svc:9", Backend: "pay.shop.svc:9"}, Code: 200}
	c.add(proxy.Access{Key: stats.Key{Side: stats.Server, Source: "shop/x", Workload: "shop/payments"}, Denied: true})
	c.add(client)
	c.add(client)
	rows := c.take()
	if len(rows) != 1 || rows[0].refused != 1 || rows[0].admitted != 1 || rows[0].backends["pay"] != 1 || c.total.refused != 1 || c.total.admitted != 1 {
		t.Errorf("%+v %+v", rows, c.total)
	}
}
