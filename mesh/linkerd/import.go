// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// importAll reads what Linkerd is told as SMI. A condition that SMI cannot say removes what it restricts, and a request that Linkerd would
// ask another route of is not permitted by the first: what is read allows no more than what was written.
func importAll(in *mesh.Input) {
	r := reader{in: in, used: map[model.Ref]bool{}, said: map[report]bool{}, tls: map[model.Name]*nativeTLS{}, networks: map[model.Name]bool{}, roots: map[model.Name]*nativeRoot{}}
	for _, o := range in.Objects {
		group, _, _ := strings.Cut(o.APIVersion, "/")
		if group == policyGroup || group == linkerdGroup || group == gateway {
			r.object(group, o)
		}
	}
	r.splits()
	r.permissions()
	r.stray()
}

// stray reports what speaks of Servers and routes that the input does not hold, or that are not read.
func (r *reader) stray() {
	for _, p := range r.policies {
		if ref := p.v.Spec.TargetRef; !p.read {
			r.leave(p.o, "spec.targetRef", "no "+ref.Kind+" "+ref.Name+" is read: the policy is left out")
		}
	}
	for _, p := range r.authorizations {
		if !p.read {
			r.leave(p.o, "spec.server", "none of its Servers is read: it is left out")
		}
	}
	for _, p := range r.routes {
		if !p.read {
			r.leave(p.o, "spec.parentRefs", "its Server is not read: it is left out")
		}
	}
}

func (r *reader) object(group string, o *object.Object) {
	name := model.Name{Namespace: o.Namespace, Name: o.Name}
	switch {
	case group == policyGroup && o.Kind == kindServer:
		r.server(o)
	case group == policyGroup && o.Kind == kindPolicy:
		p := &nativePolicy{o: o}
		p.faults = r.decode(o, &p.v)
		r.policies = append(r.policies, p)
	case group == policyGroup && o.Kind == kindAuthorization:
		p := &nativeAuthorization{o: o}
		p.faults = r.decode(o, &p.v)
		r.authorizations = append(r.authorizations, p)
	case group == policyGroup && o.Kind == kindMeshTLS:
		p := &nativeTLS{o: o}
		p.faults = r.decode(o, &p.v)
		r.tls[name] = p
	case group == policyGroup && o.Kind == kindNetwork:
		r.networks[name] = true
	case o.Kind == kindHTTPRoute:
		p := &nativeRoute{o: o, group: group}
		p.faults = r.decode(o, &p.v)
		r.route(p)
	case group == gateway && o.Kind == "GRPCRoute":
		r.grpc(o)
	case group == gateway && o.Kind == kindTCPRoute:
		r.tcp(o)
	case group == linkerdGroup && o.Kind == kindProfile:
		r.profile(o)
	default:
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, "spec", "SMI has nothing that a "+o.Kind+" could become", "Keep it beside the SMI objects.")
	}
}

// reader makes facts of native objects.
type reader struct {
	in             *mesh.Input
	used           map[model.Ref]bool
	said           map[report]bool
	servers        []*nativeServer
	routes         []*nativeRoute // of Servers
	policies       []*nativePolicy
	authorizations []*nativeAuthorization
	tls            map[model.Name]*nativeTLS
	networks       map[model.Name]bool
	roots          map[model.Name]*nativeRoot
}

type nativePolicy struct {
	o      *object.Object
	v      written[authorizationPolicy]
	faults faults
	read   bool // for something that is read
}

type nativeAuthorization struct {
	o      *object.Object
	v      written[serverAuthorization]
	faults faults
	read   bool
}

type nativeTLS struct {
	o      *object.Object
	v      written[meshTLSAuthentication]
	faults faults
}

type nativeRoute struct {
	o      *object.Object
	group  string
	grpc   bool
	v      written[httpRoute]
	faults faults
	read   bool
}

// route tells routes of Services, which split, from routes of Servers, which permit.
func (r *reader) route(p *nativeRoute) {
	mine := false
	for i, ref := range p.v.Spec.ParentRefs {
		at := fmt.Sprintf("spec.parentRefs[%d]", i)
		switch {
		case p.faults.below("%s", at):
			continue // reported
		case ref.Namespace != "" && ref.Namespace != p.o.Namespace:
			r.leave(p.o, at+".namespace", "SMI splits for every client of a Service, and this route is for those of one namespace")
		case ref.Kind == "Service" && (ref.Group == "" || ref.Group == "core"):
			r.root(model.Name{Namespace: p.o.Namespace, Name: ref.Name}).add(p, ref.Port, nil)
		case ref.Kind == kindServer && ref.Group == policyGroup:
			mine = true
		default:
			r.leave(p.o, at, "SMI speaks of Services and workloads, and not of a "+ref.Kind)
		}
	}
	if mine {
		r.routes = append(r.routes, p)
	}
}

// grpcRoute is a GRPCRoute, whose method is a path.
type grpcRoute struct {
	ParentRefs []parent   `json:"parentRefs"`
	Rules      []grpcRule `json:"rules"`
}

type grpcRule struct {
	Matches     []grpcMatch `json:"matches"`
	BackendRefs []backend   `json:"backendRefs"`
}

type grpcMatch struct {
	Method  *grpcMethod   `json:"method"`
	Headers []headerMatch `json:"headers"`
}

type grpcMethod struct {
	Type    string `json:"type"`
	Service string `json:"service"`
	Method  string `json:"method"`
}

// grpc reads a GRPCRoute as an HTTPRoute that says the same.
func (r *reader) grpc(o *object.Object) {
	var v written[grpcRoute]
	p := &nativeRoute{o: o, group: gateway, grpc: true, faults: r.decode(o, &v)}
	p.v.Spec.ParentRefs = v.Spec.ParentRefs
	for i, rule := range v.Spec.Rules {
		out := httpRule{BackendRefs: rule.BackendRefs}
		for k, m := range rule.Matches {
			h := httpMatch{Headers: m.Headers}
			if g := m.Method; g != nil {
				if g.Type == regularExpression {
					at := fmt.Sprintf("spec.rules[%d].matches[%d].method.type", i, k)
					r.leave(o, at, "expressions on gRPC's methods are not read: the match is left out")
					p.faults = append(p.faults, object.Problem{Path: at})
				}
				h.Path = g.path()
			}
			out.Matches = append(out.Matches, h)
		}
		p.v.Spec.Rules = append(p.v.Spec.Rules, out)
	}
	r.route(p)
}

func (g *grpcMethod) path() *stringMatch {
	switch {
	case g.Service == "" && g.Method == "":
		return nil
	case g.Method == "":
		return &stringMatch{regularExpression, whole("/" + quote(g.Service) + "/[^/]+")}
	case g.Service == "":
		return &stringMatch{regularExpression, whole("/[^/]+/" + quote(g.Method))}
	}
	return &stringMatch{exact, "/" + g.Service + "/" + g.Method}
}

// tcp reads a TCPRoute, whose one rule takes all connections.
func (r *reader) tcp(o *object.Object) {
	var v written[tcpRoute]
	f := r.decode(o, &v)
	for i, ref := range v.Spec.ParentRefs {
		if ref.Kind != "Service" || ref.Group != "" && ref.Group != "core" || ref.Namespace != "" && ref.Namespace != o.Namespace || len(v.Spec.Rules) == 0 {
			r.leave(o, fmt.Sprintf("spec.parentRefs[%d]", i), "SMI splits what goes to a Service beside the route")
			continue
		}
		if f.below("spec.rules") {
			continue // reported
		}
		p := &nativeRoute{o: o, faults: f}
		p.v.Spec.Rules = []httpRule{{BackendRefs: v.Spec.Rules[0].BackendRefs}}
		r.root(model.Name{Namespace: o.Namespace, Name: ref.Name}).add(nil, ref.Port, p)
	}
}

// free is a name that no fact of the kind has yet.
func (r *reader) free(k model.Kind, n model.Name) model.Name {
	out := n
	for i := 2; r.used[model.Ref{Kind: k, Name: out}]; i++ {
		out.Name = fmt.Sprintf("%s-%d", n.Name, i)
	}
	r.used[model.Ref{Kind: k, Name: out}] = true
	return out
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

// report is what was said of a part: it is read once for each port, and reported once.
type report struct {
	o             *object.Object
	path, message string
}

// leave reports a part that was not understood.
func (r *reader) leave(o *object.Object, path, message string) {
	if t := (report{o, path, message}); !r.said[t] {
		r.said[t] = true
		r.in.Leave(o, model.Unsupported, model.CodeNotUnderstood, path, message, "")
	}
}
