// SPDX-License-Identifier: Apache-2.0

package version

import (
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// The groups of SMI's kinds.
const (
	AccessGroup = "access.smi-spec.io"
	SpecsGroup  = "specs.smi-spec.io"
	SplitGroup  = "split.smi-spec.io"
)

// Newest is the last version of every kind: v1alpha4. It is the shape in which findings name fields.
const Newest = 4

// Shape is how the versions of a kind differ from its newest.
type Shape struct {
	Kind  model.Kind
	Group string
	First int     // version
	Flat  int     // the last version whose fields stand beside metadata, without a spec
	Moved []Moved // to the top in flat versions
	lacks []lack
}

// Moved is a field of the spec, with its name in flat versions.
type Moved struct{ Spec, Flat string }

// lack is a field that some versions do not have.
type lack struct {
	in    string // the object or list that has the field; empty: the spec
	list  bool   // in is a list
	field string
	min   int // the versions that have the field
	max   int
	hint  string
}

// Place is where a field stands: in the spec, in an object of the spec, or in each item of a list of the spec.
type Place struct {
	In    string // the object or the list; empty: the spec itself
	List  bool
	Field string
}

// Missing lists the fields that a version does not have, and another version of the kind has.
func (s *Shape) Missing(v int) []Place {
	var list []Place
	for i := range s.lacks {
		if l := &s.lacks[i]; !l.has(v) {
			list = append(list, Place{l.in, l.list, l.field})
		}
	}
	return list
}

var shapes = [...]Shape{
	{Kind: model.KindPermission, Group: AccessGroup, First: 1, Flat: 1,
		Moved: []Moved{{"destination", "destination"}, {"rules", "specs"}, {"sources", "sources"}},
		lacks: []lack{
			{in: "destination", field: "port", min: 1, max: 2, hint: "Name the port in a TCPRoute (spec.matches.ports), and add a rule of kind TCPRoute."},
			{in: "destination", field: "group", min: 4, max: 4, hint: "Leave it out: the kind says enough."},
			{in: "sources", list: true, field: "group", min: 4, max: 4, hint: "Leave it out: the kind says enough."},
		}},
	{Kind: model.KindBinding, Group: AccessGroup, First: 4},
	{Kind: model.KindGroup, Group: SpecsGroup, First: 1, Flat: 2,
		Moved: []Moved{{"matches", "matches"}},
		lacks: []lack{{in: "matches", list: true, field: "headers", min: 2, max: 4, hint: "Write the group as specs.smi-spec.io/v1alpha4."}}},
	{Kind: model.KindTCPRoute, Group: SpecsGroup, First: 1, Flat: 2,
		lacks: []lack{{field: "matches", min: 4, max: 4, hint: "Write the route as specs.smi-spec.io/v1alpha4."}}},
	{Kind: model.KindUDPRoute, Group: SpecsGroup, First: 4},
	{Kind: model.KindSplit, Group: SplitGroup, First: 1,
		lacks: []lack{{field: "matches", min: 3, max: 4, hint: "Write the split as split.smi-spec.io/v1alpha4."}}},
}

// Of is the shape of a kind; nil for a kind that is not SMI's.
func Of(kind model.Kind) *Shape {
	for i := range shapes {
		if shapes[i].Kind == kind {
			return &shapes[i]
		}
	}
	return nil
}

// APIVersion is the group with a version, as objects write it.
func (s *Shape) APIVersion(v int) string { return s.Group + "/v1alpha" + strconv.Itoa(v) }

// Versions lists the apiVersions in which the kind exists, oldest first.
func (s *Shape) Versions() []string {
	var list []string
	for v := s.First; v <= Newest; v++ {
		list = append(list, s.APIVersion(v))
	}
	return list
}

// Kinds lists the kinds that the package reads and writes.
func Kinds() []model.Kind {
	kinds := make([]model.Kind, len(shapes))
	for i := range shapes {
		kinds[i] = shapes[i].Kind
	}
	return kinds
}

// number is the version that an apiVersion names; 0 where the kind does not exist in it.
func (s *Shape) number(apiVersion string) int {
	version, ok := strings.CutPrefix(apiVersion, s.Group)
	if version, found := strings.CutPrefix(version, "/v1alpha"); ok && found && len(version) == 1 {
		if v := int(version[0] - '0'); v >= s.First && v <= Newest {
			return v
		}
	}
	return 0
}

// Resolve finds the version of an object. Where there is none the finding says which there are.
func Resolve(apiVersion, kind string) (*Shape, int, *model.Finding) {
	s := Of(model.Kind(kind))
	if s == nil {
		f := &model.Finding{Level: model.Invalid, Code: model.CodeUnknownVersion, Path: "kind", Message: "SMI has no kind " + kind,
			Hint: "Its kinds are " + join(Kinds()) + "."}
		if strings.HasPrefix(apiVersion, "metrics.smi-spec.io/") {
			f.Level, f.Code, f.Message, f.Hint = model.Notice, model.CodeIgnored, kind+" is an answer of the metrics API: there is nothing to configure", ""
		}
		return nil, 0, f
	}
	if v := s.number(apiVersion); v > 0 {
		return s, v, nil
	}
	f := &model.Finding{Level: model.Invalid, Code: model.CodeUnknownVersion, Path: "apiVersion", Message: "there is no " + kind + " in " + apiVersion,
		Hint: "It exists in " + join(s.Versions()) + "."}
	if group, version, ok := strings.Cut(apiVersion, "/"); ok && group == "spec.smi-spec.io" {
		f.Hint = "The group is written " + s.Group + ": " + s.Group + "/" + version + "."
	} else if !ok {
		f.Hint = "The group is missing: " + s.Group + "/" + apiVersion + ". " + f.Hint
	}
	return s, 0, f
}

// Target reads the version that someone asks for: v1alpha2, or with its group.
func (s *Shape) Target(to string) (int, *model.Finding) {
	v := s.number(to)
	if v == 0 {
		v = s.number(s.Group + "/" + to)
	}
	if v > 0 {
		return v, nil
	}
	return 0, &model.Finding{Level: model.Invalid, Code: model.CodeNoVersion, Path: "apiVersion", Message: string(s.Kind) + " does not exist in " + to,
		Hint: "It exists in " + join(s.Versions()) + "."}
}

func join[T ~string](list []T) string {
	out := ""
	for i, s := range list {
		if i > 0 {
			out += ", "
		}
		out += string(s)
	}
	return out
}

// Path is the path, in an object of the given version, of a field that a finding names in the newest version's shape.
func Path(apiVersion string, kind model.Kind, canonical string) string {
	s, v, f := Resolve(apiVersion, string(kind))
	if f != nil || v > s.Flat {
		return canonical
	}
	rest, ok := strings.CutPrefix(canonical, "spec.")
	if !ok {
		return canonical
	}
	for _, m := range s.Moved {
		if tail, ok := strings.CutPrefix(rest, m.Spec); ok && (tail == "" || tail[0] == '.' || tail[0] == '[') {
			return m.Flat + tail
		}
	}
	return rest
}
