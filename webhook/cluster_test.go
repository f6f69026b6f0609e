// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/test/kubetest"
	"github.com/anymesh/anymesh/webhook/certs"
)

var shared kubetest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

const (
	system = "anymesh-system"
	name   = "anymesh-webhook"
	port   = 8443
)

// installation is a cluster with our definitions, whose API server calls us.
type installation struct {
	*kubetest.Cluster
	address  string // of the Service: without a kube-proxy whoever listens there is behind it
	handler  *Handler
	managed  *certs.Managed
	warnings *heard
	stop     func() // ends the webhook, and waits for its end
}

var (
	once      sync.Once
	installed *installation
)

// install gives a test the cluster, with a webhook that runs.
func install(t *testing.T) *installation {
	t.Helper()
	c := shared.Cluster(t)
	once.Do(func() {
		i := &installation{Cluster: c, warnings: &heard{}}
		config := rest.CopyConfig(c.Config)
		config.WarningHandler = i.warnings
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		i.Cluster = &kubetest.Cluster{Kubeconfig: c.Kubeconfig, Config: config, Dynamic: client, Dir: c.Dir}
		i.prepare(t, c)
		i.handler = handler(t, Options{Ready: i.managed.Ready})
		i.start(t)
		installed = i
	})
	if installed == nil {
		t.Fatal("the installation failed before")
	}
	return installed
}

// prepare makes what an installation puts into the cluster.
func (i *installation) prepare(t *testing.T, c *kubetest.Cluster) {
	t.Helper()
	c.Apply(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+system+"}}", fmt.Sprintf(
		"{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {ports: [{name: webhook, port: %d}]}}", name, system, port))
	s, err := i.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: "services"}).Namespace(system).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ip, _, _ := unstructured.NestedString(s.Object, "spec", "clusterIP")
	i.address = net.JoinHostPort(ip, fmt.Sprint(port))
	var names []string
	for _, d := range deploy.CRDs() {
		if d.Spec.Conversion != nil {
			*d.Spec.Conversion.Webhook.ClientConfig.Service.Port = port
			names = append(names, d.Name)
		}
		i.create(t, definitionResource, d)
	}
	v := deploy.Validation()
	*v.Webhooks[0].ClientConfig.Service.Port = port
	i.create(t, validationResource, v)
	i.managed = certs.Manage(i.Dynamic, certs.Options{Namespace: system, Service: name, Secret: name + "-cert", Definitions: names, Validation: v.Name, Interval: time.Second,
		Logger: slog.New(slog.DiscardHandler)})
}

func (i *installation) create(t *testing.T, r schema.GroupVersionResource, o any) {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Dynamic.Resource(r).Create(t.Context(), &unstructured.Unstructured{Object: fields}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// start starts the webhook, and returns when an API server can be told of it.
func (i *installation) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", i.address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { i.managed.Run(ctx) })
	parts.Go(func() {
		s := Server{Handler: i.handler, Certificate: i.managed.Certificate, Logger: slog.New(slog.DiscardHandler)}
		if err := s.Serve(ctx, l); err != nil {
			panic(err)
		}
	})
	i.stop = func() { end(); parts.Wait() }
	kubetest.Eventually(t, i.managed.Ready)
	kubetest.Eventually(t, func() error { // an API server takes a new definition when it has seen it
		for _, k := range smi.Kinds() {
			for _, v := range smi.Versions(k) {
				if _, err := i.of(v, k, system).List(t.Context(), metav1.ListOptions{}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	kubetest.Eventually(t, func() error { // and asks about admission a little later
		bad := parsed(t, wrote(specs4, "TCPRoute", "spec: {nonsense: 1}"), system)
		if _, err := i.write(t, bad, metav1.DryRunAll); err == nil {
			return errors.New("nobody is asked about admission yet")
		}
		return nil
	})
}

var plurals = map[model.Kind]string{
	model.KindPermission: "traffictargets", model.KindBinding: "identitybindings", model.KindGroup: "httproutegroups",
	model.KindTCPRoute: "tcproutes", model.KindUDPRoute: "udproutes", model.KindSplit: "trafficsplits",
}

// of is the client of a kind in one version.
func (i *installation) of(apiVersion string, k model.Kind, namespace string) dynamic.ResourceInterface {
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		panic(err)
	}
	return i.Dynamic.Resource(gv.WithResource(plurals[k])).Namespace(namespace)
}

// write creates an object.
func (i *installation) write(t *testing.T, o *unstructured.Unstructured, dry ...string) (*unstructured.Unstructured, error) {
	t.Helper()
	return i.of(o.GetAPIVersion(), model.Kind(o.GetKind()), o.GetNamespace()).Create(t.Context(), o, metav1.CreateOptions{DryRun: dry})
}

func (i *installation) written(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out, err := i.write(t, o)
	if err != nil {
		t.Fatalf("%v: %v", o.Object, err)
	}
	return out
}

func (i *installation) get(t *testing.T, apiVersion string, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	out, err := i.of(apiVersion, model.Kind(o.GetKind()), o.GetNamespace()).Get(t.Context(), o.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// parsed is the text of an object in a namespace, as a client has it.
func parsed(t *testing.T, text, namespace string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON([]byte(asJSON(t, text))); err != nil {
		t.Fatal(err)
	}
	o.SetNamespace(namespace)
	o.SetUID("")
	return o
}

// said is what an object says, without what the API server adds.
func said(o *unstructured.Unstructured) map[string]any {
	out := map[string]any{}
	for k, v := range o.Object {
		if k != "metadata" {
			out[k] = v
		}
	}
	return out
}

// facts are what an object means.
func facts(t *testing.T, o *unstructured.Unstructured) []model.Fact {
	t.Helper()
	raw, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	n, err := object.ReadJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	obj, _ := object.Of("", n)
	it, findings := smi.Decode(obj)
	for _, f := range findings {
		if f.Level == model.Invalid {
			t.Fatalf("%s: %+v", raw, f)
		}
	}
	return it.Facts("")
}

// heard are the warnings that a client was given.
type heard struct {
	mu   sync.Mutex
	list []string
}

func (h *heard) HandleWarningHeader(_ int, _, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, text)
}

// take are the warnings since it was asked last.
func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := slices.Clone(h.list)
	h.list = nil
	return list
}
