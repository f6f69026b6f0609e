// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// spoken is what a running command has written so far.
type spoken struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *spoken) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *spoken) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// begin runs a command until the test ends, and waits until its output matches; it returns the first group.
func begin(t *testing.T, until string, args ...string) string {
	t.Helper()
	var out spoken
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, args, strings.NewReader(""), &out, &out) }()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != exitOK {
			t.Errorf("%s: exit %d\n%s", args[0], code, &out)
		}
	})
	look := regexp.MustCompile(until)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if m := look.FindStringSubmatch(out.String()); m != nil {
			return m[1]
		}
		if time.Now().After(end) {
			t.Fatalf("%s never says %s\n%s", args[0], until, &out)
		}
	}
}

const twoHosts = `
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: app, image: api, ports: [{containerPort: 8080}]}]}
status: {podIP: 127.2.7.1}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: app, image: web}]}
status: {podIP: 127.2.7.2}
`

// TestHostsByCommands is the guide of the mesh on hosts: a control plane, tokens, and two hosts that join, one of them by its user.
func TestHostsByCommands(t *testing.T) {
	dir, err := os.MkdirTemp("", "hosts") // short: a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"mesh/two.yaml": twoHosts, "users": fmt.Sprintf("%d shop/web\n", os.Getuid())} {
		_ = os.MkdirAll(filepath.Dir(at(name)), 0o755)
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plane := begin(t, `control plane on (\S+);`, "control-plane", at("mesh"), "--listen", "127.2.7.250:0", "--identity-dir", at("ca"), "--admin", "",
		"--unix-socket", at("s"), "--unix-users", at("users"))
	token := anymesh(t, "", "token", "create", "shop/api", "--identity-dir", at("ca")).wants(t, exitOK).out
	if err := os.WriteFile(at("token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	has(t, anymesh(t, "", "token", "list", "--identity-dir", at("ca")).wants(t, exitOK).out, "shop/api", "to be used until")
	const up = `takes requests on (http://\S+)`
	begin(t, up, "proxy", "--control-plane", plane, "--roots", at("ca/roots.pem"), "--join-token", at("token"), "--state", at("state"), "--pod", "api-1", "--admin", "")
	via := begin(t, up, "proxy", "--control-plane", plane, "--unix-socket", at("s"), "--pod", "web-1", "--admin", "")
	has(t, anymesh(t, "", "token", "list", "--identity-dir", at("ca")).wants(t, exitOK).out, "joined ")

	l, err := net.Listen("tcp", "127.2.7.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	app := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Header.Get("X-Forwarded-Client-Cert")) })}
	go app.Serve(l)
	t.Cleanup(func() { app.Close() })
	through, err := url.Parse(via)
	if err != nil {
		t.Fatal(err)
	}
	res, err := (&http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(through), DisableKeepAlives: true}}).Get("http://api:8080/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s %v", res.Status, err)
	}
	has(t, string(body), "URI=spiffe://cluster.local/ns/shop/sa/web")
}

func TestProxyFlags(t *testing.T) {
	for _, x := range [][]string{
		{"--roots", "r"}, {"--join-token", "t", "--roots", "r"}, {"--join-token", "t", "--unix-socket", "s", "--roots", "r"}, {"--account-token", "t"},
		{"--account-token", "t", "--roots", "r", "--workload", "web"}, {"--account-token", "t", "--roots", "r", "--ip", "here"},
	} {
		r := anymesh(t, "", append([]string{"proxy", "--control-plane", "127.0.0.1:1"}, x...)...).wants(t, exitFailure)
		has(t, r.errs, "--")
	}
	has(t, anymesh(t, "", "token", "create", "web", "--identity-dir", t.TempDir()).wants(t, exitFailure).errs, "NAMESPACE/ACCOUNT")
	has(t, anymesh(t, "", "token", "create", "anymesh-system/control-plane", "--identity-dir", t.TempDir()).wants(t, exitFailure).errs, "control plane's own")
}
