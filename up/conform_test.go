// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

var conformPairs = flag.Int("conform", 1500, "pairs of policies and requests that TestConformance makes up")

var conformFrom = flag.Int("conform-from", 0, "the first world of TestConformance")

// questionsEach is how many requests each world of policies is asked.
const questionsEach = 25

// steps is a source of events that a test sends.
type steps chan []store.Event

func (s steps) Run(ctx context.Context, out chan<- []store.Event) error {
	for {
		select {
		case e := <-s:
			select {
			case out <- e:
			case <-ctx.Done():
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// TestConformance makes up policies and requests and sends the requests through proxies: what happens on the sockets is what the
// evaluator of the model says, for HTTP, TCP and UDP.
func TestConformance(t *testing.T) {
	t.Parallel()
	src := make(steps, 1)
	m := &mesh{t: t, net: subnet()}
	world := store.New()
	turn := func(events []store.Event) {
		for _, e := range events {
			world.Set(e)
		}
		src <- events
	}
	turn(append(standing(m.ip), store.Event{Object: model.Defaults().Ref(), Facts: []model.Fact{model.Defaults()}}))
	m.run(src)
	for name, n := range serverNumber {
		for _, port := range []int{8080, 7070} {
			m.app(n, port, says(name))
		}
		m.greet(n, 9090, name)
		m.resolve(n, 5353, name)
	}
	asked := map[string]int{}
	for seed := uint64(*conformFrom); seed < uint64(*conformFrom+(*conformPairs+questionsEach-1)/questionsEach); seed++ {
		r := rand.New(rand.NewPCG(seed, 11))
		turn(policies(r))
		m.settled()
		for range questionsEach {
			q := question(r)
			want := expected(world, q)
			// A way that is new to a proxy is taken once its parts have come: until then the one before is.
			var got string
			for end := time.Now().Add(patience); ; {
				if got = m.send(q); slices.Contains(want, got) || time.Now().After(end) {
					break
				}
				asked["again"]++
			}
			if !slices.Contains(want, got) {
				t.Fatalf("world %d: %+v\non the sockets: %s\nthe evaluator: %q", seed, *q, got, want)
			}
			asked[strings.SplitN(got, " ", 2)[0]+fmt.Sprint(q.Layer)]++
		}
	}
	t.Logf("%d pairs: %v", *conformPairs, asked)
	for _, what := range []string{"answered0", "answered1", "answered2", "refused0", "refused1", "refused2"} {
		if asked[what] < *conformPairs/100 {
			t.Errorf("only %d of the requests were %s: the worlds are too plain to prove anything", asked[what], what)
		}
	}
}

// expected lists what may happen to a request: the pods it may go to, each with what the evaluator says there.
func expected(w *store.Store, q *model.Request) (out []string) {
	route, _ := model.JoinRoute(w, q.Service)
	port, err := route.PortFor(q)
	if err != nil {
		panic(err) // questions are asked of ports that are there
	}
	shares, _ := route.Choose(port, q)
	for _, s := range shares {
		if s.Weight == 0 {
			continue
		}
		for _, wl := range w.Selected(s.Service) {
			a, _ := model.JoinAccess(w, wl.Identity())
			if ok, _, _ := a.Admit(wl, wl.TargetPort(s.Port), q, w.Settings().Host(q.Service)); !ok {
				out = append(out, "refused")
			} else if q.Layer == model.LayerStream && port.Number == 70 {
				out = append(out, "answered") // by an HTTP server, which does not say who it is when it is sent no request
			} else {
				out = append(out, "answered by "+wl.Name.Name)
			}
		}
	}
	return out
}

// settled waits until the engine has taken what was sent, and all proxies what they were told.
func (m *mesh) settled() {
	m.t.Helper()
	until(m.t, "all proxies have taken what they were told", func() bool {
		res, err := http.Get("http://" + m.status.Admin + "/proxies")
		check(m.t, err)
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		check(m.t, err)
		return !strings.Contains(string(text), `"Pending": true`)
	})
}

// send sends a request from its caller's pod, and says what became of it.
func (m *mesh) send(q *model.Request) string {
	from := callerNumber[q.From.ServiceAccount]
	switch q.Layer {
	case model.LayerStream:
		c, r, err := m.dial(from, fmt.Sprintf("%s:%d", q.Service.Name, q.Port))
		if err != nil {
			return "no connection: " + err.Error()
		}
		defer c.Close()
		return readGreeting(c, r, q.Port)
	case model.LayerDatagram:
		return m.sendDatagram(from, q)
	}
	c, err := net.Dial("tcp", m.proxy(from))
	check(m.t, err)
	defer c.Close()
	check(m.t, c.SetDeadline(time.Now().Add(patience)))
	text := q.Method + " " + q.Path + " HTTP/1.1\r\nHost: " + q.Host + "\r\nConnection: close\r\n"
	for name, values := range q.Headers {
		for _, v := range values {
			text += name + ": " + v + "\r\n"
		}
	}
	_, err = io.WriteString(c, text+"\r\n")
	check(m.t, err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "no answer: " + err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return "half an answer: " + err.Error()
	case res.StatusCode == http.StatusForbidden && res.Header.Get("X-Anymesh-Denied") == "access":
		return "refused"
	case res.StatusCode != http.StatusOK:
		return fmt.Sprintf("%d %s", res.StatusCode, body)
	}
	return "answered by " + string(body)
}

func readGreeting(c net.Conn, r *bufio.Reader, port uint16) string {
	if port == 70 { // an HTTP server, which answers what is none with an error
		if _, err := io.WriteString(c, "\x00"+strings.Repeat("x", 100)+"\r\n\r\n"); err != nil {
			return "refused"
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return "refused"
		}
		if !strings.HasPrefix(line, "HTTP/1.1 400") {
			return line
		}
		return "answered"
	}
	line, err := r.ReadString('\n')
	if err != nil {
		return "refused"
	}
	return "answered by " + strings.TrimSpace(line)
}

// sendDatagram sends one datagram of a new flow: it is answered, or a server's proxy counts that it refused it.
func (m *mesh) sendDatagram(from int, q *model.Request) string {
	before := m.denied(q.From.String())
	c, err := net.Dial("udp", m.at(from, 5300+slices.Index(serviceNames, q.Service.Name)))
	check(m.t, err)
	defer c.Close()
	_, err = c.Write([]byte("who?"))
	check(m.t, err)
	buf := make([]byte, 100)
	for end := time.Now().Add(near); time.Now().Before(end); {
		check(m.t, c.SetReadDeadline(time.Now().Add(2*time.Millisecond)))
		if n, err := c.Read(buf); err == nil {
			return "answered by " + string(buf[:n])
		}
		if m.denied(q.From.String()) > before {
			return "refused"
		}
	}
	return "no answer, and no refusal"
}

// denied is how often servers' proxies refused a caller.
func (m *mesh) denied(source string) (n uint64) {
	for _, e := range m.Stats().Snapshot() {
		if e.Side == "server" && e.Source == source {
			n += e.Denied
		}
	}
	return n
}

// greet runs a process that says who it is to each connection.
func (m *mesh) greet(last, port int, word string) {
	m.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", m.ip(last), port))
	check(m.t, err)
	m.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, word+"\n")
			c.Close()
		}
	}()
}
