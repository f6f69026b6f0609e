// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anymesh/anymesh/test/kubetest"
)

// lan are hosts on one bridge, each a network namespace of its own.
type lan struct {
	t   *testing.T
	dir string
}

func (l *lan) do(args ...string) string {
	l.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func newLAN(t *testing.T, hosts int) *lan {
	t.Helper()
	l := &lan{t, t.TempDir()}
	l.do("mount", "-t", "tmpfs", "tmpfs", "/run")
	fatal(t, os.Mkdir("/run/netns", 0o755))
	l.do("ip", "link", "add", "br0", "type", "bridge")
	l.do("ip", "addr", "add", "10.77.0.254/24", "dev", "br0")
	l.do("ip", "link", "set", "br0", "up")
	for i := 1; i <= hosts; i++ {
		h, v := fmt.Sprint("h", i), fmt.Sprint("v", i)
		l.do("ip", "netns", "add", h)
		l.do("ip", "link", "add", v, "type", "veth", "peer", "name", "eth0", "netns", h)
		l.do("ip", "link", "set", v, "master", "br0", "up")
		l.do("ip", "-n", h, "addr", "add", fmt.Sprintf("10.77.0.%d/24", i), "dev", "eth0")
		l.do("ip", "-n", h, "link", "set", "eth0", "up")
		l.do("ip", "-n", h, "link", "set", "lo", "up")
	}
	return l
}

// on runs this test's binary, as something else, on a host.
func (l *lan) on(host int, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	fatal(l.t, err)
	return exec.Command("ip", append([]string{"netns", "exec", fmt.Sprint("h", host), exe}, args...)...)
}

// start keeps something running on a host until the test ends or it is stopped, and waits until it has said something.
func (l *lan) start(host int, says string, args ...string) (c *exec.Cmd, stop func(syscall.Signal)) {
	l.t.Helper()
	var out spoken
	c = l.on(host, args...)
	c.Stdout, c.Stderr = &out, &out
	fatal(l.t, c.Start())
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	stop = func(s syscall.Signal) { _ = c.Process.Signal(s); <-ended }
	l.t.Cleanup(func() {
		stop(syscall.SIGTERM)
		if l.t.Failed() {
			l.t.Logf("host %d: %s\n%s", host, strings.Join(args, " "), out.String())
		}
	})
	kubetest.Eventually(l.t, func() error {
		if !strings.Contains(out.String(), says) {
			return fmt.Errorf("%s on host %d does not say %q: %s", args, host, says, out.String())
		}
		return nil
	})
	return c, stop
}

// ask is what a process on a host is told at an address, when it asks for a URL.
func (l *lan) ask(host int, at, target string) string {
	l.t.Helper()
	out, err := l.on(host, asClient, at, target).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%v %s", err, out)
	}
	return string(out)
}

// fetch prints what is at a URL, asked at an address whatever the URL's host.
func fetch(at, target string) int {
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, at)
	}}
	res, err := (&http.Client{Transport: tr, Timeout: 8 * time.Second}).Get(target)
	if err != nil {
		fmt.Print("error: ", err)
		return 0
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	fmt.Print(res.StatusCode, " ", string(b), " ")
	if err != nil {
		fmt.Print(err)
	}
	return 0
}

const threeHosts = `
{apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop}, spec: {selector: {app: api}, ports: [{name: http, port: 8080}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, spec: {serviceAccountName: web, containers: [{name: app, image: web}]}, status: {podIP: 10.77.0.1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: api-2, namespace: shop, labels: {app: api}}, spec: {serviceAccountName: api, containers: [{name: app, image: api, ports: [{containerPort: 8080}]}]}, status: {podIP: 10.77.0.2}}
---
{apiVersion: v1, kind: Pod, metadata: {name: api-3, namespace: shop, labels: {app: api}}, spec: {serviceAccountName: api, containers: [{name: app, image: api, ports: [{containerPort: 8080}]}]}, status: {podIP: 10.77.0.3}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {name: api, namespace: shop}, spec: {matches: [{name: ok, pathRegex: /ok, methods: [GET]}]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: api, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: api}
  rules: [{kind: HTTPRouteGroup, name: api, matches: [ok]}]
  sources: [{kind: ServiceAccount, name: web}]
`

// TestIntercepted has three hosts whose processes know of no mesh. What they open and what is opened to them goes through it, a link that is cut
// and a proxy that is killed are gone around, and nobody gets around a proxy, be it alive or not.
func TestIntercepted(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	l := newLAN(t, 3)
	at := func(name string) string { return filepath.Join(l.dir, name) }
	fatal(t, os.Mkdir(at("mesh"), 0o755))
	fatal(t, os.WriteFile(at("mesh/three.yaml"), []byte(threeHosts), 0o644))
	plane := begin(t, `control plane on (\S+);`, "control-plane", at("mesh"), "--listen", "10.77.0.254:15010", "--identity-dir", at("ca"), "--admin", "")
	pods := map[int]string{1: "web", 2: "api-2", 3: "api-3"}
	proxy := func(host int) func(syscall.Signal) {
		_, stop := l.start(host, "takes requests", asAnymesh, "proxy", "--intercept", "--control-plane", plane, "--roots", at("ca/roots.pem"), "--join-token", at(pods[host]+".token"),
			"--state", at(pods[host]), "--pod", pods[host], "--namespace", "shop", "--admin", "")
		return stop
	}
	stops := map[int]func(syscall.Signal){}
	for host, pod := range pods {
		account, _, _ := strings.Cut(pod, "-")
		token := anymesh(t, "", "token", "create", "shop/"+account, "--identity-dir", at("ca")).wants(t, exitOK).out
		fatal(t, os.WriteFile(at(pod+".token"), []byte(token), 0o600))
		if host > 1 {
			l.start(host, "serves", asApp, fmt.Sprintf("10.77.0.%d:8080", host))
		}
		if out, err := l.on(host, asAnymesh, "intercept").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		stops[host] = proxy(host)
	}
	reaches := func(want ...string) {
		t.Helper()
		seen := map[string]bool{}
		kubetest.Eventually(t, func() error {
			got := l.ask(1, "10.77.0.2:8080", "http://api:8080/ok")
			if !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "URI=spiffe://cluster.local/ns/shop/sa/web") {
				t.Fatalf("web is told %s", got)
			}
			for _, w := range want {
				seen[w] = seen[w] || strings.Contains(got, w)
				if !seen[w] {
					return fmt.Errorf("%s never answers", w)
				}
			}
			return nil
		})
	}
	t.Run("through the mesh", func(t *testing.T) { reaches("10.77.0.2:8080", "10.77.0.3:8080") })
	for what, x := range map[string]struct {
		host         int
		at, url, has string
	}{
		"what is not admitted":        {1, "10.77.0.2:8080", "http://api:8080/admin", "403 "},
		"who is not admitted":         {3, "10.77.0.2:8080", "http://api:8080/ok", "403 "},
		"by address, without a name":  {1, "10.77.0.2:8080", "http://10.77.0.2:8080/ok", "error: "},
		"a port that nobody declared": {1, "10.77.0.2:22", "http://10.77.0.2:22/", "error: "},
	} {
		if got := l.ask(x.host, x.at, x.url); !strings.HasPrefix(got, x.has) {
			t.Errorf("%s: %s", what, got)
		}
	}
	around := func(when string) {
		t.Helper()
		res, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://10.77.0.2:8080/ok")
		if err == nil {
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			t.Errorf("%s, from a host that is not of the mesh: %s %s", when, res.Status, b)
		}
	}
	around("with a proxy")
	t.Run("what is not of the mesh passes", func(t *testing.T) {
		foreign, err := net.Listen("tcp", "10.77.0.254:9999")
		fatal(t, err)
		h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, " foreign ", r.RemoteAddr) })}
		go h.Serve(foreign)
		defer h.Close()
		for _, target := range []string{"http://10.77.0.254:9999/", "http://example.com/"} {
			if got := l.ask(1, "10.77.0.254:9999", target); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, "foreign 10.77.0.1:") {
				t.Errorf("%s: %s", target, got)
			}
		}
	})
	t.Run("a cut link", func(t *testing.T) {
		l.do("ip", "link", "set", "v3", "down")
		// What was under way on a connection over that link waits for an answer that does not come; what is asked afterwards finds the other host.
		kubetest.Eventually(t, func() error {
			for range 3 {
				if got := l.ask(1, "10.77.0.2:8080", "http://api:8080/ok"); !strings.HasPrefix(got, "200 10.77.0.2:8080") {
					return fmt.Errorf("web is told %s", got)
				}
			}
			return nil
		})
		l.do("ip", "link", "set", "v3", "up")
		reaches("10.77.0.3:8080")
	})
	t.Run("a killed proxy", func(t *testing.T) {
		stops[2](syscall.SIGKILL)
		for range 10 {
			if got := l.ask(1, "10.77.0.2:8080", "http://api:8080/ok"); !strings.HasPrefix(got, "200 10.77.0.3:8080") {
				t.Errorf("web is told %s", got)
			}
		}
		around("with its proxy dead")
		proxy(2) // known by its key: the token was used
		reaches("10.77.0.2:8080")
	})
	for host := range pods {
		if out, err := l.on(host, asAnymesh, "intercept", "--undo").CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	if got := l.ask(1, "10.77.0.2:8080", "http://10.77.0.2:8080/ok"); !strings.HasPrefix(got, "200 ") {
		t.Errorf("without the rules: %s", got)
	}
}

func TestInterceptFlags(t *testing.T) {
	has(t, anymesh(t, "", "intercept", "--dry-run", "--not-from", "22,15020", "--not-to", "53", "--not-to-net", "10.9.0.0/16").wants(t, exitOK).out,
		"table inet anymesh {", "type nat hook output priority dstnat; policy accept;", "meta mark 0x616d return", "ip daddr 10.9.0.0/16 return", "tcp dport 53 return",
		"tcp dport 15020 return", "meta l4proto tcp redirect to :15001", "redirect to :15006")
	for _, x := range [][]string{{"--mark", "0"}, {"--not-to", "70000"}, {"--not-to-net", "here"}, {"--inbound-port", "15001"}} {
		anymesh(t, "", append([]string{"intercept", "--dry-run"}, x...)...).wants(t, exitFailure)
	}
	has(t, anymesh(t, "", "intercept", "--dry-run", "--mark", "0", "--proxy-user", "0").wants(t, exitOK).out, "meta skuid 0 return")
}
