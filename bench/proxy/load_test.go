// SPDX-License-Identifier: Apache-2.0

package proxybench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// answer is what the server says to each request.
var answer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", size))

// serve answers requests without bodies, at as little cost as may be.
func serve(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 8<<10)
	n := 0
	for {
		m, err := c.Read(buf[n:])
		if err != nil || n+m == len(buf) {
			return
		}
		if n += m; bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
			n = 0
		}
	}
}

// contestant is a proxy that is measured.
type contestant struct {
	name    string
	pid     int
	addr    string
	request string
}

// client is one connection that asks again and again.
type client struct {
	to    contestant
	fresh bool // a new connection for each request
	conn  net.Conn
	buf   []byte
}

func (c *client) ask() error {
	if c.fresh && c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
	if c.conn == nil {
		var err error
		if c.conn, err = net.DialTimeout("tcp", c.to.addr, patience); err != nil {
			return err
		}
		if err := c.conn.SetDeadline(time.Now().Add(5 * time.Minute)); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(c.conn, c.to.request); err != nil {
		return err
	}
	n := 0
	for want := -1; want < 0 || n < want; {
		m, err := c.conn.Read(c.buf[n:])
		if err != nil {
			return fmt.Errorf("%s: %w after %.100q", c.to.name, err, c.buf[:n])
		}
		n += m
		if i := bytes.Index(c.buf[:n], []byte("\r\n\r\n")); want < 0 && i >= 0 {
			want = i + 4 + size
		}
		if want > 0 && (n > want || !bytes.HasPrefix(c.buf, []byte("HTTP/1.1 200 "))) {
			return fmt.Errorf("%s: unexpected answer %.300q", c.to.name, c.buf[:n])
		}
	}
	return nil
}

// load is how a contestant is asked.
type load struct {
	connections, requests int
	fresh                 bool
}

// result is what one round showed.
type result struct{ cpu, rate, p50, p99 float64 } // µs, 1/s, µs, µs

func (l load) run(b *testing.B, to contestant) result {
	clients := make([]*client, l.connections)
	for i := range clients {
		clients[i] = &client{to: to, fresh: l.fresh, buf: make([]byte, 8<<10)}
		check(b, clients[i].ask())
	}
	var wg sync.WaitGroup
	took := make([][]time.Duration, l.connections)
	failed := make([]error, l.connections)
	each := max(1, l.requests/l.connections)
	before, begin := cpu(b, to.pid), time.Now()
	for i, c := range clients {
		wg.Go(func() {
			mine := make([]time.Duration, each)
			last := time.Now()
			for k := range each {
				if failed[i] = c.ask(); failed[i] != nil {
					return
				}
				now := time.Now()
				mine[k], last = now.Sub(last), now
			}
			took[i] = mine
		})
	}
	wg.Wait()
	wall, used := time.Since(begin), cpu(b, to.pid)-before
	for i, c := range clients {
		check(b, failed[i])
		c.conn.Close()
	}
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	n := float64(each * l.connections)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	return result{us(used) / n, n / wall.Seconds(), us(all[len(all)/2]), us(all[len(all)*99/100])}
}

// contest asks all in turns, round by round, so that what else the machine does falls on all alike, and shows the medians.
func (l load) contest(b *testing.B, all ...contestant) {
	b.Helper()
	results := make([][]result, len(all))
	for _, c := range all {
		load{l.connections, l.requests / 5, l.fresh}.run(b, c) // warm
	}
	for b.Loop() {
		for i, c := range all {
			results[i] = append(results[i], l.run(b, c))
		}
	}
	b.ReportMetric(0, "ns/op")
	median := func(i int, f func(result) float64) float64 {
		var v []float64
		for _, r := range results[i] {
			v = append(v, f(r))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	base := 0.0
	var table strings.Builder
	for i, c := range all {
		cost := median(i, func(r result) float64 { return r.cpu })
		if c.name == "haproxy" {
			base = cost
		}
		b.ReportMetric(cost, c.name+"-cpu-µs")
		fmt.Fprintf(&table, "\n%-14s cpu %6.1f µs  rate %7.0f/s  p50 %5.0f µs  p99 %6.0f µs", c.name, cost,
			median(i, func(r result) float64 { return r.rate }), median(i, func(r result) float64 { return r.p50 }), median(i, func(r result) float64 { return r.p99 }))
		if base > 0 {
			fmt.Fprintf(&table, "  x%.2f", cost/base)
		}
	}
	b.Logf("%d connections, fresh %v, %d rounds of %d requests%s", l.connections, l.fresh, len(results[0]), l.requests, table.String())
}

// cpu is what a process and its children have used so far, in user and kernel.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	check(b, err)
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(task + "/schedstat")
		check(b, err)
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		check(b, err)
		sum += time.Duration(n)
		children, err := os.ReadFile(task + "/children")
		check(b, err)
		for child := range strings.FieldsSeq(string(children)) {
			n, err := strconv.Atoi(child)
			check(b, err)
			sum += cpu(b, n)
		}
	}
	return sum
}
