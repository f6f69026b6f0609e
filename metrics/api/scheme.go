// SPDX-License-Identifier: Apache-2.0

package api

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

// types are the codecs of the group: the same Go types in every version.
type types struct {
	scheme *runtime.Scheme
	codecs serializer.CodecFactory
}

func newTypes() types {
	s := runtime.NewScheme()
	for _, v := range traffic.Versions() {
		s.AddKnownTypeWithName(v.WithKind(traffic.Kind), &traffic.TrafficMetrics{})
		s.AddKnownTypeWithName(v.WithKind(traffic.ListKind), &traffic.TrafficMetricsList{})
		metav1.AddToGroupVersion(s, v)
	}
	options := schema.GroupVersion{Version: "v1"}
	metav1.AddToGroupVersion(s, options)
	s.AddUnversionedTypes(options, &metav1.Status{}, &metav1.APIVersions{}, &metav1.APIGroupList{}, &metav1.APIGroup{}, &metav1.APIResourceList{})
	if err := s.SetVersionPriority(traffic.Versions()...); err != nil {
		panic("metrics/api: " + err.Error()) // the versions are fixed
	}
	return types{s, serializer.NewCodecFactory(s)}
}

// texts are the forms that our types have: JSON, YAML and CBOR. To offer protobuf, as the factory does, would be to fail who takes it.
type texts struct{ runtime.NegotiatedSerializer }

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (s texts) SupportedMediaTypes() []runtime.SerializerInfo {
	return slices.DeleteFunc(slices.Clone(s.NegotiatedSerializer.SupportedMediaTypes()), func(i runtime.SerializerInfo) bool {
		return i.MediaType == runtime.ContentTypeProtobuf
	})
}

// group is the API group with a storage for each kind.
func group(t types, a *asker) *genericapiserver.APIGroupInfo {
	g := genericapiserver.NewDefaultAPIGroupInfo(traffic.Group, t.scheme, metav1.ParameterCodec, t.codecs)
	g.NegotiatedSerializer = texts{t.codecs}
	g.PrioritizedVersions = traffic.Versions()
	for _, v := range traffic.Versions() {
		g.VersionedResourcesStorageMap[v.Version] = storages(a)
	}
	return &g
}

func storages(a *asker) map[string]rest.Storage {
	out := map[string]rest.Storage{}
	for _, k := range metrics.Kinds() {
		r := resource{a, k}
		out[k.Plural] = &measured{r}
		out[k.Plural+"/edges"] = &part{resource: r, edges: true}
		out[k.Plural+"/routes"] = &part{resource: r, routes: true}
	}
	return out
}
