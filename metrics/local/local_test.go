// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anymesh/anymesh/metrics/local"
)

func open(t *testing.T, o local.Options) *local.Store {
	t.Helper()
	s, err := local.Open(o)
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value is that of an expression which has one, or NaN where it has none.
func value(t *testing.T, s *local.Store, at time.Time, expr string) float64 {
	t.Helper()
	v, err := s.Query(t.Context(), expr, at)
	check(t, err)
	switch len(v) {
	case 0:
		return math.NaN()
	case 1:
		return v[0].Value
	}
	t.Fatalf("%s: %v", expr, v)
	return 0
}

// wants holds expressions against values; NaN stands for no value.
func wants(t *testing.T, s *local.Store, at time.Time, want map[string]float64) {
	t.Helper()
	for expr, w := range want {
		if v := value(t, s, at, expr); v != w && !(math.IsNaN(v) && math.IsNaN(w)) && math.Abs(v-w) > 1e-9 {
			t.Errorf("%s is %v, not %v", expr, v, w)
		}
	}
}

// says is a target that says a text.
func says(text *string) *local.Target {
	return &local.Target{Name: "app", Labels: map[string]string{"job": "app", "pod": "web-1"}, Read: func(context.Context) ([]byte, string, error) {
		return []byte(*text), "text/plain; version=0.0.4", nil
	}}
}

// none is the value of what has no value.
var none = math.NaN()

// start is in the past: what is asked at a time has all been said before it.
func start() time.Time { return time.Now().Add(-10 * time.Minute).Truncate(time.Second) }

// TestScrape reads a counter six times, which restarts once, and asks for its increase.
func TestScrape(t *testing.T) {
	s := open(t, local.Options{})
	var text string
	w := s.Scraper(says(&text))
	at := start()
	for i, n := range []int{0, 10, 20, 5, 15, 25} {
		text = fmt.Sprintf("# TYPE hits counter\nhits{code=\"200\",pod=\"mine\"} %d\n", n)
		check(t, w.Scrape(t.Context(), at.Add(time.Duration(i)*10*time.Second)))
	}
	wants(t, s, at.Add(50*time.Second), map[string]float64{
		`hits`:                                  25,
		`hits{pod="web-1",exported_pod="mine"}`: 25,
		`hits offset 20s`:                       5,
		`resets(hits[1m])`:                      1,
		`sum(increase(hits{code="200"}[50001ms]))`: 45, // 20 before the restart, 25 after it
		`up{job="app"}`:          1,
		`scrape_samples_scraped`: 1,
		`absent_metric`:          none,
		`vector(1)`:              1,
		`2 * 21`:                 42,
	})
}

// TestFromZero counts the first requests of a counter that comes later than its target, where the target says that it may.
func TestFromZero(t *testing.T) {
	s := open(t, local.Options{})
	texts := []string{"", "# TYPE hits_total counter\nhits_total 3\n# TYPE took histogram\ntook_bucket{le=\"+Inf\"} 3\ntook_count 3\ntook_sum 1\n# TYPE hot gauge\nhot 7\n"}
	at := start()
	for _, from := range []bool{true, false} {
		var text string
		target := says(&text)
		target.FromZero, target.Labels = from, map[string]string{"job": fmt.Sprint(from)}
		w := s.Scraper(target)
		for i := range 6 {
			text = texts[min(i, 1)]
			check(t, w.Scrape(t.Context(), at.Add(time.Duration(i)*10*time.Second)))
		}
	}
	wants(t, s, at.Add(50*time.Second), map[string]float64{
		`round(increase(hits_total{job="true"}[50001ms]))`:  3,
		`round(increase(took_count{job="true"}[50001ms]))`:  3,
		`round(increase(took_bucket{job="true"}[50001ms]))`: 3,
		`increase(hits_total{job="false"}[50001ms])`:        0,
		`min_over_time(hot{job="true"}[1m])`:                7,
	})
}

// TestStale ends series: one that is said no more, all when the target is down, and all when it is watched no more.
func TestStale(t *testing.T) {
	s := open(t, local.Options{})
	text := "a 1\nb 2\n"
	broken := errors.New("connection refused")
	var down error
	target := says(&text)
	read := target.Read
	target.Read = func(ctx context.Context) ([]byte, string, error) {
		if down != nil {
			return nil, "", down
		}
		return read(ctx)
	}
	w := s.Scraper(target)
	at := start()
	tick := func() time.Time { at = at.Add(5 * time.Second); return at }
	check(t, w.Scrape(t.Context(), tick()))
	wants(t, s, at, map[string]float64{"a": 1, "b": 2, "up": 1})
	text = "a 1\n"
	check(t, w.Scrape(t.Context(), tick()))
	wants(t, s, at, map[string]float64{"a": 1, "b": none, "up": 1})
	down = broken
	if err := w.Scrape(t.Context(), tick()); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	wants(t, s, at, map[string]float64{"a": none, "b": none, "up": 0, "scrape_samples_scraped": 0})
	down = nil
	check(t, w.Scrape(t.Context(), tick()))
	wants(t, s, at, map[string]float64{"a": 1, "b": none, "up": 1})
	check(t, w.End(tick()))
	wants(t, s, at, map[string]float64{"a": none, "up": none})
}

// TestLies reads targets that say what harms, beside one that is sound.
func TestLies(t *testing.T) {
	s := open(t, local.Options{Series: 100})
	sound := "hits 1\n"
	other := s.Scraper(&local.Target{Name: "sound", Labels: map[string]string{"job": "sound"}, Read: func(context.Context) ([]byte, string, error) {
		return []byte(sound), "", nil // without a Content-Type, too
	}})
	many := func(from, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "hits{id=\"%d\"} 1\n", from+i)
		}
		return b.String()
	}
	far := time.Now().Add(time.Hour * 24 * 365).UnixMilli()
	text := ""
	w := s.Scraper(says(&text))
	at := start()
	for _, lie := range []struct{ name, text, err string }{
		{"not a number, infinite, below zero", "hits NaN\nmore +Inf\nless -5\n", ""},
		{"the same twice", "hits 1\nhits 2\n", ""},
		{"of next year", fmt.Sprintf("hits 1 %d\n", far), ""},
		{"of 1970", "hits 1 1\n", ""},
		{"no metrics", "<html>login</html>\n", "cannot be read"},
		{"broken off", "hits{a=\"b", "cannot be read"},
		{"too many", many(0, 101), "more than 100"},
		{"nothing", "", ""},
		{"too many new ones, at first", many(1000, 90), ""},
		{"too many new ones", many(2000, 90), "more than 100 new series"},
		{"known ones still", many(1000, 90), ""},
	} {
		at = at.Add(5 * time.Second)
		text = lie.text
		err := w.Scrape(t.Context(), at)
		if lie.err == "" && err != nil || lie.err != "" && (err == nil || !strings.Contains(err.Error(), lie.err)) {
			t.Errorf("%s: %v", lie.name, err)
		}
		up := 1.0
		if err != nil {
			up = 0
			wants(t, s, at, map[string]float64{`count(hits{job="app"})`: none})
		}
		check(t, other.Scrape(t.Context(), at))
		wants(t, s, at, map[string]float64{`hits{job="sound"}`: 1, `up{job="app"}`: up, `up{job="sound"}`: 1})
	}
	if n := s.Series(); n > 120 {
		t.Errorf("%d series are in memory", n)
	}
}

// TestHuge reads a target that never ends, and one that hangs.
func TestHuge(t *testing.T) {
	s := open(t, local.Options{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-r.Context().Done()
			return
		}
		line := []byte("hits{a=\"" + strings.Repeat("x", 1<<16) + "\"} 1\n")
		for r.Context().Err() == nil {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	defer srv.Close()
	endless := s.Scraper(&local.Target{Name: "endless", Read: local.HTTP(srv.Client(), srv.URL+"/")})
	if err := endless.Scrape(t.Context(), time.Now()); err == nil || !strings.Contains(err.Error(), "more than 32 MiB") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	hangs := s.Scraper(&local.Target{Name: "hangs", Read: local.HTTP(srv.Client(), srv.URL+"/hang")})
	if err := hangs.Scrape(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	wants(t, s, time.Now(), map[string]float64{"sum(up)": 0, "count(up)": 1})
}

// TestWatch reads what this process counts until it is told to end.
func TestWatch(t *testing.T) {
	s := open(t, local.Options{})
	r := prometheus.NewRegistry()
	var calls atomic.Int64
	r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "calls", ConstLabels: prometheus.Labels{"who": "übung \"a\""}},
		func() float64 { return float64(calls.Add(1)) }))
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "took", Buckets: []float64{1, 2}})
	h.Observe(1.5)
	r.MustRegister(h)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Watch(ctx, 5*time.Millisecond, local.Target{Name: "self", Labels: map[string]string{"job": "self"}, Read: local.Gather(r)})
	}()
	for end := time.Now().Add(10 * time.Second); calls.Load() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not read")
		}
	}
	cancel()
	<-ended
	wants(t, s, time.Now(), map[string]float64{`calls`: none, `up`: none,
		`last_over_time(took_bucket{le="2.0"}[1m])`: 1, `last_over_time(took_bucket{le="1.0"}[1m])`: 0})
	if v := value(t, s, time.Now(), `last_over_time(calls{who="übung \"a\""}[1m])`); v < 2 {
		t.Errorf("calls ended at %v", v)
	}
}

// TestRefused asks what cannot be answered.
func TestRefused(t *testing.T) {
	s := open(t, local.Options{})
	for _, expr := range []string{"", "sum(", "up[5m]", `"text"`, "no_such_function(up)"} {
		if v, err := s.Query(t.Context(), expr, time.Now()); err == nil {
			t.Errorf("%q: %v", expr, v)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Query(ctx, "up", time.Now()); err == nil {
		t.Error("a question that nobody waits for is answered")
	}
}

// TestAgain opens a folder again, and finds what was kept.
func TestAgain(t *testing.T) {
	dir := t.TempDir()
	at := start()
	text := "hits 7\n"
	s, err := local.Open(local.Options{Dir: dir})
	check(t, err)
	check(t, s.Scraper(says(&text)).Scrape(t.Context(), at))
	check(t, s.Close())
	s = open(t, local.Options{Dir: dir})
	wants(t, s, at, map[string]float64{"hits": 7})
}
