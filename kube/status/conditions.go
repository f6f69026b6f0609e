// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/model"
)

// unresolved are the codes of names that lead nowhere, with the reason that a condition gives.
var unresolved = map[model.Code]string{
	model.CodeNoRoot: "ServiceNotFound", model.CodeNoBackend: "BackendNotFound", model.CodeBackendPort: "PortNotFound",
	model.CodeNoGroup: "RouteGroupNotFound", model.CodeNoRoute: "RouteNotFound", model.CodeNoMatch: "MatchNotFound",
	model.CodeNoBinding: "IdentityBindingNotFound", model.CodeNoWorkload: "WorkloadNotFound",
}

// reasons are what a condition gives for other codes than its level's own.
var reasons = map[model.Code]string{
	model.CodeConflict: "Conflicted", model.CodeForeignObject: "Conflicted", model.CodeRefused: "Refused", model.CodeNotServed: "NotServed",
	model.CodeForeignRoot: "CrossNamespace", model.CodeForeignTarget: "CrossNamespaceDestination", model.CodeSelector: "AmbiguousSelector",
	model.CodeNothingGranted: "NothingGranted",
}

// Of is the status that an object is to have. Times of changes are not in it: what is written knows them from what was there.
func Of(a *engine.About) *api.Status {
	s := &api.Status{ObservedGeneration: a.Generation}
	accepted := condition(a, api.Accepted, "Accepted", "", a.Findings, func(f *model.Finding) bool {
		return f.Level == model.Invalid && unresolved[f.Code] == ""
	})
	s.Conditions = append(s.Conditions, accepted)
	asks := a.Object.Kind == model.KindSplit || a.Object.Kind == model.KindPermission
	if !asks && len(a.Meshes) == 0 {
		return s // nobody refers to it
	}
	if asks {
		refs := condition(a, api.ResolvedRefs, "ResolvedRefs", "", a.Findings, func(f *model.Finding) bool { return unresolved[f.Code] != "" })
		s.Conditions = append(s.Conditions, refs)
	}
	all := metav1.Condition{Type: api.Programmed, Status: metav1.ConditionTrue, Reason: "Programmed", ObservedGeneration: a.Generation}
	if len(a.Meshes) == 0 {
		all.Status, all.Reason, all.Message = metav1.ConditionFalse, "NoMesh", "no Mesh serves the namespace "+a.Object.Namespace
	}
	for i := range a.Meshes {
		v := view(a, &a.Meshes[i], &accepted)
		s.Meshes = append(s.Meshes, v)
		worse(&all, &v)
	}
	s.Conditions = append(s.Conditions, all)
	return s
}

// view is what one mesh makes of an object.
func view(a *engine.About, m *engine.AboutMesh, accepted *metav1.Condition) api.View {
	v := api.View{Name: m.Target, Driver: m.Driver}
	c := condition(a, api.Programmed, "Programmed", "", m.Findings, func(f *model.Finding) bool { return f.Level >= model.Unsupported })
	switch {
	case accepted.Status == metav1.ConditionFalse:
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, accepted.Reason, "it is not accepted: "+accepted.Message
	case c.Status == metav1.ConditionTrue:
		near := condition(a, api.Programmed, "Programmed", "", m.Findings, func(f *model.Finding) bool { return f.Level == model.Approximate })
		if near.Status == metav1.ConditionFalse {
			c.Reason, c.Message = near.Reason, near.Message
		}
	}
	v.Conditions = []metav1.Condition{c}
	return v
}

// worse takes a mesh's view into the condition over all meshes.
func worse(all *metav1.Condition, v *api.View) {
	c := &v.Conditions[0]
	if all.Status == metav1.ConditionFalse && c.Status == metav1.ConditionTrue || c.Reason == "Programmed" {
		return
	}
	text := v.Name + ": " + c.Message
	if all.Message != "" && all.Status == c.Status {
		all.Message = short(all.Message + "; " + text)
		return
	}
	all.Status, all.Reason, all.Message = c.Status, c.Reason, short(text)
}

// condition is true unless some findings count against it: then they are its message, and the first of the worst gives the reason.
//
// sizes: a condition is made of these parts
func condition(a *engine.About, kind, fine, message string, all []model.Finding, against func(*model.Finding) bool) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: fine, Message: message, ObservedGeneration: a.Generation}
	var worst *model.Finding
	var texts []string
	for i := range all {
		f := &all[i]
		if !against(f) {
			continue
		}
		if worst == nil || f.Level > worst.Level {
			worst = f
		}
		text := f.Message
		if f.Path != "" {
			text = f.Path + ": " + text
		}
		texts = append(texts, text+" ("+string(f.Code)+")")
	}
	if worst != nil {
		c.Status, c.Reason, c.Message = metav1.ConditionFalse, reason(worst), short(strings.Join(texts, "; "))
	}
	return c
}

func reason(f *model.Finding) string {
	if r := unresolved[f.Code]; r != "" {
		return r
	}
	if r := reasons[f.Code]; r != "" {
		return r
	}
	return map[model.Level]string{model.Invalid: "Invalid", model.Unsupported: "Unsupported", model.Approximate: "Approximated"}[f.Level]
}

// most is how long a message may be: the API server takes 32,768 bytes, and nobody reads as many.
const most = 2000

func short(s string) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s … (%d bytes more: anymesh status shows all)", strings.ToValidUTF8(s[:most], ""), len(s)-most)
}
