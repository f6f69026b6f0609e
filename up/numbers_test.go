// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// number is the value of an expression on the admin port's Prometheus; NaN is an error of the test.
func (m *mesh) number(expr string) float64 {
	m.t.Helper()
	code, body, err := get(http.DefaultClient, "http://"+m.status.Admin+"/api/v1/query?query="+url.QueryEscape(expr))
	check(m.t, err)
	var v struct {
		Data struct{ Result []struct{ Value []any } }
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil || code != http.StatusOK {
		m.t.Fatalf("%s: %d %s", expr, code, body)
	}
	if len(v.Data.Result) == 0 {
		return 0
	}
	f, err := strconv.ParseFloat(v.Data.Result[0].Value[1].(string), 64)
	check(m.t, err)
	return f
}

// eventually waits for what is read every few seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so in time: %s", what)
		}
	}
}

// TestNumbers asks the mesh's own Prometheus what has passed, from the first request on.
func TestNumbers(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	eventually(t, "the counters are read", func() bool { return m.number("up") == 1 })
	c := m.client(1)
	for range 20 {
		if !m.answers(c, products, http.StatusOK)() {
			t.Fatal("refused")
		}
	}
	if !m.answers(m.client(66), products, http.StatusForbidden)() {
		t.Fatal("the intruder is not refused")
	}
	eventually(t, "all requests are counted", func() bool { return m.number(`sum(anymesh_http_requests_total{side="server"})`) == 21 })
	eventually(t, "they are an increase", func() bool {
		return m.number(`sum(increase(anymesh_http_requests_total{side="server",verdict="denied"}[1m]))`) > 0
	})
}
