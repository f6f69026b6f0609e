// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anymesh/anymesh/metrics/local"
	"github.com/anymesh/anymesh/metrics/traffic"
	"github.com/anymesh/anymesh/up/tap"
)

// linkerd serves a Prometheus' API over what Linkerd's proxies have counted in the last two minutes: web calls catalog ten times a second, one
// of which fails, all in 5 to 10 ms; and nobody calls idle.
func linkerd(t *testing.T) (url string) {
	t.Helper()
	s, err := local.Open(local.Options{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(func() { srv.Close(); _ = s.Close() })
	second := 0
	w := s.Scraper(&local.Target{Labels: map[string]string{"job": "linkerd-proxy"}, Read: func(context.Context) ([]byte, string, error) {
		var b strings.Builder
		for _, l := range []string{`direction="inbound",namespace="shop",deployment="catalog",pod="catalog-1"`,
			`direction="outbound",namespace="shop",deployment="web",pod="web-1",dst_namespace="shop",dst_deployment="catalog",dst_service="catalog"`} {
			fmt.Fprintf(&b, "response_total{%s,classification=\"success\"} %d\nresponse_total{%s,classification=\"failure\"} %d\n", l, 9*second, l, second)
			for _, c := range []string{"success", "failure"} {
				n := map[string]int{"success": 9, "failure": 1}[c] * second
				fmt.Fprintf(&b, "response_latency_ms_bucket{%[1]s,classification=%[2]q,le=\"5\"} 0\nresponse_latency_ms_bucket{%[1]s,classification=%[2]q,le=\"10\"} %[3]d\nresponse_latency_ms_bucket{%[1]s,classification=%[2]q,le=\"+Inf\"} %[3]d\n", l, c, n)
			}
		}
		return []byte(b.String()), "", nil
	}})
	now := time.Now()
	for second = 0; second <= 120; second += 5 {
		if err := w.Scrape(t.Context(), now.Add(time.Duration(second-120)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	return srv.URL
}

// deployments is a file of the Deployments that there are.
func deployments(t *testing.T) string {
	var b strings.Builder
	for _, n := range []string{"web", "catalog", "idle"} {
		fmt.Fprintf(&b, "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %[1]s, namespace: shop}\nspec: {selector: {matchLabels: {app: %[1]s}}, template: {metadata: {labels: {app: %[1]s, tier: t-%[1]s}}, spec: {containers: [{name: c, image: x}]}}}\n", n)
	}
	name := filepath.Join(t.TempDir(), "deployments.yaml")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestStat asks a Prometheus itself.
func TestStat(t *testing.T) {
	at := []string{"--prometheus", linkerd(t), "--mesh", "linkerd", "-f", deployments(t)}
	ask := func(line string) ran { return anymesh(t, "", append(strings.Fields(line), at...)...) }
	out := ask("stat deploy -n shop").wants(t, exitOK).out
	rows := map[string]string{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		rows[f[0]] = strings.Join(f[1:], " ")
	}
	if rows["catalog"] != "90.00% 10.0rps 7.5ms 9.9ms" && rows["catalog"] != "90.00% 10.0rps 7.5ms 10ms" || rows["idle"] != "- 0.0rps - -" || rows["NAME"] != "SUCCESS RPS P50 P99" || len(rows) != 4 {
		t.Errorf("%s", out)
	}
	has(t, ask("stat deploy -A -o wide").wants(t, exitOK).out, "NAMESPACE", "shop ", "P90", "MESH", " linkerd")
	l := parsed[traffic.TrafficMetricsList](t, ask("stat deploy/catalog -n shop -o json").wants(t, exitOK).out)
	if len(l.Items) != 1 || l.Items[0].Read().Failure != 30 || l.Items[0].Read().Success != 270 {
		t.Errorf("%+v", l)
	}
	has(t, ask("stat deploy -n shop -o yaml -l tier=t-idle").wants(t, exitOK).out, "name: idle")
	has(t, ask("stat deploy -n shop -l tier=none").wants(t, exitOK).out, "there are no deployments in namespace shop")
	has(t, ask("stat deploy --to deploy/catalog -n shop").wants(t, exitOK).out, "FROM", "shop/web  shop/catalog  client  90.00%   10.0rps")
	has(t, ask("stat deploy --from deploy/web -n shop").wants(t, exitOK).out, "shop/web  shop/catalog  client")
	has(t, ask("stat deploy/idle --from deploy/web -n shop").wants(t, exitOK).out, "nothing was sent between these")
	out = ask("edges deploy -n shop").wants(t, exitOK).out
	if strings.Count(out, "shop/web  shop/catalog  client") != 1 {
		t.Errorf("an edge that both ends tell is one:\n%s", out)
	}
	has(t, ask("edges deploy/idle -n shop").wants(t, exitOK).out, "called or was called in the last 30s")
	has(t, ask("top deploy --count 2 --every 1ms -n shop").wants(t, exitOK).out, "catalog  90.00%")
	for line, says := range map[string]string{
		"stat deploy/gone -n shop": `"gone" not found`, "stat deploy/web": "with -n", "stat deploymens": "Did you mean deployments?", "stat deploy --from deploy -n shop": "KIND/NAME",
		"stat deploy --window 1ms": "window=1ms", "edges deploy --peer nothing": "--peer nothing", "routes deploy -n shop": "KIND/NAME", "stat deploy --mesh none": "--mesh MESH",
		"stat deploy --prometheus ftp://x": "http://HOST:PORT", "stat deploy --prometheus-header x": "NAME=VALUE", "stat deploy --prometheus http://127.0.0.1:1": "cannot be read",
		"top deploy --every 0s -n shop": "more than nothing",
	} {
		r := anymesh(t, "", append(at, strings.Fields(line)...)...)
		if r.code != exitFailure || !strings.Contains(r.errs, says) {
			t.Errorf("%s: exit %d: %s%s", line, r.code, r.out, r.errs)
		}
	}
}

// TestWhyNoMetrics looks from the store up to the traffic, and stops where nothing can come any more.
func TestWhyNoMetrics(t *testing.T) {
	at := linkerd(t)
	ask := func(code int, args ...string) string {
		return anymesh(t, "", append([]string{"check", "--metrics"}, args...)...).wants(t, code).out
	}
	out := ask(exitOK, "--strict", "--prometheus", at, "--mesh", "linkerd")
	has(t, out, "✔ Prometheus answers: "+at, "✔ it scrapes: 1 targets", "✔ the proxies' series are there: proxy metrics", "✔ the window is long enough: one scrape in 5s or less", "✔ there is traffic: 600 requests", "5 sound")
	out = ask(exitApproximate, "--strict", "--prometheus", at, "--mesh", "linkerd", "--window", "6s")
	has(t, out, "‼ the window is long enough", "--window 20s or more")
	out = ask(exitFailure, "--prometheus", at, "--mesh", "istio")
	has(t, out, "✘ the proxies' series are there: none of istio_requests_total", "→ are the pods in the mesh")
	lacks(t, out, "there is traffic")
	out = ask(exitFailure, "--prometheus", "http://127.0.0.1:1", "--mesh", "istio")
	has(t, out, "✘ Prometheus answers: http://127.0.0.1:1: ", "connection refused", "→ name the server")
	lacks(t, out, "it scrapes")
	ask(exitFailure, "--prometheus", at)
	ask(exitFailure, "--admin", "127.0.0.1:1")
}

// TestNobody has nobody to ask, and says whom one could.
func TestNobody(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	r := anymesh(t, "", "stat", "deploy", "--admin", "127.0.0.1:1").wants(t, exitFailure)
	has(t, r.errs, "no mesh of this machine answers on 127.0.0.1:1", "anymesh up")
	r = anymesh(t, "", "stat", "deploy", "--prometheus", "http://127.0.0.1:1", "--mesh", "istio").wants(t, exitFailure)
	has(t, r.errs, "-f FILE")
}

// running runs the demo on addresses of its own, until the test ends.
func demonstrate(t *testing.T, net string) (admin string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.CopyFS(dir, os.DirFS(shop)); err != nil {
		t.Fatal(err)
	}
	pods := filepath.Join(dir, "pods.yaml")
	if err := os.WriteFile(pods, []byte(strings.ReplaceAll(load(t, pods), "127.0.1.", net)), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs strings.Builder
	var wg sync.WaitGroup
	admin = net + "254:15000"
	wg.Go(func() {
		if code := run(ctx, []string{"demo", dir, "--admin", admin, "--every", "1h"}, nil, &out, &errs); code != exitOK {
			t.Errorf("the demo ended with %d: %s%s", code, out.String(), errs.String())
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return admin
}

// TestStatHere asks the mesh on this machine, which shows what passes within seconds.
func TestStatHere(t *testing.T) {
	admin := demonstrate(t, "127.83.7.")
	var last ran
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		last = anymesh(t, "", "stat", "pods", "-o", "json", "--admin", admin)
		var l traffic.TrafficMetricsList
		if last.code == exitOK {
			l = parsed[traffic.TrafficMetricsList](t, last.out)
		}
		busy := map[string]bool{}
		for i := range l.Items {
			busy[l.Items[i].Name] = l.Items[i].Read().Success > 0 && l.Items[i].Read().P99 > 0
		}
		if busy["catalog-v1"] && busy["catalog-v2"] && !busy["intruder"] && len(l.Items) == 5 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not in time: %+v", last)
		}
	}
	r := anymesh(t, "", "stat", "ts/catalog", "-n", "shop", "--admin", admin).wants(t, exitOK)
	has(t, r.out, "BACKEND", "catalog-v1  90", "catalog-v2  10")
	r = anymesh(t, "", "edges", "pods", "--peer", "svc", "--admin", admin).wants(t, exitOK)
	has(t, r.out, "shop/web ", "shop/catalog-v1", "client")
	r = anymesh(t, "", "edges", "pods", "--admin", admin).wants(t, exitOK)
	has(t, r.errs, "note: ")

	has(t, anymesh(t, "", "check", "--metrics", "--admin", admin).wants(t, exitOK).out, "✔ there is traffic")
	r = anymesh(t, "", "tap", "--count", "3", "--method", "GET", "--side", "server", "--from", "shop/web", "--admin", admin).wants(t, exitOK)
	if strings.Count(r.out, "server shop/web → shop/catalog-v") != 3 {
		t.Errorf("%s", r.out)
	}
	r = anymesh(t, "", "tap", "--count", "1", "--denied", "-n", "shop", "-o", "json", "--admin", admin).wants(t, exitOK)
	if e := parsed[tap.Event](t, r.out); e.Verdict != "denied" || e.Time.IsZero() {
		t.Errorf("%+v", e)
	}
	r = anymesh(t, "", "learn", "--for", "2s", "--admin", admin).wants(t, exitOK)
	has(t, r.out, "name: learned-1-catalog-from-shop.web", "pathRegex: \"/products", "# refused, and not proposed: shop/intruder to shop/catalog: GET ")
	lacks(t, r.out, "ServiceAccount, name: intruder")
	anymesh(t, r.out, "check", "-f", "-", "-f", filepath.Join(shop, "pods.yaml"), "-f", filepath.Join(shop, "services.yaml")).wants(t, exitOK)
	for _, args := range [][]string{{"tap", "--side", "middle", "--admin", admin}, {"tap", "--admin", "127.0.0.1:1"}, {"learn", "--admin", "127.0.0.1:1"}} {
		anymesh(t, "", args...).wants(t, exitFailure)
	}
}
