// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/test/kubetest"
)

var shared kubetest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// hook is a conversion webhook on the address of a Service.
type hook struct {
	bundle []byte
	down   atomic.Bool
	calls  atomic.Int64
}

const hookPort = 8443 // not 443, which not everyone may listen on

const hookService = `
apiVersion: v1
kind: Namespace
metadata: {name: anymesh-system}
---
apiVersion: v1
kind: Service
metadata: {name: anymesh-webhook, namespace: anymesh-system}
spec: {ports: [{port: 8443}]}
`

// serve starts the webhook.
func serve(t *testing.T, c *kubetest.Cluster) *hook {
	t.Helper()
	c.Apply(t, hookService)
	svc, err := c.Dynamic.Resource(at("", "v1", "services")).Namespace("anymesh-system").Get(t.Context(), "anymesh-webhook", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ip, _, _ := unstructured.NestedString(svc.Object, "spec", "clusterIP")
	h := &hook{}
	cert := h.certificate(t)
	l, err := net.Listen("tcp", net.JoinHostPort(ip, fmt.Sprint(hookPort)))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close() })
	return h
}

// certificate makes the server's, which is its own CA.
func (h *hook) certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"anymesh-webhook.anymesh-system.svc"},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, is, is, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	h.bundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	h.calls.Add(1)
	var review v1.ConversionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := &v1.ConversionResponse{UID: review.Request.UID, Result: metav1.Status{Status: metav1.StatusSuccess}}
	for _, o := range review.Request.Objects {
		text, _, err := smi.ConvertJSON(o.Raw, review.Request.DesiredAPIVersion)
		if err != nil {
			a.Result = metav1.Status{Status: metav1.StatusFailure, Message: err.Error()}
			break
		}
		a.ConvertedObjects = append(a.ConvertedObjects, runtime.RawExtension{Raw: text})
	}
	review.Request, review.Response = nil, a
	_ = json.NewEncoder(w).Encode(review)
}

// world is one cluster without SMI, and an adoption of it.
type world struct {
	*kubetest.Cluster
	t    *testing.T
	ns   string
	hook *hook
	a    *Adoption
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := shared.Cluster(t)
	w := &world{Cluster: c, t: t, ns: c.Namespace(t), hook: serve(t, c)}
	w.clear()
	t.Cleanup(func() { // what a test left in a version that only its webhook reads must not hold up the next
		w.hook.down.Store(false)
		w.clear()
	})
	cc, err := connect.New(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	w.a = &Adoption{Cluster: cc, Page: 2, Limit: time.Minute, Bundle: func(context.Context) ([]byte, error) { return w.hook.bundle, nil }}
	for _, d := range deploy.CRDs() {
		if d.Spec.Conversion != nil && d.Spec.Conversion.Webhook != nil {
			port := int32(hookPort)
			d.Spec.Conversion.Webhook.ClientConfig.Service.Port = &port
		}
		w.a.Wanted = append(w.a.Wanted, d)
	}
	return w
}

// clear deletes every definition of SMI.
func (w *world) clear() {
	ctx := context.Background()
	r := w.Dynamic.Resource(connect.CRDs)
	for _, d := range deploy.CRDs() {
		if err := r.Delete(ctx, d.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			w.t.Error(err)
		}
	}
	for _, d := range deploy.CRDs() {
		kubetest.Eventually(w.t, func() error {
			if _, err := r.Get(ctx, d.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is still there: %v", d.Name, err)
			}
			return nil
		})
	}
}

// folder reads a set of definitions of another project; the test is skipped where it is not here.
func (w *world) folder(parts ...string) (out []string) {
	w.t.Helper()
	path, ok := meshtest.Shared(parts...)
	if !ok {
		w.t.Skipf("the definitions are not here: %s", path)
	}
	files, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no definitions in %s: %v", path, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, string(text))
	}
	return out
}

// create writes objects as their owners do, not by server-side apply.
func (w *world) create(text string) {
	w.t.Helper()
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		o := &unstructured.Unstructured{}
		if err := dec.Decode(&o.Object); err != nil {
			return
		}
		if len(o.Object) == 0 {
			continue
		}
		o.SetNamespace(w.ns)
		kubetest.Eventually(w.t, func() error { // a new definition is served a moment after it says so
			w.a.Cluster.Renew()
			r, err := w.a.Cluster.Of(o)
			if err == nil {
				_, err = r.Create(w.t.Context(), o, metav1.CreateOptions{})
			}
			if err != nil && !connect.Unserved(err) && !apierrors.IsNotFound(err) {
				w.t.Fatal(err)
			}
			return err
		})
	}
}

func (w *world) crd(name string) *CRD {
	w.t.Helper()
	c, err := w.a.Read(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// all reads every SMI object in every version that is served: by version, kind and name.
func (w *world) all() map[string]map[string]any {
	w.t.Helper()
	out := map[string]map[string]any{}
	for _, want := range w.a.Wanted {
		if want.Spec.Scope != v1.NamespaceScoped {
			continue
		}
		live, err := w.a.Read(w.t.Context(), want.Name)
		if apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			w.t.Fatal(err)
		}
		for _, v := range Served(live) {
			list, err := w.a.objects(want, v).Namespace(w.ns).List(w.t.Context(), metav1.ListOptions{})
			if err != nil {
				w.t.Fatalf("%s as %s: %v", want.Name, v, err)
			}
			for _, o := range list.Items {
				m := copied(o.Object)
				meta := m["metadata"].(map[string]any)
				for _, k := range []string{"managedFields", "resourceVersion", "generation"} {
					delete(meta, k)
				}
				out[v+" "+o.GetKind()+" "+o.GetName()] = m
			}
		}
	}
	return out
}

func (w *world) plan() []*Definition {
	w.t.Helper()
	p, err := w.a.Plan(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}
