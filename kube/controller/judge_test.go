// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// judge asks what objects would be before they are there.
func judge(t *testing.T, r *run, ns string) {
	for _, c := range []struct {
		name, text string
		want       model.Code
	}{
		{"a backend that is not there", `{service: catalog, backends: [{service: nobody, weight: 1}]}`, model.CodeNoBackend},
		{"the root among its backends", `{service: catalog, backends: [{service: catalog, weight: 1}]}`, model.CodeSelf},
		{"a weight below nothing", `{service: catalog, backends: [{service: catalog-v1, weight: -1}]}`, model.CodeWeight},
		{"nothing wrong", `{service: catalog, backends: [{service: catalog-v1, weight: 1}]}`, ""},
	} {
		objects, problems := object.Parse("", []byte(in(ns, "apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {name: catalog, namespace: NS}\nspec: "+c.text)))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		found := r.Judge(t.Context(), objects[0])
		has := false
		for _, f := range found {
			has = has || f.Code == c.want
		}
		if c.want == "" && len(found) > 0 || c.want != "" && !has {
			t.Errorf("%s: %v", c.name, found)
		}
	}
}
