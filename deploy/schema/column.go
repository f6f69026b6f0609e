// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi/version"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// columns are what a list of a kind shows. A list is shown as JSON, since a column shows no more than the first of several values.
func columns(s *version.Shape, v int) []v1.CustomResourceColumnDefinition {
	at := func(path string) string { return "." + version.Path(s.APIVersion(v), s.Kind, "spec."+path) }
	var list []v1.CustomResourceColumnDefinition
	switch s.Kind {
	case model.KindSplit:
		list = append(list, column("Service", at("service")), column("Backends", at("backends")))
	case model.KindPermission:
		list = append(list, column("Destination", at("destination.name")), column("Sources", at("sources")), wide("Rules", at("rules")))
	case model.KindBinding:
		list = append(list, column("Account", at("schemes.serviceAccount")), wide("Labels", at("schemes.podLabelSelector.matchLabels")), wide("SPIFFE", at("schemes.spiffeIdentities")))
	case model.KindGroup:
		list = append(list, wide("Matches", at("matches")))
	case model.KindTCPRoute, model.KindUDPRoute:
		if v == version.Newest { // the only one with ports
			list = append(list, column("Ports", at("matches.ports")))
		}
	}
	return append(list, condition(api.Accepted), condition(api.Programmed), age())
}

func column(name, path string) v1.CustomResourceColumnDefinition {
	return v1.CustomResourceColumnDefinition{Name: name, Type: "string", JSONPath: path}
}

// wide is a column that kubectl shows when asked for a wide list.
func wide(name, path string) v1.CustomResourceColumnDefinition {
	c := column(name, path)
	c.Priority = 1
	return c
}

func condition(kind string) v1.CustomResourceColumnDefinition {
	return column(kind, `.status.conditions[?(@.type=="`+kind+`")].status`)
}

func age() v1.CustomResourceColumnDefinition {
	return v1.CustomResourceColumnDefinition{Name: "Age", Type: "date", JSONPath: ".metadata.creationTimestamp"}
}
