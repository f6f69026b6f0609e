// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads what Istio is told as SMI. A condition that SMI cannot say removes what it restricts: what is read allows no more than
// what was written.
func importAll(in *mesh.Input) {
	r := reader{in: in, told: map[told]bool{}}
	for _, o := range in.Objects {
		group, _, _ := strings.Cut(o.APIVersion, "/")
		switch {
		case group == "networking.istio.io" && o.Kind == kindVirtualService:
			r.route(o)
		case group == "security.istio.io" && o.Kind == policy.Kind:
			r.policy(o)
		case group == "security.istio.io" && o.Kind == "PeerAuthentication":
			in.Leave(o, model.Notice, model.CodeNotUnderstood, "spec", "SMI does not speak of the mode of mTLS: callers are known by certificate in any", "")
		case strings.HasSuffix(group, "istio.io"):
			in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
		}
	}
	r.permissions()
}

// reader makes facts of native objects.
type reader struct {
	in       *mesh.Input
	told     map[told]bool
	policies []nativePolicy
}

// faults are the parts of an object that our types do not hold.
type faults []object.Problem

// below says whether there is a fault at a place or below it.
func (f faults) below(path string, args ...any) bool {
	path = fmt.Sprintf(path, args...)
	return slices.ContainsFunc(f, func(p object.Problem) bool {
		rest, ok := strings.CutPrefix(p.Path, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// decode reads an object, and reports what is in it that SMI does not know.
func (r *reader) decode(o *object.Object, into any) faults {
	problems := faults(o.Decode(into))
	for _, p := range problems {
		message, hint := p.Message, p.Hint
		if p.Code == model.CodeUnknownField {
			message, hint = "SMI has no word for "+p.Path[strings.LastIndexByte(p.Path, '.')+1:], ""
		}
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, p.Path, message, hint)
	}
	return problems
}

// told is a report: a part is read once for each port, and reported once.
type told struct {
	o             *object.Object
	path, message string
}

// leave reports a part that was not understood.
func (r *reader) leave(o *object.Object, path, message string) {
	if t := (told{o, path, message}); !r.told[t] {
		r.told[t] = true
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, path, message, "")
	}
}
