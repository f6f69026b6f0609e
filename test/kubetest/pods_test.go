// SPDX-License-Identifier: Apache-2.0

package kubetest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// serve is the process of the pods of these tests: it says its name, and ends badly when told to.
func serve(at string) {
	fmt.Println("listening")
	err := http.ListenAndServe(at, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/crash" {
			os.Exit(3)
		}
		fmt.Fprint(w, os.Getenv("POD_NAME"))
	}))
	fmt.Println(err)
	os.Exit(1)
}

const shop = `
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: NS}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: NS}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: app
        image: none
        command: [EXE]
        env: [{name: SERVE, value: "$(BIND_IP):8080"}]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}}
`

// opened applies the shop, waits until both pods answer, and returns where their processes listen.
func opened(t *testing.T, c *Cluster, ns string) (first, second string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.Apply(t, strings.NewReplacer("NS", ns, "EXE", exe).Replace(shop))
	c.Kubectl(t, "-n", ns, "wait", "--for=condition=Available", "deployment/shop", "--timeout=60s")
	Eventually(t, func() error {
		list := endpoints(t, c, ns, "shop")
		if len(list) != 2 || !strings.HasSuffix(list[0], ":8080 ready=true") || !strings.HasSuffix(list[1], ":8080 ready=true") {
			return fmt.Errorf("the endpoints are %q", list)
		}
		first, second = at(list[0]), at(list[1])
		return nil
	})
	return first, second
}

func TestPods(t *testing.T) {
	c := Start(t, "-run-pods")
	ns := c.Namespace(t)
	kubectl := func(args ...string) string { t.Helper(); return c.Kubectl(t, append([]string{"-n", ns}, args...)...) }
	first, second := opened(t, c, ns)
	if a, b := ask(t, first), ask(t, second); a == b || !strings.HasPrefix(a, "shop-") || !strings.HasPrefix(b, "shop-") {
		t.Errorf("at the two endpoints are %q and %q", a, b)
	}
	name := ask(t, first)
	if got := kubectl("logs", name, "--tail=1"); got != "listening\n" {
		t.Errorf("the log of %s is %q", name, got)
	}

	t.Run("crash", func(t *testing.T) {
		if resp, err := http.Get("http://" + first + "/crash"); err == nil {
			resp.Body.Close()
			t.Fatal("it did not crash")
		}
		Eventually(t, func() error {
			got := kubectl("get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready} "+
				"{.status.containerStatuses[0].lastState.terminated.exitCode}")
			if got != "1 true 3" {
				return fmt.Errorf("restarts, ready and last exit code are %s", got)
			}
			return nil
		})
		if again := ask(t, first); again != name {
			t.Errorf("at its address is now %q", again)
		}
	})
	t.Run("scale", func(t *testing.T) {
		kubectl("scale", "deployment/shop", "--replicas=1")
		Eventually(t, func() error {
			if list := endpoints(t, c, ns, "shop"); len(list) != 1 {
				return fmt.Errorf("the endpoints are %q", list)
			}
			if up := listening(first) + listening(second); up != 1 {
				return fmt.Errorf("%d processes listen", up)
			}
			return nil
		})
		Eventually(t, func() error {
			if left := strings.Fields(kubectl("get", "pods", "-o", "name")); len(left) != 1 {
				return fmt.Errorf("there are still %q", left)
			}
			return nil
		})
	})
	t.Run("restart", func(t *testing.T) {
		c.Stop(t)
		if up := listening(first) + listening(second); up != 0 {
			t.Errorf("%d processes listen after the cluster's end", up)
		}
		c.Restart(t)
		Eventually(t, func() error {
			if up := listening(first) + listening(second); up != 1 {
				return fmt.Errorf("%d processes listen", up)
			}
			return nil
		})
	})
}

// The API server goes and comes: the pods do not notice, and what became of them meanwhile is told when it is back.
func TestPodsOutliveTheServer(t *testing.T) {
	c := Start(t)
	c.RunPods(t)
	ns := c.Namespace(t)
	first, second := opened(t, c, ns)
	name := ask(t, first)
	c.Stop(t)
	if ask(t, first) != name || listening(second) != 1 {
		t.Error("without an API server the pods are others")
	}
	if resp, err := http.Get("http://" + first + "/crash"); err == nil {
		resp.Body.Close()
		t.Fatal("it did not crash")
	}
	Eventually(t, func() error {
		if listening(first) != 1 {
			return errors.New("nobody starts it again")
		}
		return nil
	})
	c.Restart(t)
	Eventually(t, func() error {
		got := c.Kubectl(t, "-n", ns, "get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}")
		if got != "1 true" {
			return fmt.Errorf("restarts and ready are %s", got)
		}
		return nil
	})
	if got := c.Kubectl(t, "-n", ns, "logs", name, "--tail=1"); got != "listening\n" {
		t.Errorf("its log is %q", got)
	}
	c.Kubectl(t, "-n", ns, "scale", "deployment/shop", "--replicas=0")
	Eventually(t, func() error {
		if up := listening(first) + listening(second); up != 0 {
			return fmt.Errorf("%d processes listen", up)
		}
		return nil
	})
}

// at is where the process of an endpoint, as endpoints lists it, listens.
func at(endpoint string) string {
	where, _, _ := strings.Cut(endpoint, " ")
	return strings.Replace(where, "10.244.", "127.244.", 1)
}

func ask(t *testing.T, at string) string {
	t.Helper()
	resp, err := http.Get("http://" + at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func listening(at string) int {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return 0
	}
	conn.Close()
	return 1
}
