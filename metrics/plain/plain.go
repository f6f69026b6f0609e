// SPDX-License-Identifier: Apache-2.0

// Package plain serves the TrafficMetrics API where there is no cluster: the same paths, parameters and objects as the extension API server,
// as JSON, to whoever can reach it.
package plain

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

// Prefix is where the API begins.
const Prefix = "/apis/" + traffic.Group + "/"

// Options of a Handler.
type Options struct {
	Source metrics.Source
	World  metrics.World
	Clock  func() time.Time // nil: time.Now
}

// Handler serves, under Prefix and a version:
//
//	PLURAL                               all resources of a kind; with labelSelector some of them
//	namespaces/NAMESPACE/PLURAL          those of a namespace
//	namespaces/NAMESPACE/PLURAL/NAME     one; of a TrafficSplit a list of its backends
//	…/NAME/edges, …/NAME/routes          its edges, its routes
//
// with window (or t), unit and edge-kind as parameters. Kinds without a namespace stand right under the version. Errors are a Status of
// Kubernetes.
func Handler(o Options) http.Handler {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &handler{o}
}

type handler struct{ Options }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, notes, err := h.answer(r)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		var s *apierrors.StatusError
		if !errors.As(err, &s) {
			s = apierrors.NewInternalError(err)
		}
		status := s.Status()
		status.APIVersion, status.Kind = "v1", "Status"
		w.WriteHeader(int(status.Code))
		_ = json.NewEncoder(w).Encode(status)
		return
	}
	for _, n := range notes {
		w.Header().Add("Warning", fmt.Sprintf("299 - %q", strings.Join(strings.Fields(n), " ")))
	}
	_ = json.NewEncoder(w).Encode(v)
}

// path is what a path asks for.
type path struct {
	version   string
	namespace string
	kind      metrics.Kind
	name      string
	part      string // edges, routes
}

func parse(p string) (out path, ok bool) {
	rest, ok := strings.CutPrefix(p, Prefix)
	words := strings.Split(strings.TrimSuffix(rest, "/"), "/")
	out.version = words[0]
	if words = words[1:]; !ok || out.version != "v1alpha1" && out.version != "v1alpha2" {
		return out, false
	}
	// namespaces/NAME/edges is about the namespace, and so is every part of one; any other third word is a kind.
	if len(words) >= 3 && words[0] == "namespaces" && words[2] != "edges" && words[2] != "routes" {
		out.namespace, words = words[1], words[2:]
	}
	if len(words) == 0 || len(words) > 3 {
		return out, false
	}
	k, known := metrics.KindOf(words[0])
	if out.kind = k; !known || words[0] != k.Plural || k.Cluster && out.namespace != "" {
		return out, false
	}
	if len(words) > 1 {
		out.name = words[1]
		if !k.Cluster && out.namespace == "" {
			return out, false
		}
	}
	if len(words) > 2 {
		out.part = words[2]
	}
	return out, out.part == "" || out.part == "edges" || out.part == "routes"
}

func (h *handler) answer(r *http.Request) (any, []string, error) {
	p, ok := parse(r.URL.Path)
	if !ok {
		return nil, nil, apierrors.NewGenericServerResponse(http.StatusNotFound, r.Method, schema.GroupResource{Group: traffic.Group}, r.URL.Path, "there is no such resource", 0, true)
	}
	if r.Method != http.MethodGet {
		return nil, nil, apierrors.NewMethodNotSupported(schema.GroupResource{Group: traffic.Group, Resource: p.kind.Plural}, strings.ToLower(r.Method))
	}
	asked, err := traffic.Parameters(r.URL.Query())
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	q := metrics.Question{Kind: p.kind, Window: asked.Window, Peer: asked.Peer, Edges: p.part == "edges", Routes: p.part == "routes"}
	if err := h.World.Ready(); err != nil {
		return nil, nil, apierrors.NewServiceUnavailable(err.Error())
	}
	if q.Of, err = h.resources(p, r.URL.Query().Get("labelSelector")); err != nil {
		return nil, nil, err
	}
	q.At = h.Clock()
	a := metrics.Answer{At: q.At, Window: q.Window}
	if len(q.Of) > 0 {
		if a, err = h.Source.Measure(r.Context(), q); metrics.IsUnavailable(err) {
			return nil, nil, apierrors.NewServiceUnavailable(err.Error())
		} else if err != nil {
			return nil, nil, err
		}
	}
	l := traffic.Write(q, a, asked.Unit)
	l.Resource.Namespace, l.Resource.Name = p.namespace, p.name
	kinds(l, p.version)
	if p.name != "" && p.part == "" && p.kind.Name != "TrafficSplit" && len(l.Items) == 1 {
		return &l.Items[0], a.Notes, nil
	}
	return l, a.Notes, nil
}

func kinds(l *traffic.TrafficMetricsList, version string) {
	v := schema.GroupVersion{Group: traffic.Group, Version: version}.String()
	l.TypeMeta = metav1.TypeMeta{APIVersion: v, Kind: traffic.ListKind}
	for i := range l.Items {
		l.Items[i].TypeMeta = metav1.TypeMeta{APIVersion: v, Kind: traffic.Kind}
	}
}

// resources are those that a path names.
func (h *handler) resources(p path, selector string) (out []metrics.Ref, err error) {
	if p.name != "" {
		r := metrics.Ref{Kind: p.kind.Name, Namespace: p.namespace, Name: p.name}
		if _, ok := h.World.Find(r); !ok {
			return nil, apierrors.NewNotFound(schema.GroupResource{Group: traffic.Group, Resource: p.kind.Plural}, p.name)
		}
		return []metrics.Ref{r}, nil
	}
	s, err := labels.Parse(selector)
	if err != nil {
		return nil, apierrors.NewBadRequest("labelSelector: " + err.Error())
	}
	for _, r := range h.World.List(p.kind, p.namespace) {
		if s.Matches(labels.Set(r.Labels)) {
			out = append(out, r.Ref)
		}
	}
	return out, nil
}
