// SPDX-License-Identifier: Apache-2.0

package api

import (
	"reflect"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestCopyIsWhole changes everything in a copy and looks whether the original notices.
func TestCopyIsWhole(t *testing.T) {
	whole := func() *Mesh {
		return &Mesh{
			ObjectMeta: metav1.ObjectMeta{Name: "m", Labels: map[string]string{"a": "b"}},
			Spec:       MeshSpec{Kind: "istio", Namespaces: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}, Options: map[string]string{"a": "b"}},
			Status: MeshStatus{Kinds: []string{"a"}, Capabilities: []Capability{{Feature: "a"}}, Objects: map[string]int64{"a": 1},
				Conditions: []metav1.Condition{{Type: "a"}}},
		}
	}
	m := whole()
	l := &MeshList{Items: []Mesh{*m}}
	for _, c := range []*Mesh{m.DeepCopyObject().(*Mesh), &l.DeepCopyObject().(*MeshList).Items[0]} {
		if !reflect.DeepEqual(c, m) {
			t.Errorf("the copy is %+v", c)
		}
		c.Labels["a"], c.Spec.Namespaces.MatchLabels["a"], c.Spec.Options["a"] = "x", "x", "x"
		c.Status.Kinds[0], c.Status.Capabilities[0].Feature, c.Status.Objects["a"], c.Status.Conditions[0].Type = "x", "x", 2, "x"
		if !reflect.DeepEqual(m, whole()) {
			t.Errorf("the original changed with its copy: %+v", m)
		}
	}
}
