// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// Fault is why a definition cannot be taken over as things stand: an object, or the definition itself, that would not survive it whole.
type Fault struct {
	Object model.Name `json:"object,omitzero"` // zero: the definition
	Path   string     `json:"path,omitempty"`
	What   string     `json:"what"`
	Do     string     `json:"do"`
}

// String is a fault in one line.
func (f Fault) String() string {
	s := f.What
	if f.Path != "" {
		s = f.Path + ": " + s
	}
	if f.Object != (model.Name{}) {
		s = f.Object.String() + ": " + s
	}
	return s
}

// judge tells what would become of the objects of one definition.
type judge struct {
	group, kind string
	newest      string
	versions    map[string]*schema
}

type schema struct {
	valid validation.SchemaCreateValidator
	shape *structural.Structural
	rules *cel.Validator
}

func newJudge(want *CRD) (*judge, error) {
	j := &judge{want.Spec.Group, want.Spec.Names.Kind, storage(want), map[string]*schema{}}
	for i := range want.Spec.Versions {
		v := &want.Spec.Versions[i]
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			return nil, fmt.Errorf("%s %s has no schema", want.Name, v.Name)
		}
		var props apiextensions.JSONSchemaProps
		if err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(v.Schema.OpenAPIV3Schema, &props, nil); err != nil {
			return nil, fmt.Errorf("%s %s: %w", want.Name, v.Name, err)
		}
		valid, _, err := validation.NewSchemaValidator(&props)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", want.Name, v.Name, err)
		}
		shape, err := structural.NewStructural(&props)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", want.Name, v.Name, err)
		}
		j.versions[v.Name] = &schema{valid, shape, cel.NewValidator(shape, true, budget)}
	}
	return j, nil
}

// budget is what the API server grants the rules of one object.
const budget = 10_000_000

// any lists what would go wrong with an object in every version in which it may have been written; nothing, where in one all goes well.
func (j *judge) any(o map[string]any, versions []string) []Fault {
	var first []Fault
	for n, v := range versions {
		as := copied(o)
		as["apiVersion"] = j.group + "/" + v
		faults := j.object(as, v)
		if len(faults) == 0 {
			return nil
		}
		if n == 0 {
			first = faults
		}
	}
	return first
}

// kept says why an object, as it is read in the newest version, is none in any version in which it may have been written.
func (j *judge) kept(o map[string]any, versions []string) *Fault {
	why := ""
	for _, v := range versions {
		s := j.versions[v]
		if s == nil {
			continue
		}
		as, _, err := j.through(o, j.newest, v)
		if err != nil {
			why = err.Error()
			continue
		}
		wrong := s.check(as)
		if len(wrong) == 0 {
			return nil
		}
		why = v + ": " + wrong[0][0] + ": " + wrong[0][1]
	}
	meta, _ := o["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	ns, _ := meta["namespace"].(string)
	return &Fault{Object: model.Name{Namespace: ns, Name: name}, What: "it was stored as another version than it was written in: " + why,
		Do: "Write it anew in the version that it has the shape of; then install again."}
}

// object lists what would go wrong with one object as it is stored in a version.
func (j *judge) object(o map[string]any, from string) (faults []Fault) {
	meta, _ := o["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	ns, _ := meta["namespace"].(string)
	say := func(path, what, do string) {
		faults = append(faults, Fault{model.Name{Namespace: ns, Name: name}, path, what, do})
	}
	old, ok := j.versions[from]
	if !ok {
		say("apiVersion", "there is no version "+from+" of "+j.kind, "Write the object in a version that SMI has.")
		return faults
	}
	before := copied(o)
	delete(before["metadata"].(map[string]any), "managedFields")
	delete(before, "status")
	for _, p := range old.check(copied(before)) {
		say(p[0], p[1], "Correct the field, or remove the object: as it is nobody could change the object any more.")
	}
	after, lost, err := j.through(before, from, j.newest)
	if err != nil {
		say("", err.Error(), "Remove the object, or write it anew.")
		return faults
	}
	for _, path := range lost {
		say(path, "SMI has no such field: it would be dropped", "Remove the field, or say it otherwise; keep a copy if it is needed.")
	}
	back, _, err := j.through(after, j.newest, from)
	if err != nil {
		say("", err.Error(), "Remove the object, or write it anew.")
	} else if len(lost) == 0 && !reflect.DeepEqual(back, before) {
		say(differs("", before, back), "the object would not come back as it was written", "Write the field as "+j.group+"/"+j.newest+" has it.")
	}
	return faults
}

// through is an object in another version, pruned as the API server does it, with the paths that went.
func (j *judge) through(o map[string]any, from, to string) (out map[string]any, lost []string, err error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, nil, err
	}
	if from != to {
		if text, _, err = smi.ConvertJSON(text, j.group+"/"+to); err != nil {
			return nil, nil, err
		}
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, nil, err
	}
	return out, pruning.PruneWithOptions(out, j.versions[to].shape, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}), nil
}

// check lists what a schema refuses: field and reason.
func (s *schema) check(o map[string]any) (out [][2]string) {
	errs := validation.ValidateCustomResource(nil, o, s.valid)
	if s.rules != nil && len(errs) == 0 { // rules may rely on the schema
		errs, _ = s.rules.Validate(context.Background(), field.NewPath(""), s.shape, o, nil, budget)
	}
	for _, e := range errs {
		out = append(out, [2]string{strings.TrimPrefix(strings.TrimPrefix(e.Field, "<nil>"), "."), e.ErrorBody()})
	}
	return out
}

// copied is a deep copy with the numbers of JSON.
func copied(o map[string]any) (out map[string]any) {
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic("adopt: what was JSON is none: " + err.Error())
	}
	if _, ok := out["metadata"].(map[string]any); !ok {
		out["metadata"] = map[string]any{}
	}
	return out
}

// differs is the path of a first difference of two values.
func differs(path string, a, b any) string {
	x, isMap := a.(map[string]any)
	y, both := b.(map[string]any)
	if isMap && both {
		for _, k := range append(sorted(x), sorted(y)...) {
			if !reflect.DeepEqual(x[k], y[k]) {
				return differs(strings.TrimPrefix(path+"."+k, "."), x[k], y[k])
			}
		}
	}
	s, isList := a.([]any)
	t, both := b.([]any)
	if isList && both && len(s) == len(t) {
		for i := range s {
			if !reflect.DeepEqual(s[i], t[i]) {
				return differs(fmt.Sprintf("%s[%d]", path, i), s[i], t[i])
			}
		}
	}
	return path
}
