// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anymesh/anymesh/model"
)

// The pods' processes are this program, and so they are in its tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == process {
		main()
		return
	}
	os.Exit(m.Run())
}

// screen is what was written so far.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// shows waits until something is written after what is there now, and returns it. Much may have to be compiled first.
func (s *screen) shows(t *testing.T, ended chan error, pattern string) []string {
	t.Helper()
	re, after := regexp.MustCompile("(?m)"+pattern), s.seen()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		text := s.text()
		if strings.Contains(text, "building") && !strings.Contains(text, "Kubernetes starts") {
			end = time.Now().Add(time.Minute)
		}
		if found := re.FindStringSubmatch(text[after:]); found != nil {
			return found
		}
		select {
		case err := <-ended:
			t.Fatalf("the demo ended: %v\n%s", err, text)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("not shown: %s\n%s", pattern, text[after:])
		}
	}
}

func (s *screen) seen() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.LastIndexByte(s.b.Bytes(), '\n') + 1
}

// TestDemo runs the shop in a cluster as a person would: edits by kubectl change the traffic, and what is wrong is said.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Kubernetes, which -short does without")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out screen
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"-every", "500ms", "-admin", ""}, &out) }()
	where := out.shows(t, ended, `KUBECONFIG=(\S+) PATH=([^:]+):`)
	attempt := func(stdin string, args ...string) (string, error) {
		k := exec.CommandContext(t.Context(), where[2]+"/kubectl", append([]string{"-n", "shop", "--kubeconfig", where[1]}, args...)...)
		k.Stdin = strings.NewReader(stdin)
		text, err := k.CombinedOutput()
		return string(text), err
	}
	kubectl := func(stdin string, args ...string) string {
		t.Helper()
		text, err := attempt(stdin, args...)
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, text)
		}
		return text
	}
	out.shows(t, ended, `^intruder → catalog +– +\d+/s +–$`)
	out.shows(t, ended, `^web → catalog +\d+/s .*catalog-v1 \d+%  catalog-v2 \d+% `)
	out.shows(t, ended, `^web → catalog \(catalog-beta\) +\d+/s +– +–  catalog-v2 100%`)
	out.shows(t, ended, `^web → payments +\d+/s +– +–  payments 100%`)

	backends := `{"spec":{"backends":[{"service":"catalog-v1","weight":%d},{"service":"catalog-v2","weight":%d}]}}`
	kubectl("", "patch", "ts", "catalog", "--type=merge", "-p", fmt.Sprintf(backends, 0, 1))
	out.shows(t, ended, `^web → catalog +\d+/s .*–  catalog-v2 100%`)
	kubectl("", "patch", "ts", "catalog", "--type=merge", "-p", fmt.Sprintf(backends, 1, 0))
	out.shows(t, ended, `^web → catalog +\d+/s .*–  catalog-v1 100%`)

	// An object in an old version means what it meant there, and a broken one is refused with its place.
	old := `{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: catalog}, spec: {service: catalog, backends: [%s]}}`
	kubectl(fmt.Sprintf(old, "{service: catalog-v2, weight: 500m}"), "replace", "-f", "-")
	out.shows(t, ended, `^web → catalog +\d+/s .*–  catalog-v2 100%`)
	if text, err := attempt(fmt.Sprintf(old, "{service: catalog-v1, wieght: 1}"), "replace", "-f", "-"); err == nil || !strings.Contains(text, "spec.backends[0].wieght") {
		t.Errorf("a misspelt field: %v %s", err, text)
	}
	kubectl("", "patch", "ts", "catalog", "--type=merge", "-p", fmt.Sprintf(backends, 1, 0))

	kubectl("", "delete", "tt", "payments")
	kubectl(`{apiVersion: access.smi-spec.io/v1alpha4, kind: TrafficTarget, metadata: {name: payments}, spec: {destination: {kind: ServiceAccount, name: payments},
		rules: [{kind: TCPRoute, name: nowhere}], sources: [{kind: ServiceAccount, name: web}]}}`, "apply", "-f", "-")
	out.shows(t, ended, `TrafficTarget shop/payments spec\.rules\[0\].*nowhere`)
	out.shows(t, ended, `^web → payments +– +\d+/s`)

	// A pod that comes is in the mesh, and one that goes takes no request with it.
	kubectl("", "scale", "deploy", "catalog-v1", "--replicas=2")
	out.shows(t, ended, `shop/catalog-v1-\S+ is in the mesh as shop/catalog`)
	kubectl("", "scale", "deploy", "catalog-v1", "--replicas=1")
	kubectl("", "wait", "--for=jsonpath={.status.replicas}=1", "deploy", "catalog-v1", "--timeout=60s")
	out.shows(t, ended, `^web → catalog +\d+/s .*–  catalog-v1 100%`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if all := out.text(); !strings.HasSuffix(all, ", 0 failed\n") {
		t.Error(all[max(0, len(all)-2000):])
	}
	if _, err := os.Stat(where[1]); !os.IsNotExist(err) {
		t.Errorf("the cluster's folder is left: %v", err)
	}
}

// Addresses of pods become those of this machine, and no other does.
func TestLoopback(t *testing.T) {
	for from, want := range map[string]string{"10.244.3.9": "127.244.3.9", "10.245.3.9": "10.245.3.9", "127.96.0.1": "127.96.0.1", "": "", "fd00::1": "fd00::1"} {
		if got := loopback(from); got != want {
			t.Errorf("%s becomes %s, not %s", from, got, want)
		}
	}
	pod := &model.Pod{Address: "10.244.1.2"}
	if got := here(pod).(*model.Pod).Address; got != "127.244.1.2" || pod.Address != "10.244.1.2" {
		t.Errorf("the pod is at %s, and what the source holds at %s", got, pod.Address)
	}
}
