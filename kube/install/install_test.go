// SPDX-License-Identifier: Apache-2.0

package install_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authorization "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/adopt"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/check"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/kube/install"
	"github.com/anymesh/anymesh/kube/outcome"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/test/kubetest"
	"github.com/anymesh/anymesh/webhook"
	"github.com/anymesh/anymesh/webhook/certs"
)

var shared kubetest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

// port is one that everybody may listen on, beside 443.
const port = 8443

var (
	services = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	splits   = schema.GroupVersionResource{Group: "split.smi-spec.io", Version: "v1alpha4", Resource: "trafficsplits"}
	virtual  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
)

// world is one cluster with anymesh to be installed in it.
type world struct {
	*kubetest.Cluster
	t *testing.T
	i *install.Installation
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := shared.Cluster(t)
	conn, err := connect.New(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return &world{c, t, &install.Installation{Cluster: conn, Values: manifest.Defaults(), Limit: time.Minute, Port: port}}
}

// process is what runs in the pods: the controller and the webhook, as the account that the manifests give them.
func (w *world) process() {
	w.t.Helper()
	account := rest.CopyConfig(w.Config)
	account.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + manifest.Namespace + ":" + manifest.Name,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + manifest.Namespace, "system:authenticated"}}
	k, err := kube.Connect(account)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	w.t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	log := slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	var names []string
	for _, d := range deploy.CRDs() {
		names = append(names, d.Name)
	}
	m := certs.Manage(k.Dynamic, certs.Options{Namespace: manifest.Namespace, Service: manifest.WebhookName, Secret: manifest.CertName, Definitions: names,
		Validation: manifest.Configuration, Interval: 100 * time.Millisecond, Logger: log})
	wg.Go(func() { m.Run(ctx) })
	h, err := webhook.New(webhook.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range []int{port, 443} {
		l, err := net.Listen("tcp", net.JoinHostPort(w.address(), fmt.Sprint(p)))
		if p == 443 && errors.Is(err, os.ErrPermission) {
			continue // admission goes unasked then, as its policy allows
		} else if err != nil {
			w.t.Fatal(err)
		}
		s := &webhook.Server{Handler: h, Certificate: m.Certificate, Logger: log}
		wg.Go(func() {
			if err := s.Serve(ctx, l); err != nil {
				w.t.Error(err)
			}
		})
	}
	c := controller.New(controller.Options{Cluster: k, Drivers: all.Meshes(), Namespace: manifest.Namespace, Name: "pod", Elect: true, Logger: log})
	wg.Go(func() {
		if err := c.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			w.t.Error(err)
		}
	})
}

// address is that of the webhook's Service, which gets a port that everybody may listen on.
func (w *world) address() (ip string) {
	w.t.Helper()
	of := w.Dynamic.Resource(services).Namespace(manifest.Namespace)
	kubetest.Eventually(w.t, func() error {
		s, err := of.Patch(w.t.Context(), manifest.WebhookName, types.StrategicMergePatchType,
			[]byte(`{"spec":{"ports":[{"name":"test","port":8443,"targetPort":8443,"protocol":"TCP"}]}}`), metav1.PatchOptions{FieldManager: "test"})
		if err == nil {
			ip, _, _ = unstructured.NestedString(s.Object, "spec", "clusterIP")
		}
		return err
	})
	return ip
}

// kubelet makes every pod of the installation run, in word only, until the test ends: what they would do is done by process.
func (w *world) kubelet() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	go func() {
		defer close(done)
		pods := w.i.Cluster.Core.CoreV1().Pods(manifest.Namespace)
		for n := 10; ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
			list, err := pods.List(ctx, metav1.ListOptions{})
			if err != nil {
				continue
			}
			for _, p := range list.Items {
				if p.DeletionTimestamp != nil {
					zero := int64(0)
					_ = pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &zero})
				}
				if p.Status.PodIP != "" {
					continue
				}
				n++
				if p.Spec.NodeName == "" { // only of pods on a node there are endpoints
					_ = pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace}, Target: corev1.ObjectReference{Kind: "Node", Name: "local"}},
						metav1.CreateOptions{})
					continue
				}
				p.Status.Phase, p.Status.PodIP = corev1.PodRunning, fmt.Sprintf("10.244.9.%d", n)
				p.Status.PodIPs = []corev1.PodIP{{IP: p.Status.PodIP}}
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
				_, _ = pods.UpdateStatus(ctx, &p, metav1.UpdateOptions{}) // the next look tries again
			}
		}
	}()
}

// definition writes a definition that takes anything.
func definition(group, kind, plural, labels string, versions ...string) string {
	s := fmt.Sprintf(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %s.%s, labels: {%s}}, spec: {group: %s, scope: Namespaced,
  names: {kind: %s, plural: %s, singular: %s, listKind: %sList}, versions: [`, plural, group, labels, group, kind, plural, strings.ToLower(kind), kind)
	for n, v := range versions {
		s += fmt.Sprintf("{name: %s, served: true, storage: %t, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}},", v, n == 0)
	}
	return s + "]}}"
}

const shop = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: NS}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-v1, namespace: NS}, spec: {selector: {app: web, v: "1"}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-v2, namespace: NS}, spec: {selector: {app: web, v: "2"}, ports: [{name: http, port: 80}]}}
---
{apiVersion: split.smi-spec.io/v1alpha1, kind: TrafficSplit, metadata: {name: web, namespace: NS}, spec: {service: web, backends: [{service: web-v1, weight: 900m}, {service: web-v2, weight: 100m}]}}
`

func (w *world) plan() *install.Plan {
	w.t.Helper()
	p, err := w.i.Plan(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) install() {
	w.t.Helper()
	if err := w.i.Do(w.t.Context(), w.plan()); err != nil {
		w.t.Fatal(err)
	}
	if err := w.i.Ready(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// check runs the checks and finds the result of one.
func (w *world) check(pre bool) []check.Line {
	w.t.Helper()
	c := &check.Checker{Installation: w.i, Version: manifest.Release, Pre: pre}
	return c.Run(w.t.Context())
}

func find(lines []check.Line, name string) *check.Line {
	for i := range lines {
		if strings.Contains(lines[i].Check, name) {
			return &lines[i]
		}
	}
	return &check.Line{Result: "absent"}
}

// TestLife installs anymesh where linkerd-smi has been, lets it work, upgrades it, and takes it out: under the permissions that it asks for
// and no others.
func TestLife(t *testing.T) {
	w := newWorld(t)
	ns := w.Namespace(t)
	w.Apply(t, definition("split.smi-spec.io", "TrafficSplit", "trafficsplits", "linkerd.io/extension: smi", "v1alpha1", "v1alpha2"),
		definition("networking.istio.io", "VirtualService", "virtualservices", "", "v1"),
		definition("security.istio.io", "AuthorizationPolicy", "authorizationpolicies", "", "v1"), strings.ReplaceAll(shop, "NS", ns))

	lines := w.check(true)
	if l := find(lines, "trafficsplits"); check.Worst(lines) == check.Error || l.Result != check.Warning || !strings.Contains(l.Message, "linkerd.io/extension") {
		t.Errorf("before: %+v", lines)
	}
	if l := find(lines, "Istio"); l.Result != check.OK {
		t.Errorf("Istio is not seen: %+v", l)
	}
	if len(w.plan().Definitions) != len(deploy.CRDs()) || w.exists("namespaces", manifest.Namespace) {
		t.Fatal("a plan changes something")
	}

	w.kubelet()
	w.begin()
	w.install()
	w.works(ns)
	w.upgrade()
	w.uninstall(ns)
}

// begin installs all but the definitions, as an installation that was interrupted, and starts what runs in the pods.
func (w *world) begin() {
	p := w.plan()
	objects := *p
	objects.Definitions = nil
	if err := w.i.Do(w.t.Context(), &objects); err != nil {
		w.t.Fatal(err)
	}
	w.process()
}

func (w *world) exists(resource, name string) bool {
	w.t.Helper()
	_, err := w.Dynamic.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	return err == nil
}

// works looks at all that an installation does.
func (w *world) works(ns string) {
	w.t.Helper()
	t := w.t
	kubetest.Eventually(t, func() error {
		lines := w.check(false)
		for _, l := range lines {
			if l.Result != check.OK {
				return fmt.Errorf("%+v", l)
			}
		}
		if l := find(lines, "TrafficSplit"); l.Result != check.OK || l.Message != "1 objects" {
			return fmt.Errorf("%+v", l)
		}
		return nil
	})
	list, err := outcome.List(t.Context(), w.i.Cluster, outcome.Query{Namespace: ns})
	if err != nil || len(list) != 1 || list[0].Name != "web" || outcome.Condition(list[0].Status.Conditions, api.Programmed) == nil || len(list[0].Status.Meshes) != 1 {
		t.Errorf("what became is %+v, %v", list, err)
	}
	vs, err := w.Dynamic.Resource(virtual).Namespace(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(vs.Items) != 1 {
		t.Errorf("the mesh was told %v, %v", vs, err)
	}
	for _, no := range []authorization.ResourceAttributes{
		{Resource: "secrets", Verb: "get", Namespace: ns}, {Resource: "secrets", Verb: "list", Namespace: manifest.Namespace}, {Resource: "pods", Verb: "create", Namespace: ns},
		{Resource: "services", Verb: "patch", Namespace: ns}, {Group: "split.smi-spec.io", Resource: "trafficsplits", Verb: "patch", Namespace: ns},
		{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Verb: "patch", Name: "virtualservices.networking.istio.io"},
		{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Verb: "delete", Name: "trafficsplits.split.smi-spec.io"},
		{Group: "networking.istio.io", Resource: "gateways", Verb: "get", Namespace: ns}, {Group: "rbac.authorization.k8s.io", Resource: "clusterroles", Verb: "get"},
	} {
		a, err := w.i.Cluster.Core.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorization.SubjectAccessReview{Spec: authorization.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + manifest.Namespace + ":" + manifest.Name, ResourceAttributes: &no}}, metav1.CreateOptions{})
		if err != nil || a.Status.Allowed {
			t.Errorf("the controller may %s %s.%s: %v", no.Verb, no.Resource, no.Group, err)
		}
	}
}

// upgrade installs once more, with fewer meshes, without a budget, and back again.
func (w *world) upgrade() {
	w.t.Helper()
	t := w.t
	if p := w.plan(); !p.Idle() {
		t.Errorf("an installed cluster wants %+v", p.Definitions)
	}
	for _, s := range []string{"meshes=", "podDisruptionBudget.enabled=false"} {
		if err := w.i.Values.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	if p := w.plan(); !slices.ContainsFunc(p.Objects, func(a install.Action) bool { return a.Do == "delete" && a.Kind == "PodDisruptionBudget" }) {
		t.Errorf("what is wanted no more stays: %+v", p.Objects)
	}
	w.install()
	if l := find(w.check(false), "may write to Istio"); l.Result != check.Error || !strings.Contains(l.Hint, "--set meshes") {
		t.Errorf("without its permissions: %+v", l)
	}
	w.i.Values = manifest.Defaults()
	w.install()
	if l := find(w.check(false), "may write to Istio"); l.Result != check.OK {
		t.Errorf("with its permissions again: %+v", l)
	}
}

// uninstall takes it out.
func (w *world) uninstall(ns string) {
	w.t.Helper()
	t, ctx := w.t, w.t.Context()
	r, err := w.i.Removal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var refused *adopt.Refused
	if err := w.i.Remove(ctx, r, install.Agreed{}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "v1alpha1") {
		t.Errorf("versions go without a word: %v", err)
	}
	if r.Native["virtualservices.networking.istio.io v1"] != 1 || len(r.Keeps) > 0 {
		t.Errorf("in meshes there is %v, beside us %v", r.Native, r.Keeps)
	}
	if err := w.i.Remove(ctx, r, install.Agreed{Versions: true}); err != nil {
		t.Fatal(err)
	}
	left, err := w.i.Removal(ctx)
	if err != nil || len(left.Objects) > 0 {
		t.Errorf("there is left %+v, %v", left, err)
	}
	split, err := w.Dynamic.Resource(splits).Namespace(ns).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if backends, _, _ := unstructured.NestedSlice(split.Object, "spec", "backends"); fmt.Sprint(backends) != "[map[service:web-v1 weight:9] map[service:web-v2 weight:1]]" {
		t.Errorf("the split is %v", backends)
	}
	for _, d := range w.i.Definitions() {
		live, err := w.i.Adoption().Read(ctx, d.Name)
		if err != nil || live.Spec.Conversion.Strategy != v1.NoneConverter {
			t.Errorf("%s still asks the webhook: %v", d.Name, err)
		}
	}
	if vs, err := w.Dynamic.Resource(virtual).Namespace(ns).List(ctx, metav1.ListOptions{}); err != nil || len(vs.Items) != 1 {
		t.Errorf("what the mesh was told is gone: %v, %v", vs, err)
	}
	kubetest.Eventually(t, func() error {
		if w.exists("namespaces", manifest.Namespace) {
			return errors.New("the namespace is still there")
		}
		return nil
	})
	if err := w.i.Remove(ctx, r, install.Agreed{Crds: true, Native: true}); err != nil {
		t.Fatal(err)
	}
	if vs, err := w.Dynamic.Resource(virtual).Namespace(ns).List(ctx, metav1.ListOptions{}); err != nil || len(vs.Items) != 0 {
		t.Errorf("what the mesh was told stays: %v, %v", vs, err)
	}
	kubetest.Eventually(t, func() error {
		for _, d := range w.i.Definitions() {
			if _, err := w.i.Adoption().Read(ctx, d.Name); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is still there: %v", d.Name, err)
			}
		}
		return nil
	})
}
