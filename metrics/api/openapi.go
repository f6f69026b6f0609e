// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"

	crds "k8s.io/apiextensions-apiserver/pkg/generated/openapi"
	apiopenapi "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/anymesh/anymesh/metrics/traffic"
)

// own is what the names of our definitions begin with.
const own = traffic.Models

// describe has the server describe itself by OpenAPI, versions 2 and 3.
func describe(c *genericapiserver.Config, t types) {
	namer := apiopenapi.NewDefinitionNamer(t.scheme)
	c.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	c.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	c.OpenAPIConfig.GetOperationIDAndTagsFromRoute, c.OpenAPIV3Config.GetOperationIDAndTagsFromRoute = operation, operation
	info := spec.InfoProps{Title: "TrafficMetrics", Version: "v1alpha2",
		Description: "Traffic of resources and of the edges between them, as the service meshes of the cluster have counted it."}
	c.OpenAPIConfig.Info.InfoProps, c.OpenAPIV3Config.Info.InfoProps = info, info
}

// operation names what a route does: readNamespacedTrafficMetrics, as Kubernetes names it by the kind of the answer, and of what, since that
// kind is the same for every resource.
func operation(r common.Route) (id string, tags []string, err error) {
	parts := strings.Split(strings.Trim(r.Path(), "/"), "/")
	if len(parts) < 2 || parts[0] != "apis" {
		return r.OperationName(), parts[:1], nil
	}
	id = r.OperationName()
	for n, p := range parts[2:] {
		if p == "namespaces" && n == 1 && len(parts) > 5 && parts[4] == "{namespace}" || strings.HasPrefix(p, "{") {
			continue
		}
		id += strings.ToUpper(p[:1]) + p[1:]
	}
	return id, []string{traffic.Group}, nil
}

// definitions are those of our types, and of all that Kubernetes' own refer to.
func definitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	out := map[string]common.OpenAPIDefinition{}
	for name, d := range crds.GetOpenAPIDefinitions(ref) {
		if !strings.Contains(name, "apiextensions") {
			out[name] = d
		}
	}
	const meta = "io.k8s.apimachinery.pkg.apis.meta.v1."
	text, number := spec.StringProperty(), spec.Int64Property()
	def := func(name, description string, required []string, props map[string]spec.Schema, needs ...string) {
		s := spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Description: description, Required: required, Properties: props}}
		out[own+name] = common.OpenAPIDefinition{Schema: s, Dependencies: needs}
	}
	to := func(name string) spec.Schema {
		return spec.Schema{SchemaProps: spec.SchemaProps{Ref: ref(name), Default: map[string]any{}}}
	}
	list := func(name string) spec.Schema {
		return spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"array"}, Items: &spec.SchemaOrArray{Schema: ptr(to(name))}}}
	}
	def("Reference", "A resource. An empty one is a peer outside of the mesh, or everybody.", nil,
		map[string]spec.Schema{"apiVersion": *text, "kind": *text, "namespace": *text, "name": *text})
	def("Edge", "The other side. direction is to for what the resource sends, from for what it receives; side is where it was measured.", []string{"direction", "resource"},
		map[string]spec.Schema{"direction": *text, "side": *text, "resource": to(own + "Reference")}, own+"Reference")
	def("Backend", "A backend of a TrafficSplit.", []string{"apex", "name", "weight"}, map[string]spec.Schema{"apex": *text, "name": *text, "weight": *number})
	def("Route", "An entry of an HTTPRouteGroup.", []string{"group"}, map[string]spec.Schema{"group": *text, "match": *text})
	def("Selector", "What a list was asked for.", nil, map[string]spec.Schema{"matchLabels": *spec.MapProperty(text)})
	def("Metric", "One number.", []string{"name", "value"}, map[string]spec.Schema{"name": *text, "unit": *text, "value": to(quantity)}, quantity)
	kind := map[string]spec.Schema{"apiVersion": *text, "kind": *text}
	def(traffic.Kind, "The traffic of one resource, or of one of its edges, backends or routes, in a window of time.", []string{"resource", "timestamp", "window", "metrics"},
		with(kind, map[string]spec.Schema{"metadata": to(meta + "ObjectMeta"), "resource": to(own + "Reference"), "edge": {SchemaProps: spec.SchemaProps{Ref: ref(own + "Edge")}},
			"backend": {SchemaProps: spec.SchemaProps{Ref: ref(own + "Backend")}}, "route": {SchemaProps: spec.SchemaProps{Ref: ref(own + "Route")}},
			"timestamp": to(meta + "Time"), "window": to(meta + "Duration"), "metrics": list(own + "Metric")}),
		meta+"ObjectMeta", meta+"Time", meta+"Duration", own+"Reference", own+"Edge", own+"Backend", own+"Route", own+"Metric")
	def(traffic.ListKind, "The traffic of the resources of a kind, or of the edges of one resource.", []string{"resource", "items"},
		with(kind, map[string]spec.Schema{"metadata": to(meta + "ListMeta"), "resource": to(own + "Reference"),
			"selector": {SchemaProps: spec.SchemaProps{Ref: ref(own + "Selector")}}, "items": list(own + traffic.Kind)}),
		meta+"ListMeta", own+"Reference", own+"Selector", own+traffic.Kind)
	return out
}

const quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"

func ptr[T any](v T) *T { return &v }

func with(a, b map[string]spec.Schema) map[string]spec.Schema {
	for k, v := range a {
		b[k] = v
	}
	return b
}
