// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"strings"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi/version"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Where the conversion webhook is reached, until an installation says otherwise.
const (
	Namespace = "anymesh-system"
	Service   = "anymesh-webhook"
	Path      = "/convert"
	Port      = 443
)

// All makes the definitions of every kind, by name. They are the caller's own.
func All() []*v1.CustomResourceDefinition {
	list := []*v1.CustomResourceDefinition{meshes()}
	for _, k := range version.Kinds() {
		list = append(list, define(version.Of(k)))
	}
	slices.SortFunc(list, func(a, b *v1.CustomResourceDefinition) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// names are what a kind is called on the command line.
var names = map[model.Kind]struct{ plural, short string }{
	model.KindPermission: {"traffictargets", "tt"},
	model.KindBinding:    {"identitybindings", "ib"},
	model.KindGroup:      {"httproutegroups", "htr"},
	model.KindTCPRoute:   {"tcproutes", "tr"},
	model.KindUDPRoute:   {"udproutes", "ur"},
	model.KindSplit:      {"trafficsplits", "ts"},
}

// define makes the definition of one kind of SMI. Every version is served, and the newest is stored.
func define(s *version.Shape) *v1.CustomResourceDefinition {
	n := names[s.Kind]
	d := definition(n.plural, s.Group, string(s.Kind), "smi")
	d.Spec.Scope = v1.NamespaceScoped
	d.Spec.Names.ShortNames = []string{n.short}
	for v := version.Newest; v >= s.First; v-- {
		_, name, _ := strings.Cut(s.APIVersion(v), "/")
		d.Spec.Versions = append(d.Spec.Versions, served(name, v == version.Newest, shaped(s, v), columns(s, v)))
	}
	if len(d.Spec.Versions) > 1 {
		d.Spec.Conversion = &v1.CustomResourceConversion{Strategy: v1.WebhookConverter, Webhook: &v1.WebhookConversion{
			ClientConfig:             &v1.WebhookClientConfig{Service: &v1.ServiceReference{Namespace: Namespace, Name: Service, Path: ref(Path), Port: ref(int32(Port))}},
			ConversionReviewVersions: []string{"v1"},
		}}
	}
	return d
}

func meshes() *v1.CustomResourceDefinition {
	d := definition("meshes", api.Group, "Mesh", "anymesh")
	d.Spec.Scope = v1.ClusterScoped
	d.Spec.Versions = []v1.CustomResourceDefinitionVersion{served(api.Version, true, mesh(), []v1.CustomResourceColumnDefinition{
		column("Kind", ".spec.kind"), column("Driver", ".status.driver"), condition(api.Ready), age(),
	})}
	return d
}

func definition(plural, group, kind, category string) *v1.CustomResourceDefinition {
	return &v1.CustomResourceDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1.SchemeGroupVersion.String(), Kind: "CustomResourceDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group, Labels: map[string]string{"app.kubernetes.io/part-of": "anymesh"}},
		Spec: v1.CustomResourceDefinitionSpec{Group: group, Names: v1.CustomResourceDefinitionNames{
			Kind: kind, ListKind: kind + "List", Plural: plural, Singular: strings.ToLower(kind), Categories: []string{category},
		}},
	}
}

func served(name string, stored bool, schema props, columns []v1.CustomResourceColumnDefinition) v1.CustomResourceDefinitionVersion {
	return v1.CustomResourceDefinitionVersion{
		Name: name, Served: true, Storage: stored, Schema: &v1.CustomResourceValidation{OpenAPIV3Schema: &schema}, AdditionalPrinterColumns: columns,
		Subresources: &v1.CustomResourceSubresources{Status: &v1.CustomResourceSubresourceStatus{}},
	}
}

// shaped is the schema of a kind in one version.
func shaped(s *version.Shape, v int) props {
	spec := spec(s.Kind, v)
	for _, m := range s.Missing(v) {
		take(&spec, m)
	}
	root := open(docs[s.Kind], append(head(), may("status", status()))...)
	if v > s.Flat {
		root.Properties["spec"] = spec
		if s.Kind != model.KindTCPRoute && s.Kind != model.KindUDPRoute { // for which no spec is all ports
			root.Required = []string{"spec"}
		}
		return root
	}
	for _, m := range s.Moved {
		root.Properties[m.Flat] = spec.Properties[m.Spec]
		if slices.Contains(spec.Required, m.Spec) {
			root.Required = append(root.Required, m.Flat)
		}
	}
	return root
}

// take takes a field out of a spec.
func take(spec *props, m version.Place) {
	from := spec.Properties
	if m.In != "" {
		in := from[m.In]
		if from = in.Properties; m.List {
			from = in.Items.Schema.Properties
		}
	}
	delete(from, m.Field)
}

var docs = map[model.Kind]string{
	model.KindPermission: "TrafficTarget allows some identities to call another, with the requests that its routes describe. It only ever allows; what no TrafficTarget allows is refused.",
	model.KindBinding:    "IdentityBinding names a set of workloads of its namespace, for TrafficTargets to refer to.",
	model.KindGroup:      "HTTPRouteGroup names sets of HTTP requests, for TrafficTargets and TrafficSplits to refer to. It does nothing alone.",
	model.KindTCPRoute:   "TCPRoute names TCP ports, for TrafficTargets to refer to. It does nothing alone.",
	model.KindUDPRoute:   "UDPRoute names UDP ports, for TrafficTargets to refer to. It does nothing alone.",
	model.KindSplit:      "TrafficSplit shares out the traffic to one Service over several, by weight.",
}
