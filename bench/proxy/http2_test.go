// SPDX-License-Identifier: Apache-2.0

package proxybench

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Figures of HTTP/2 are made by h2load.
const (
	requests2    = 60_000 // in a round
	connections2 = 16
	streams2     = 32 // on each
)

// serveBoth answers in HTTP/1.1 and in HTTP/2, in the clear.
func (s *site) serveBoth() {
	l, err := net.Listen("tcp", s.net+".11:8080")
	check(s.b, err)
	body := bytes.Repeat([]byte("x"), size)
	srv := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	go srv.Serve(l)
	s.b.Cleanup(func() { srv.Close() })
}

var finished = regexp.MustCompile(`(?s)finished in .*?, ([\d.]+) req/s.*?(\d+) succeeded`)

// run2 asks a contestant in HTTP/2 and tells what a request cost it in µs, and how many there were in a second.
func (s *site) run2(to contestant, n int) (cost, rate float64) {
	b := s.b
	before := cpu(b, to.pid)
	out, err := exec.Command("h2load", "-n", strconv.Itoa(n), "-c", strconv.Itoa(connections2), "-m", strconv.Itoa(streams2), "--connect-to", to.addr,
		fmt.Sprintf("http://catalog.shop:8080/r%d/v1/items/17", rules-1)).CombinedOutput()
	check(b, err)
	used := cpu(b, to.pid) - before
	got := finished.FindSubmatch(out)
	if got == nil || string(got[2]) != strconv.Itoa(n) || !bytes.Contains(out, []byte(strconv.Itoa(n)+" 2xx")) {
		b.Fatalf("%s: not all of %d succeeded:\n%s", to.name, n, out)
	}
	rate, err = strconv.ParseFloat(string(got[1]), 64)
	check(b, err)
	return float64(used.Nanoseconds()) / 1e3 / float64(n), rate
}

// BenchmarkPair2 is HTTP/2 all the way, as gRPC travels: the workload's in the clear, mutual TLS between the proxies, the process's in the
// clear. HAProxy does the same with one process for both ends, without identities and policy.
func BenchmarkPair2(b *testing.B) {
	if _, err := exec.LookPath("h2load"); err != nil {
		b.Skip("h2load is not installed (nghttp2-client)")
	}
	s := bare(b)
	s.serveBoth()
	s.certificate()
	all := []contestant{s.mesh()}
	pair := strings.NewReplacer("bind "+s.net+".2:15001", "bind "+s.net+".2:15001 proto h2", "server a "+s.net+".11:8080", "server a "+s.net+".11:8080 proto h2")
	if h, ok := s.haproxy(s.net+".2:15001", pair.Replace(s.haproxyPair(2, "h2"))); ok {
		all = append(all, h)
	}
	costs, rates := make([][]float64, len(all)), make([][]float64, len(all))
	for _, c := range all {
		s.run2(c, requests2/5) // warm
	}
	for b.Loop() {
		for i, c := range all {
			cost, rate := s.run2(c, requests2)
			costs[i], rates[i] = append(costs[i], cost), append(rates[i], rate)
		}
	}
	b.ReportMetric(0, "ns/op")
	var table strings.Builder
	for i, c := range all {
		slices.Sort(costs[i])
		slices.Sort(rates[i])
		cost := costs[i][len(costs[i])/2]
		b.ReportMetric(cost, c.name+"-cpu-µs")
		fmt.Fprintf(&table, "\n%-14s cpu %6.1f µs  rate %7.0f/s", c.name, cost, rates[i][len(rates[i])/2])
	}
	b.Logf("%d connections, %d streams on each, %d rounds of %d requests%s", connections2, streams2, len(costs[0]), requests2, table.String())
}
