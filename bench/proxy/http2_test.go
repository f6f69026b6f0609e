// SPDX-License-Identifier: Apache-2.0

package proxybench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Figures of HTTP/2 are made by h2load, with as many connections as those of HTTP/1 and as many streams on each.
const (
	requests2 = 100_000
	streams   = 32
)

var finished = regexp.MustCompile(`(?s)finished in .*?, ([\d.]+) req/s.*?(\d+) succeeded`)

// load2 runs h2load through a proxy and reports what the requests cost its process.
func (s *site) load2(pid int, target, via string) {
	b := s.b
	bin, err := exec.LookPath("h2load")
	if err != nil {
		b.Skip("h2load is not installed (nghttp2-client)")
	}
	run := func(n int) string {
		out, err := exec.Command(bin, "-n", strconv.Itoa(n), "-c", strconv.Itoa(connections), "-m", strconv.Itoa(streams), "--connect-to", via, target).CombinedOutput()
		if err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for begin := time.Now(); ; {
		got := finished.FindStringSubmatch(run(connections))
		if got != nil && got[2] == strconv.Itoa(connections) {
			break
		}
		if time.Since(begin) > patience {
			b.Fatalf("%s does not answer:\n%s", target, run(connections))
		}
	}
	run(requests2 / 10) // warm
	for b.Loop() {
		before := cpu(b, pid)
		out := run(requests2)
		got := finished.FindStringSubmatch(out)
		if got == nil || got[2] != strconv.Itoa(requests2) {
			b.Fatalf("not all requests succeeded:\n%s", out)
		}
		b.ReportMetric(float64((cpu(b, pid)-before).Microseconds())/requests2, "cpu-µs/request")
		rate, err := strconv.ParseFloat(got[1], 64)
		check(b, err)
		b.ReportMetric(rate, "requests/s")
	}
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPair2 is BenchmarkPair in HTTP/2 all the way: the workload's h2c, mutual TLS, the process's h2c. It is how gRPC travels.
func BenchmarkPair2(b *testing.B) {
	s := newSite(b)
	s.load2(s.mesh(), "http://catalog.shop:8080/products", s.net+".1:15001")
}

// BenchmarkHaproxyPair2 is two hops of HAProxy that do the same, without identities and policy.
func BenchmarkHaproxyPair2(b *testing.B) {
	s := newSite(b)
	s.certificate()
	pid := s.haproxy(`
frontend out
  bind NET.1:15001 proto h2
  default_backend peer
backend peer
  server peer NET.11:15006 ssl crt DIR/both.pem ca-file DIR/roots.pem verify none alpn h2
frontend in
  bind NET.11:15006 ssl crt DIR/both.pem ca-file DIR/roots.pem verify required alpn h2 ssl-min-ver TLSv1.3
  default_backend app
backend app
  server app NET.11:8080 proto h2
`)
	s.load2(pid, "http://catalog.shop:8080/products", s.net+".1:15001")
}

// haproxy runs one with what stands after its defaults.
func (s *site) haproxy(rest string) int {
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		s.b.Skip("haproxy is not installed: with it, its figures stand beside ours")
	}
	key, err := os.ReadFile(filepath.Join(s.dir, "key.pem"))
	check(s.b, err)
	cert, err := os.ReadFile(filepath.Join(s.dir, "svid.pem"))
	check(s.b, err)
	s.write("both.pem", string(bytes.Join([][]byte{cert, key}, nil)))
	conf := s.write("haproxy.cfg", strings.NewReplacer("NET", s.net, "DIR", s.dir).Replace(fmt.Sprintf(`
global
  nbthread 2
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
%s`, rest)))
	return s.start(bin, "-f", conf, "-db")
}
