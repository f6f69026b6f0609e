// SPDX-License-Identifier: Apache-2.0

// Package deploy holds what an installation of anymesh puts into a cluster.
package deploy

import (
	"github.com/anymesh/anymesh/deploy/schema"
	"github.com/anymesh/anymesh/object"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CRDs makes the definitions of all kinds that anymesh serves, by name: they are the caller's own. Those with several versions convert by
// a webhook, whose clientConfig says the default place and no CA: an installation fills in both.
func CRDs() []*v1.CustomResourceDefinition { return schema.All() }

// Files are the definitions as YAML, by the names that they have in the folder deploy/crds.
func Files() map[string]string {
	files := map[string]string{}
	for _, d := range CRDs() {
		files[d.Name+".yaml"] = "# Made from the code by `make generate`.\n" + string(object.AppendYAML(nil, struct {
			APIVersion string                          `json:"apiVersion"`
			Kind       string                          `json:"kind"`
			Metadata   metav1.ObjectMeta               `json:"metadata"`
			Spec       v1.CustomResourceDefinitionSpec `json:"spec"`
		}{d.APIVersion, d.Kind, d.ObjectMeta, d.Spec}))
	}
	return files
}
