// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/examples"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/up"
)

// patience bounds everything that is waited for. It is no measure of anything.
const patience = 30 * time.Second

// near is how long a change may take until it is felt, before the test gives up; how long it took is in the log.
const near = 10 * time.Second

var (
	firstNet = 127<<24 | (rand.Uint32N(250)+3)<<16 | rand.Uint32N(250)<<8 // away from other processes' meshes
	usedNets atomic.Uint32
)

// subnet is the beginning of 255 loopback addresses of one mesh: 127.x.y.
func subnet() string {
	n := firstNet + usedNets.Add(1)<<8
	return fmt.Sprintf("127.%d.%d", n>>16&255, n>>8&255)
}

// mesh is a mesh under test, on a folder of its own.
type mesh struct {
	t      testing.TB
	dir    string
	net    string // begins each pod's address
	broken chan up.Broken
	found  chan []model.Finding
	joined chan joined
	access func(proxy.Access)
	status up.Status
	stop   func() error // ends the mesh and waits for it
	*up.Mesh
}

// joined is what the mesh said of a pod after it was ready.
type joined struct {
	up.Pod
	err error
}

// start runs a mesh on the shop, with addresses of its own. The change may alter files, before it starts.
func start(t testing.TB, change ...func(*mesh)) *mesh {
	t.Helper()
	m := &mesh{t: t, dir: t.TempDir(), net: subnet()}
	for _, f := range []string{"services", "access", "pods", "split"} {
		text, err := examples.Files.ReadFile("shop/" + f + ".yaml")
		check(t, err)
		m.write(f+".yaml", strings.ReplaceAll(string(text), "127.0.1.", m.net+"."))
	}
	for _, c := range change {
		c(m)
	}
	m.run(up.NewFolder([]string{m.dir}, file.Options{}, func(b up.Broken) { m.broken <- b }))
	return m
}

// run runs the mesh on a source.
func (m *mesh) run(src engine.Source) {
	m.t.Helper()
	m.broken, m.found, m.joined = make(chan up.Broken, 100), make(chan []model.Finding, 100), make(chan joined, 100)
	ready := make(chan up.Status, 1)
	var err error
	m.Mesh, err = up.New(up.Options{
		Source: src, Settings: *model.Defaults(), OutboundPort: up.OutboundPort, InboundPort: up.InboundPort,
		Logger: slog.New(slog.NewTextHandler(m.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Ready:  func(s up.Status) { ready <- s },
		Findings: func(all []model.Finding) {
			select {
			case m.found <- all:
			default: // a test that does not look at findings must not hold up the engine's loop
			}
		},
		Pod:    func(p up.Pod, err error) { m.joined <- joined{p, err} },
		Access: m.access,
		Admin:  m.ip(254) + ":0",
		NACK:   func(node, why string) { m.t.Errorf("%s refused a configuration: %s", node, why) },
	})
	check(m.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	m.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	m.t.Cleanup(func() { check(m.t, m.stop()) })
	select {
	case m.status = <-ready:
	case err := <-ended:
		ended <- err
		m.t.Fatalf("the mesh ended: %v", err)
	case <-time.After(patience):
		m.t.Fatal("the mesh is not ready")
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write saves a file as an editor does: beside, and then in its place.
func (m *mesh) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	check(m.t, os.WriteFile(path+".tmp~", []byte(text), 0o644))
	check(m.t, os.Rename(path+".tmp~", path))
}

func (m *mesh) read(name string) string {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, name))
	check(m.t, err)
	return string(b)
}

// edit replaces one text in a file, which must be there exactly once.
func (m *mesh) edit(name, old, now string) {
	m.t.Helper()
	text := m.read(name)
	if strings.Count(text, old) != 1 {
		m.t.Fatalf("%s holds %q %d times", name, old, strings.Count(text, old))
	}
	m.write(name, strings.Replace(text, old, now, 1))
}

// ip is the address of a pod by its last number.
func (m *mesh) ip(last int) string { return fmt.Sprintf("%s.%d", m.net, last) }

// app runs a pod's HTTP process, which answers with its name: HTTP/1.1 and HTTP/2 in the clear.
func (m *mesh) app(last, port int, h http.Handler) {
	m.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", m.ip(last), port))
	check(m.t, err)
	s := &http.Server{Handler: h, Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	m.t.Cleanup(func() {
		s.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			m.t.Error(err)
		}
	})
}

func says(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
}

// apps runs the processes of the shop.
func (m *mesh) apps() {
	m.app(11, 8080, says("v1"))
	m.app(12, 8080, says("v2"))
	m.echo(21, 9000)
}

// echo runs a process that sends back what it is sent.
func (m *mesh) echo(last, port int) {
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
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

// proxy is where a pod's process finds its proxy.
func (m *mesh) proxy(last int) string {
	return netip.AddrPortFrom(netip.MustParseAddr(m.ip(last)), up.OutboundPort).String()
}

// client is an HTTP client as the process of a pod is one.
func (m *mesh) client(last int) *http.Client {
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: m.proxy(last)}), MaxIdleConnsPerHost: 64}
	m.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// get asks, and returns status and body.
func get(c *http.Client, target string, header ...string) (int, string, error) {
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		return 0, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

const products = "http://catalog:8080/products"

// until asks until the answer is the wanted one, and returns how long that took.
func until(t testing.TB, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > near {
			t.Fatalf("not so in time: %s", what)
		}
	}
	return time.Since(begin)
}

// status says whether a request is answered with a status.
func (m *mesh) answers(c *http.Client, target string, want int) func() bool {
	return func() bool {
		code, _, err := get(c, target)
		check(m.t, err)
		return code == want
	}
}

// dial opens a connection of bytes through a pod's proxy.
func (m *mesh) dial(last int, to string) (net.Conn, *bufio.Reader, error) {
	c, err := net.DialTimeout("tcp", m.proxy(last), patience)
	if err != nil {
		return nil, nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, r, nil
}

// load keeps asking until stopped, and counts what fails and who answered.
type load struct {
	stop   func() // waits for the last answers
	mu     sync.Mutex
	fails  []string
	counts map[string]int
}

// load starts clients of a pod. Each makes its own connections.
func (m *mesh) load(last, clients int, target string) *load {
	l := &load{counts: map[string]int{}}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for range clients {
		c := m.client(last)
		wg.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				code, body, err := get(c, target)
				l.mu.Lock()
				if err != nil || code != http.StatusOK {
					l.fails = append(l.fails, fmt.Sprintf("%d %s %v", code, body, err))
				} else {
					l.counts[body]++
				}
				l.mu.Unlock()
			}
		})
	}
	l.stop = sync.OnceFunc(func() { close(quit); wg.Wait() })
	m.t.Cleanup(l.stop)
	return l
}

// more waits until some more answers have come.
func (l *load) more(t testing.TB, n int) {
	t.Helper()
	before := l.total()
	until(t, "load goes on", func() bool { time.Sleep(time.Millisecond); return l.total() >= before+n })
}

func (l *load) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.fails)
	for _, c := range l.counts {
		n += c
	}
	return n
}

// from is how often somebody answered.
func (l *load) from(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[name]
}

func (l *load) none(t testing.TB) {
	t.Helper()
	l.stop()
	if len(l.fails) > 0 {
		t.Errorf("%d requests of %d failed, the first: %s", len(l.fails), l.total(), l.fails[0])
	}
}
