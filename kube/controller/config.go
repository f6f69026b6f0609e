// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// ReadMeshes reads a file of objects of the kind Mesh, as they could be applied to a cluster. The error lists everything that is wrong, with
// its line.
func ReadMeshes(path string) ([]*api.Mesh, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	objects, problems := object.Parse(path, text)
	var out []*api.Mesh
	names := map[string]bool{}
	for _, o := range objects {
		m := &api.Mesh{ObjectMeta: metav1.ObjectMeta{Name: o.Name, Labels: o.Labels}}
		if o.APIVersion != api.Group+"/"+api.Version || o.Kind != "Mesh" {
			problems = append(problems, object.Problem{Line: o.Line, Message: fmt.Sprintf("%s of %s is not read here: write Mesh of %s/%s", o.Kind, o.APIVersion, api.Group, api.Version)})
			continue
		}
		var body struct {
			Spec api.MeshSpec `json:"spec"`
		}
		problems = append(problems, o.Decode(&body)...)
		m.Spec = body.Spec
		problems = append(problems, faults(o, &m.Spec)...)
		if names[o.Name] {
			problems = append(problems, object.Problem{Path: "metadata.name", Line: o.Line, Message: fmt.Sprintf("two Meshes are called %q", o.Name)})
		}
		names[o.Name] = true
		out = append(out, m)
	}
	slices.SortStableFunc(problems, func(a, b object.Problem) int { return cmp.Compare(a.Line, b.Line) })
	var all []error
	for _, p := range problems {
		at := path
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d", path, p.Line)
		}
		text := p.Message
		if p.Path != "" {
			text = p.Path + ": " + text
		}
		if p.Hint != "" {
			text += ". " + p.Hint
		}
		all = append(all, fmt.Errorf("%s: %s", at, text))
	}
	return out, errors.Join(all...)
}

// faults are what the schema of the kind would refuse.
func faults(o *object.Object, s *api.MeshSpec) (out []object.Problem) {
	add := func(path, message string) {
		line, column := o.Position(path)
		out = append(out, object.Problem{Path: path, Line: line, Column: column, Message: message})
	}
	if s.Kind == "" {
		add("spec.kind", "names no mesh")
	}
	switch s.AccessDefault {
	case "", api.Targeted, api.Deny, api.Allow:
	default:
		add("spec.accessDefault", fmt.Sprintf("%q is none of %s, %s, %s", s.AccessDefault, api.Targeted, api.Deny, api.Allow))
	}
	if m := s.Metrics; m != nil {
		if u, err := url.Parse(m.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			add("spec.metrics.url", fmt.Sprintf("%q is no http or https URL", m.URL))
		}
		if d, err := time.ParseDuration(cmp.Or(m.Interval, "15s")); err != nil || d <= 0 {
			add("spec.metrics.interval", fmt.Sprintf("%q is no duration such as 30s", m.Interval))
		}
		if strings.ContainsAny(m.Credentials, `/\.`) {
			add("spec.metrics.credentials", fmt.Sprintf("%q is no name of a folder", m.Credentials))
		}
	}
	for i, name := range s.Helpers {
		if _, ok := model.ParseHelper(name); !ok {
			add(fmt.Sprintf("spec.helpers[%d]", i), fmt.Sprintf("%q is none of %s", name, strings.Join(model.HelperNames(), ", ")))
		}
	}
	if s.Namespaces != nil {
		if _, err := metav1.LabelSelectorAsSelector(s.Namespaces); err != nil {
			add("spec.namespaces", err.Error())
		}
	}
	return out
}
