// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"maps"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// settingsByTags closes the whole mesh: what is more particular comes before it.
func settingsByTags(s *model.Settings, o *mesh.Output) {
	switch s.Access {
	case model.AccessDeny:
		o.Add(ours(s, kindPermission, model.Name{Namespace: system, Name: "deny-all"}, nobody(targetRef{Kind: "Mesh"})))
	case model.AccessTargeted:
		in := model.Intent{Feature: model.AccessClosed, Object: s.Ref(), Path: "accessDefault"}
		o.Say(in, model.Notice, "where the mesh has certificates and no policy admits everybody, Kuma also refuses callers of identities that no TrafficTarget names", "")
	}
}

func nobody(of targetRef) *permission {
	return &permission{TargetRef: &of, From: []from{{targetRef{Kind: "Mesh"}, action{"Deny"}}}}
}

// accessByTags closes the closed workloads of an identity, by the labels of their pods, which are tags of theirs: nothing tells an account. A
// selection of pods comes before one of the mesh, so that a policy for the mesh which admits everybody does not open them again.
//
// Where the labels find pods of others too, those are closed with them: it is said, and is the less harm.
func accessByTags(a *model.Access, o *mesh.Output) {
	for i := range a.Workloads {
		m := &a.Workloads[i]
		if !a.Closed(m.Workload) {
			continue
		}
		tags := maps.Clone(m.Finder())
		if tags == nil {
			tags = map[string]string{}
		}
		tags[labelNamespace] = m.Name.Namespace
		n := model.Name{Namespace: system, Name: short(m.Name.Name + "." + strings.ToLower(string(m.Kind)) + "." + m.Name.Namespace)}
		o.Add(ours(a.Settings, kindPermission, n, nobody(targetRef{Kind: "MeshSubset", Tags: tags})))
		if !m.Ambiguous {
			continue
		}
		for k := range a.Grants {
			in := model.Intent{Feature: model.AccessCaller, Object: a.Grants[k].Permission.Ref(), Path: "spec.destination"}
			o.SayAs(in, model.Unsupported, model.CodeSelector, "the labels of "+m.Ref().String()+" also find pods of another service account: they are closed with it",
				"Give the pods a label of their own, and the controller's selector too.")
		}
	}
}
