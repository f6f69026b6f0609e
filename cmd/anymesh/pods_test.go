// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admission "k8s.io/api/admissionregistration/v1"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/test/kubetest"
	"github.com/anymesh/anymesh/test/kubetest/binary"
)

// A process of TestPods and TestIntercepted is this test's binary under another name.
const asKubelet, asApp, asAnymesh, asClient = "as-kubelet", "as-app", "as-anymesh", "as-client"

// pretend is true where this process is one of a pod; it returns its exit code.
func pretend(args []string) (code int, is bool) {
	switch {
	case len(args) > 2 && args[0] == asKubelet:
		return kubeleted(args[1], args[2:]), true
	case len(args) > 1 && args[0] == asApp:
		l, err := net.Listen("tcp", args[1])
		if err != nil {
			fmt.Println(err)
			return 1, true
		}
		fmt.Println("serves")
		fmt.Println(http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, cmp.Or(os.Getenv("POD_NAME"), args[1]), " ", r.Header.Get("X-Forwarded-Client-Cert"))
		})))
		return 1, true
	case len(args) > 1 && args[0] == asAnymesh:
		return run(context.Background(), args[1:], os.Stdin, os.Stdout, os.Stderr), true
	case len(args) > 2 && args[0] == asClient:
		return fetch(args[1], args[2]), true
	}
	return 0, false
}

// kubeleted does for the proxy what the pod runner does not: it puts a real token, bound to the pod, where a volume would, and has the proxy answer
// probes where the runner asks.
func kubeleted(kubeconfig string, args []string) int {
	file := filepath.Join(os.TempDir(), "token-"+os.Getenv("POD_NAME"))
	if err := project(kubeconfig, file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for i, a := range args {
		if strings.HasPrefix(a, "--account-token=") {
			args[i] = "--account-token=" + file
		}
		args[i] = strings.Replace(args[i], "--admin=10.244.", "--admin=127.244.", 1)
	}
	return run(context.Background(), append(args, "-v"), os.Stdin, os.Stdout, os.Stderr)
}

func project(kubeconfig, file string) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	ctx, ns := context.Background(), os.Getenv("POD_NAMESPACE")
	pod, err := c.CoreV1().Pods(ns).Get(ctx, os.Getenv("POD_NAME"), metav1.GetOptions{})
	if err != nil {
		return err
	}
	var audience string
	for _, v := range pod.Spec.Volumes {
		if v.Name == "anymesh-token" {
			audience = v.Projected.Sources[0].ServiceAccountToken.Audience
		}
	}
	t, err := c.CoreV1().ServiceAccounts(ns).CreateToken(ctx, pod.Spec.ServiceAccountName, &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{Audiences: []string{audience},
		BoundObjectRef: &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(t.Status.Token), 0o600)
}

// inNamespace runs a test again in namespaces of its own, where it may have any address, without root. It returns false in the one who ran it.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const mark = "ANYMESH_TEST_NAMESPACE"
	if os.Getenv(mark) != "" {
		return true
	}
	if testing.Short() {
		t.Skip("needs a Kubernetes, which -short does without")
	}
	if out, err := exec.Command("unshare", "-Urnm", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Skipf("this machine lets no user have a network namespace (user namespaces are off, or unshare or ip is missing): %v %s", err, out)
	}
	for _, b := range []string{binary.Cluster, binary.Kubectl} {
		if _, err := binary.Build(t.Context(), b, func(s string) { t.Log(s) }); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("unshare", "-Urnm", "sh", "-c", `ip link set lo up && ip addr add 10.244.0.0/16 dev lo && exec "$@"`, "sh", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), mark+"=1")
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	return false
}

const podShop = `
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {anymesh.dev/inject: enabled}}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: web, namespace: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: catalog, namespace: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: intruder, namespace: shop}}
---
{apiVersion: v1, kind: Service, metadata: {name: catalog, namespace: shop}, spec: {selector: {app: catalog}, ports: [{name: http, port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: catalog-v1, namespace: shop}, spec: {selector: {app: catalog, version: v1}, ports: [{name: http, port: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: catalog-v2, namespace: shop}, spec: {selector: {app: catalog, version: v2}, ports: [{name: http, port: 8080}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {name: catalog, namespace: shop}, spec: {matches: [{name: products, pathRegex: /products, methods: [GET]}]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: catalog, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: catalog}
  rules: [{kind: HTTPRouteGroup, name: catalog, matches: [products]}]
  sources: [{kind: ServiceAccount, name: web}]
---
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: catalog, namespace: shop}, spec: {service: catalog, backends: [{service: catalog-v1, weight: 1}, {service: catalog-v2, weight: 1}]}}
---
{apiVersion: anymesh.dev/v1alpha1, kind: Mesh, metadata: {name: own}, spec: {kind: builtin}}
`

const podWorkload = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: APP, version: VERSION}}
  template:
    metadata: {labels: {app: APP, version: VERSION}}
    spec:
      serviceAccountName: APP
      terminationGracePeriodSeconds: 5
      containers:
      - {name: app, image: none, command: [EXE, as-app, "$(POD_IP):8080"], ports: [{name: http, containerPort: 8080}]}
`

// TestPods is the built-in mesh on a real API server: pods that ask for it are given proxies, which prove themselves by tokens of their own, and
// access and split are as SMI says.
func TestPods(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	c := kubetest.Start(t, "-run-pods")
	exe, err := os.Executable()
	fatal(t, err)
	controllerWithMesh(t, c, []string{exe, asKubelet, c.Kubeconfig})
	for _, d := range deploy.CRDs() {
		d.Spec.Conversion = nil
		text, err := yaml.Marshal(d)
		fatal(t, err)
		c.Apply(t, string(text))
	}
	c.Apply(t, podShop)
	for name, x := range map[string][2]string{"web": {"web", "v1"}, "catalog-v1": {"catalog", "v1"}, "catalog-v2": {"catalog", "v2"}, "intruder": {"intruder", "v1"}} {
		c.Apply(t, strings.NewReplacer("NAME", name, "APP", x[0], "VERSION", x[1], "EXE", exe).Replace(podWorkload))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Kubectl(t, "-n", "shop", "get", "pods,mesh,events"))
			logs, _ := filepath.Glob(filepath.Join(c.Dir, "*", "*anymesh-proxy.log"))
			for _, l := range logs {
				text, _ := os.ReadFile(l)
				t.Logf("%s\n%s", l, text)
			}
		}
	})
	c.Kubectl(t, "-n", "shop", "wait", "--for=condition=Available", "deploy", "--all", "--timeout=60s")

	seen := map[string]int{}
	kubetest.Eventually(t, func() error {
		code, body, err := fromPod(t, c, "web", "http://catalog:8080/products")
		if err != nil || code != http.StatusOK {
			return fmt.Errorf("%d %s %v", code, body, err)
		}
		seen[body[:len("catalog-v1")]]++
		if seen["catalog-v1"] == 0 || seen["catalog-v2"] == 0 {
			return fmt.Errorf("not both versions answer: %v", seen)
		}
		return nil
	})
	for what, x := range map[string][2]string{"who is not admitted": {"intruder", "/products"}, "what is not admitted": {"web", "/admin"}} {
		if code, body, err := fromPod(t, c, x[0], "http://catalog:8080"+x[1]); code != http.StatusForbidden || err != nil {
			t.Errorf("%s: %d %s %v", what, code, body, err)
		}
	}
	c.Kubectl(t, "-n", "shop", "patch", "trafficsplit", "catalog", "--type=merge", "-p", `{"spec":{"backends":[{"service":"catalog-v1","weight":0},{"service":"catalog-v2","weight":1}]}}`)
	kubetest.Eventually(t, func() error {
		for range 20 {
			if code, body, err := fromPod(t, c, "web", "http://catalog:8080/products"); code != http.StatusOK || err != nil || !strings.HasPrefix(body, "catalog-v2") {
				return fmt.Errorf("%d %s %v", code, body, err)
			}
		}
		return nil
	})
	t.Run("what cannot be in the mesh", func(t *testing.T) { refusedPods(t, c) })
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fromPod asks as the process of a pod does, through the proxy beside it and from its address.
func fromPod(t *testing.T, c *kubetest.Cluster, app, target string) (int, string, error) {
	ip := net.ParseIP(c.Kubectl(t, "-n", "shop", "get", "pods", "-l", "app="+app, "-o", "jsonpath={.items[0].status.podIP}"))
	if ip == nil {
		return 0, "", errors.New("the pod has no address")
	}
	tr := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: net.JoinHostPort(ip.String(), "15001")}), DisableKeepAlives: true,
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}).DialContext}
	res, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(target)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode, string(b), err
}

// controllerWithMesh runs the controller with the built-in mesh, and has the API server ask it about pods.
func controllerWithMesh(t *testing.T, c *kubetest.Cluster, command []string) {
	t.Helper()
	dir := t.TempDir()
	ca := selfSigned(t, dir)
	o := controlling{format: "text", rate: 50, mesh: "127.0.0.1:15010", public: "127.0.0.1:15010", image: "none"}
	o.access.Kubeconfig = c.Kubeconfig
	o.serve.Namespace, o.serve.Webhook, o.serve.Certificates, o.serve.Health = "kube-system", "127.0.0.1:9443", dir, "127.0.0.1:8081"
	o.serve.Proxy.Command = command
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.run(ctx, t.Output()) }()
	t.Cleanup(func() { cancel(); fatal(t, <-ended) })
	m := deploy.Injection()
	for i := range m.Webhooks {
		at := "https://127.0.0.1:9443" + deploy.InjectPath
		m.Webhooks[i].ClientConfig = admission.WebhookClientConfig{URL: &at, CABundle: ca}
	}
	text, err := yaml.Marshal(m)
	fatal(t, err)
	c.Apply(t, string(text))
}

// selfSigned writes a certificate for this machine, and returns what proves it.
func selfSigned(t *testing.T, dir string) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "webhook"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, x, x, k.Public(), k)
	fatal(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	fatal(t, err)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	fatal(t, os.WriteFile(filepath.Join(dir, "tls.crt"), cert, 0o600))
	fatal(t, os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert
}

// refusedPods are told why; one that declines, and one of a namespace that does not ask, stay as they are.
func refusedPods(t *testing.T, c *kubetest.Cluster) {
	client, err := kubernetes.NewForConfig(c.Config)
	fatal(t, err)
	pod := func(ns string, change func(*corev1.Pod)) (*corev1.Pod, error) {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-", Namespace: ns, Labels: map[string]string{}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "none"}}}}
		change(p)
		return client.CoreV1().Pods(ns).Create(t.Context(), p, metav1.CreateOptions{})
	}
	if _, err := pod("shop", func(p *corev1.Pod) { p.Spec.HostNetwork = true }); err == nil || !strings.Contains(err.Error(), "hostNetwork") {
		t.Errorf("on the node's network: %v", err)
	}
	other := c.Namespace(t)
	for what, x := range map[string]struct {
		ns     string
		change func(*corev1.Pod)
		want   bool
	}{
		"asked for by the namespace":   {"shop", func(*corev1.Pod) {}, true},
		"declined":                     {"shop", func(p *corev1.Pod) { p.Labels[deploy.InjectLabel] = "disabled" }, false},
		"of a namespace that asks not": {other, func(*corev1.Pod) {}, false},
		"asked for by the pod alone":   {other, func(p *corev1.Pod) { p.Labels[deploy.InjectLabel] = "enabled" }, true},
	} {
		p, err := pod(x.ns, x.change)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if got := len(p.Spec.InitContainers) == 1 && p.Spec.InitContainers[0].Name == "anymesh-proxy"; got != x.want {
			t.Errorf("%s: a proxy stands there: %t", what, got)
		}
	}
}
