// SPDX-License-Identifier: Apache-2.0

package up_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up"
)

// pod is a bare pod of catalog.
func (m *mesh) pod(name, version string, last int) string {
	return fmt.Sprintf("\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, namespace: shop, labels: {app: catalog, version: %s}}\nspec:\n  serviceAccountName: catalog\n"+
		"  containers: [{name: app, image: x, ports: [{name: http, containerPort: 8080}]}]\nstatus: {podIP: %s}\n", name, version, m.ip(last))
}

// TestPods adds pods and takes them away under load.
func TestPods(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	m.app(13, 8080, says("v1-second"))
	pods := m.read("pods.yaml")
	l := m.load(1, 4, products)
	for round := range 5 {
		n := l.from("v1-second")
		m.write("pods.yaml", pods+m.pod("catalog-v1-b", "v1", 13))
		if j := <-m.joined; j.err != nil || j.Name.Name != "catalog-v1-b" || j.Address != m.ip(13) {
			t.Fatalf("%+v", j)
		}
		until(t, "the new pod is asked", func() bool { return l.from("v1-second") > n })
		m.write("pods.yaml", pods)
		until(t, "its proxy is gone", func() bool {
			c, err := net.Dial("tcp", m.proxy(13))
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		l.more(t, 20) // what was under way is answered, and counted
		l.more(t, 20) // what was under way
		n = l.from("v1-second")
		l.more(t, 50)
		if l.from("v1-second") != n {
			t.Errorf("round %d: a pod that is gone was asked", round)
		}
	}
	l.none(t)
	t.Logf("%d requests, none failed", l.total())
}

// TestMove gives a pod another address under load.
func TestMove(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.apps()
	m.app(14, 8080, says("v1-moved"))
	l := m.load(1, 4, products)
	l.more(t, 50)
	m.edit("pods.yaml", m.ip(11)+"}", m.ip(14)+"}")
	until(t, "the new address is asked", func() bool { return l.from("v1-moved") > 10 })
	l.none(t)
}

// TestNewBackend adds a service, its pod and its share in one save under load, and takes them away in one save.
func TestNewBackend(t *testing.T) {
	t.Parallel()
	m := start(t, func(m *mesh) {
		var all []string
		for _, f := range []string{"services.yaml", "access.yaml", "pods.yaml", "split.yaml"} {
			all = append(all, m.read(f))
		}
		m.write("services.yaml", strings.Join(all, "\n---\n"))
		for _, f := range []string{"access.yaml", "pods.yaml", "split.yaml"} {
			m.write(f, "")
		}
	})
	m.apps()
	m.app(13, 8080, says("v3"))
	old := m.read("services.yaml")
	now := strings.Replace(old, "  - service: catalog-v2\n    weight: 10\n", "  - service: catalog-v2\n    weight: 10\n  - service: catalog-v3\n    weight: 100\n", 1) +
		m.pod("catalog-v3", "v3", 13) + "---\napiVersion: v1\nkind: Service\nmetadata: {name: catalog-v3, namespace: shop}\nspec:\n  selector: {app: catalog, version: v3}\n  ports: [{name: http, port: 8080}]\n"
	l := m.load(1, 4, products)
	for range 5 {
		n := l.from("v3")
		m.write("services.yaml", now)
		until(t, "v3 is asked", func() bool { return l.from("v3") > n })
		l.more(t, 50)
		m.write("services.yaml", old)
		until(t, "v3's proxy is gone", func() bool {
			c, err := net.Dial("tcp", m.proxy(13))
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		l.more(t, 50)
	}
	l.none(t)
	t.Logf("%d requests, none failed: %v", l.total(), l.counts)
}

// TestDeployment runs two pods of one Deployment beside bare ones.
func TestDeployment(t *testing.T) {
	t.Parallel()
	m := start(t, func(m *mesh) {
		text := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: catalog-v1, namespace: shop}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: catalog, version: v1}}\n" +
			"  template:\n    metadata: {labels: {app: catalog, version: v1}}\n    spec:\n      serviceAccountName: catalog\n      containers: [{name: app, image: x, ports: [{name: http, containerPort: 8080}]}]\n"
		for i, n := range []string{"x", "y"} {
			text += strings.Replace(strings.Replace(m.pod("catalog-v1-abc-"+n, "v1", 15+i), "labels: {", "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: catalog-v1-abc, controller: true, uid: u}], labels: {pod-template-hash: abc, ", 1), "\n---\n", "---\n", 1)
		}
		m.write("deployment.yaml", text)
	})
	if len(m.status.Failed) > 0 || len(m.status.Proxies) != 7 {
		t.Fatalf("%+v", m.status)
	}
	m.apps()
	m.app(15, 8080, says("x"))
	m.app(16, 8080, says("y"))
	c := m.client(1)
	seen := map[string]bool{}
	until(t, "all three pods of v1 are asked", func() bool {
		_, body, err := get(c, products)
		check(t, err)
		seen[body] = true
		return seen["v1"] && seen["x"] && seen["y"]
	})
	if !m.answers(m.client(66), products, http.StatusForbidden)() {
		t.Error("the intruder is refused by all of them")
	}
}

// TestPortInUse says whose port it is, and takes it when it comes free.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	for _, port := range []int{up.OutboundPort, up.InboundPort} {
		var taken net.Listener
		m := start(t, func(m *mesh) {
			var err error
			taken, err = net.Listen("tcp", fmt.Sprintf("%s:%d", m.ip(66), port))
			check(t, err)
		})
		err := m.status.Failed[model.Name{Namespace: "shop", Name: "intruder"}]
		if want := fmt.Sprintf("port %d of %s is in use", port, m.ip(66)); len(m.status.Failed) != 1 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v", m.status.Failed)
		}
		m.apps()
		if !m.answers(m.client(1), products, http.StatusOK)() {
			t.Error("one pod without a proxy holds up the others")
		}
		taken.Close()
		if j := <-m.joined; j.err != nil || j.Name.Name != "intruder" {
			t.Errorf("%+v", j)
		}
	}
}

// TestElsewhere says that a pod's address is not of this machine.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	m := start(t, func(m *mesh) { m.edit("pods.yaml", m.ip(66), "192.0.2.1") })
	if err := m.status.Failed[model.Name{Namespace: "shop", Name: "intruder"}]; err == nil || !strings.Contains(err.Error(), "127.0.0.0/8") {
		t.Errorf("%v", err)
	}
}

// TestEmpty is ready with nothing, and takes what comes.
func TestEmpty(t *testing.T) {
	t.Parallel()
	m := &mesh{t: t, dir: t.TempDir(), net: subnet()}
	m.run(up.NewFolder([]string{m.dir}, file.Options{}, nil))
	if len(m.status.Proxies)+len(m.status.Failed) != 0 {
		t.Fatalf("%+v", m.status)
	}
	m.write("pods.yaml", m.pod("catalog-v1", "v1", 11))
	check(t, (<-m.joined).err)
}

// TestDrain ends the mesh while requests are under way, all of which are answered.
func TestDrain(t *testing.T) {
	t.Parallel()
	m := start(t)
	var in sync.WaitGroup
	goOn := make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in.Done()
		<-goOn
		_, _ = io.WriteString(w, "done")
	})
	m.app(11, 8080, slow)
	m.app(12, 8080, slow)
	const n = 30
	in.Add(n)
	ended := make(chan error, n)
	for range n {
		c := m.client(1)
		go func() {
			code, body, err := get(c, products)
			if err == nil && (code != http.StatusOK || body != "done") {
				err = fmt.Errorf("%d %s", code, body)
			}
			ended <- err
		}()
	}
	in.Wait()
	over := make(chan error, 1)
	go func() { over <- m.stop() }()
	until(t, "nothing new is taken", func() bool {
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", m.proxy(1))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	close(goOn)
	for range n {
		if err := <-ended; err != nil {
			t.Errorf("a request under way failed: %v", err)
		}
	}
	check(t, <-over)
}
