// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/wire"
	"github.com/anymesh/anymesh/store"
	"github.com/anymesh/anymesh/xds"
)

// told is a source of facts that a test makes up.
type told chan []store.Event

func (c told) Run(ctx context.Context, out chan<- []store.Event) error {
	for {
		select {
		case b := <-c:
			select {
			case out <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// arena is a mesh of fixed pods, the world around which changes.
type arena struct {
	*mesh
	source told
	facts  map[model.Ref]bool // of the present world
	pods   map[model.Identity]int
	ends   chan proxy.Access // of what callers' proxies have finished
}

// newArena has pods for all workloads of meshtest.Random, and for all callers.
func newArena(t *testing.T) *arena {
	a := &arena{mesh: &mesh{t: t, net: subnet()}, source: make(told), facts: map[model.Ref]bool{}, pods: map[model.Identity]int{}, ends: make(chan proxy.Access, 100)}
	a.access = func(x proxy.Access) {
		if x.Side != stats.Server {
			a.ends <- x
		}
	}
	var first []store.Event
	say := func(f model.Fact) { first = append(first, store.Event{Object: f.Ref(), Facts: []model.Fact{f}}) }
	last := 10
	for _, ns := range []string{"shop", "lab", "nowhere"} {
		for _, n := range []string{"catalog", "catalog-v1", "catalog-v2", "payments", "web", "intruder", "nobody"} {
			if (ns == "nowhere") != (n == "nobody") {
				continue
			}
			last++
			account, _, _ := strings.Cut(n, "-")
			p := &model.Pod{Name: model.Name{Namespace: ns, Name: n}, Account: account, Address: a.ip(last), Ready: true, Labels: map[string]string{"app": account, "version": n}}
			p.Workload = model.Ref{Kind: model.KindDeployment, Name: p.Name}
			if id := p.Identity(); a.pods[id] == 0 {
				a.pods[id] = last
			}
			a.speaks(n, last, 8080)
			a.speaks(n, last, 9000)
			first = append(first, store.Event{Object: p.Ref(), Facts: []model.Fact{p}})
			if account == n && n != "catalog" && n != "payments" {
				say(&model.Workload{Kind: model.KindDeployment, Name: p.Name, Labels: p.Labels, Account: account})
			}
		}
	}
	ready := make(chan struct{})
	go func() { // the first batch is the first world
		a.source <- append(first, a.events(meshtest.Random(rand.New(rand.NewPCG(0, 1))))...)
		close(ready)
	}()
	a.run(a.source)
	<-ready
	if len(a.status.Failed) > 0 {
		t.Fatalf("%v", a.status.Failed)
	}
	return a
}

// speaks runs a process that tells its name, to bytes and to HTTP of both versions.
func (a *arena) speaks(name string, last, port int) {
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", a.ip(last), port))
	check(a.t, err)
	web := wire.NewHandoff(l.Addr())
	s := &http.Server{Handler: says(name), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = s.Serve(web) }()
	a.t.Cleanup(func() { l.Close(); s.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				r := bufio.NewReader(c)
				if b, _ := r.Peek(4); string(b) == "who\n" {
					_, _ = io.WriteString(c, name+"\n")
					c.Close()
				} else if !web.Push(&peeked{c, r}) {
					c.Close()
				}
			}()
		}
	}()
}

type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// events turn the present world into another.
func (a *arena) events(s *store.Store) (out []store.Event) {
	now := map[model.Ref]bool{}
	for f := range s.Facts {
		now[f.Ref()] = true
		out = append(out, store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
	}
	for ref := range a.facts {
		if !now[ref] {
			out = append(out, store.Event{Object: ref})
		}
	}
	a.facts = now
	return append(out, store.Event{Object: s.Settings().Ref(), Facts: []model.Fact{s.Settings()}})
}

// enter makes a world the present one, and waits until all proxies have heard of it.
func (a *arena) enter(s *store.Store) {
	a.t.Helper()
	a.source <- a.events(s)
	a.source <- nil // once this is taken, the engine has the other
	check(a.t, a.Engine().Ask(a.t.Context(), func(*engine.Engine) {}))
	check(a.t, a.settled())
}

func (a *arena) settled() error {
	deadline := time.Now().Add(patience)
	for calm := 0; calm < 3; { // an answer may lead to another question
		res, err := http.Get("http://" + a.status.Admin + "/proxies")
		if err != nil {
			return err
		}
		var all []xds.NodeStatus
		err = json.NewDecoder(res.Body).Decode(&all)
		res.Body.Close()
		if err != nil {
			return err
		}
		calm++
		for _, n := range all {
			for _, ty := range n.Types {
				if ty.Pending || ty.Sent != ty.Acked {
					calm = 0
				}
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the proxies do not settle: %+v", all)
		}
	}
	return nil
}

// ask makes a request once, and says which backend it went to and whether it was admitted.
func (a *arena) ask(q *model.Request) (backend string, allowed bool, err error) {
	last := a.pods[q.From]
	if q.Layer == model.LayerStream {
		c, r, err := a.dial(last, q.Host)
		if err != nil {
			return "", false, err
		}
		_, _ = io.WriteString(c, "who\n")
		who, _ := r.ReadString('\n')
		c.Close()
		return a.end().Backend, who != "", nil
	}
	c, err := net.Dial("tcp", a.proxy(last))
	if err != nil {
		return "", false, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nContent-Length: 0\r\n", q.Method, q.Path, q.Host)
	for k, list := range q.Headers {
		for _, v := range list {
			fmt.Fprintf(&b, "%s: %s\r\n", k, v)
		}
	}
	_, _ = io.WriteString(c, b.String()+"\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: q.Method})
	if err != nil {
		return "", false, err
	}
	res.Body.Close()
	end := a.end()
	switch {
	case res.StatusCode == http.StatusOK:
		return end.Backend, true, nil
	case res.StatusCode == http.StatusForbidden && end.Denied:
		return end.Backend, false, nil
	}
	return end.Backend, false, fmt.Errorf("%s: %s", res.Status, res.Header.Get("X-Anymesh-Error"))
}

// end is what the caller's proxy said of a request when it was over; nothing, where the request never came so far.
func (a *arena) end() proxy.Access {
	select {
	case x := <-a.ends:
		return x
	case <-time.After(patience):
		return proxy.Access{}
	}
}

// compare asks until every backend that is to have a share has had one, and wants of each what the evaluator says.
func (a *arena) compare(s *store.Store, q *model.Request) error {
	v, err := model.Evaluate(s, q)
	if err != nil {
		return err
	}
	want := map[string]bool{}
	for _, o := range v.Backends {
		want[fmt.Sprintf("%s:%d", s.Settings().Host(o.Service), o.Port)] = o.Allowed
	}
	seen := map[string]bool{}
	for n := 0; len(seen) < len(want); n++ {
		backend, allowed, err := a.ask(q)
		if err != nil {
			return err
		}
		if expected, ok := want[backend]; !ok || expected != allowed {
			return fmt.Errorf("%s admitted=%v; the evaluator says %v: %s", backend, allowed, want, v.Reason)
		}
		seen[backend] = true
		if n > 2000 {
			return fmt.Errorf("2000 requests went to %v, the evaluator says %v", seen, want)
		}
	}
	return nil
}

// confusing are paths that a proxy must not take for others.
var confusing = []string{"/api/x", "//api/x", "/api//x", "/api/../admin", "/admin/../api/x", "/api/%2e%2e/admin", "/%2e/api/x", "/./api/x", "/api/.", "/api/..", "/api;v=1", "/api;/x",
	"/api%2fx", "/%2fapi/x", "/%61pi/x", "/API/x", "/api/x?q=/admin", "/admin?/api/x", "/api/x/", "/api\\x", "/a", "/ab", "/", "/api/v1/%00", "/items/a%2fb", "/x.css?.css", "/x.css/y", "///"}

// TestWorlds asks random questions in random worlds of the proxies and of the evaluator.
func TestWorlds(t *testing.T) {
	t.Parallel()
	a := newArena(t)
	asked := 0
	for i := range 16 {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		s := meshtest.Random(r)
		if i > 0 {
			a.enter(s)
		}
		v := words(s)
		list := make([]*model.Request, 0, 40)
		for range 12 {
			list = append(list, v.request(r, a.pods))
		}
		if i%3 == 0 {
			for _, p := range confusing {
				q := v.request(r, a.pods)
				for q.Layer != model.LayerHTTP {
					q = v.request(r, a.pods)
				}
				q.Path = p
				list = append(list, q)
			}
		}
		for _, q := range list {
			asked++
			// A proxy has heard of a change before it acts on it: what a new way needs comes first. So it may answer as before for a
			// moment, and then must answer right.
			err := a.compare(s, q)
			for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
				err = a.compare(s, q)
			}
			if err != nil {
				t.Errorf("world %d: %s of %s asks %s:%d %s %s %v: %v", i, []string{"HTTP", "bytes"}[q.Layer], q.From, q.Service, q.Port, q.Method, q.Path, q.Headers, err)
			}
		}
	}
	t.Logf("%d questions", asked)
}

// vocabulary is what questions to a world are made of.
type vocabulary struct {
	services []*model.Service
	methods  []string
	headers  []model.Header
	settings *model.Settings
}

func words(s *store.Store) *vocabulary {
	v := &vocabulary{methods: []string{"GET", "POST", "DELETE"}, settings: s.Settings()}
	for f := range s.Facts {
		switch f := f.(type) {
		case *model.Service:
			v.services = append(v.services, f)
		case *model.RouteGroup:
			for _, m := range f.Matches {
				v.headers = append(v.headers, m.Headers...)
			}
		}
	}
	slices.SortFunc(v.services, func(a, b *model.Service) int { return a.Name.Compare(b.Name) })
	return v
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func (v *vocabulary) request(r *rand.Rand, pods map[model.Identity]int) *model.Request {
	var callers []model.Identity
	for id := range pods {
		callers = append(callers, id)
	}
	slices.SortFunc(callers, model.Identity.Compare)
	svc := pick(r, v.services)
	p := pick(r, svc.Ports)
	q := &model.Request{From: pick(r, callers), Service: svc.Name, Port: p.Number, Headers: map[string][]string{}}
	q.Host = fmt.Sprintf("%s:%d", v.settings.Host(svc.Name), p.Number)
	if !p.Protocol.CarriesHTTP() || p.Protocol == model.Auto && r.IntN(3) == 0 {
		q.Layer = model.LayerStream
		return q
	}
	q.Method = pick(r, v.methods)
	q.Path = pick(r, append([]string{"/api", "/api/v1/x", "/b", "/items/7", "/static/a.css", "/web/x", "/apix"}, confusing...))
	for _, h := range v.headers {
		if !h.Authority() && r.IntN(2) == 0 {
			q.Headers[h.Name] = []string{pick(r, []string{"beta", "beta-7", "alphabeta", "v1", "ac", "other", ""})}
		}
	}
	return q
}
