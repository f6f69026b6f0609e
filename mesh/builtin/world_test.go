// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/store"
)

// said is all that the driver says of a world.
type said struct {
	objects  []mesh.Object
	findings []model.Finding
}

func world(facts ...model.Fact) *store.Store {
	s := store.New()
	for _, f := range facts {
		set(s, f)
	}
	return s
}

func set(s *store.Store, f model.Fact) {
	s.Set(store.Event{Object: f.Ref(), Facts: []model.Fact{f}})
}

func translate(s *store.Store) said {
	var all said
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		o := unit(s, u)
		all.objects = append(all.objects, o.Objects...)
		all.findings = append(all.findings, o.Findings...)
	}
	return all
}

func unit(s *store.Store, u store.Unit) *mesh.Output {
	d := builtin.Driver
	switch u.Kind {
	case store.UnitRoute:
		r, _ := model.JoinRoute(s, u.Name)
		return d.Routes(r)
	case store.UnitAccess:
		a, _ := model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
		return d.Accesses(a)
	case store.UnitEndpoints:
		return d.Addresses(model.JoinEndpoints(s, u.Name))
	}
	return d.Globals(s.Settings())
}

// name is a name in the namespace of nearly all tests.
func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

func service(n string, ports ...model.ServicePort) *model.Service {
	return &model.Service{Name: name(n), Selector: map[string]string{"app": n}, Ports: ports}
}

func port(number, target uint16, p model.Protocol) model.ServicePort {
	return model.ServicePort{Name: p.String(), Number: number, Target: target, Protocol: p}
}

func workload(n string) *model.Workload {
	l := map[string]string{"app": n}
	return &model.Workload{Kind: model.KindDeployment, Name: name(n), Labels: l, Selector: l, Account: n}
}

func pod(n, address string, ready bool) *model.Pod {
	return &model.Pod{Name: name(n + "-" + address), Address: address, Labels: map[string]string{"app": n}, Account: n, Workload: model.Ref{Kind: model.KindDeployment, Name: name(n)}, Ready: ready}
}

func split(n, root string, groups []string, backends ...model.Backend) *model.Split {
	return &model.Split{Name: name(n), Root: root, Groups: groups, Backends: backends}
}

func group(n string, matches ...model.Match) *model.RouteGroup {
	return &model.RouteGroup{Name: name(n), Matches: matches}
}

func account(n string) model.Subject {
	return model.Subject{Kind: model.KindServiceAccount, Namespace: "shop", Name: n}
}

func binding(n string) model.Subject {
	return model.Subject{Kind: model.KindBinding, Namespace: "shop", Name: n}
}

func allow(n string, to model.Subject, from []model.Subject, rules ...model.Rule) *model.Permission {
	return &model.Permission{Name: name(n), Destination: to, Sources: from, Rules: rules}
}

func requests(group string, matches ...string) model.Rule {
	return model.Rule{Kind: model.KindGroup, Name: group, Matches: matches, All: matches == nil}
}

func stream(route string) model.Rule {
	return model.Rule{Kind: model.KindTCPRoute, Name: route, All: true}
}

func datagrams(route string) model.Rule {
	return model.Rule{Kind: model.KindUDPRoute, Name: route, All: true}
}

func udpRoute(n string, ports ...uint16) *model.PortRoute {
	r := tcpRoute(n, ports...)
	r.Kind = model.KindUDPRoute
	return r
}

func tcpRoute(n string, ports ...uint16) *model.PortRoute {
	r := &model.PortRoute{Kind: model.KindTCPRoute, Name: name(n), Ports: model.PortSet(ports...)}
	r.Ports.Any = len(ports) == 0
	return r
}

// accepted asks Envoy's own validators, down to the last packed configuration, and the proxy that is to follow the resource.
func accepted(t *testing.T, objs []mesh.Object) {
	t.Helper()
	var c policy.Compiler
	seen := map[mesh.Key]bool{}
	for i := range objs {
		o := &objs[i]
		if seen[o.Key()] {
			t.Errorf("%s is said twice", o.Key())
		}
		seen[o.Key()] = true
		typeURL, name, m := builtin.Resource(o)
		if got := "type.googleapis.com/" + string(proto.MessageName(m)); got != typeURL {
			t.Errorf("%s: type %s, message %s", o.Key(), typeURL, got)
		}
		if u, n := builtin.ResourceKey(o.Key()); u != typeURL || n != name {
			t.Errorf("%s: its key leads to %s %s", o.Key(), u, n)
		}
		validate(t, name, m)
		if err := follow(&c, name, m); err != nil {
			t.Errorf("%s: the proxy refuses it: %v", o.Key(), err)
		}
	}
}

func follow(c *policy.Compiler, name string, m proto.Message) error {
	var err error
	switch m := m.(type) {
	case *clusterv3.Cluster:
		if name == policy.Own {
			return c.OwnCluster(m)
		}
		_, err = c.Cluster(m)
	case *endpointv3.ClusterLoadAssignment:
		_, err = c.Endpoints(m)
	case *routev3.RouteConfiguration:
		_, err = c.Routes(m)
	case *listenerv3.Listener:
		if len(m.ListenerFilters) > 0 {
			_, err = c.Inbound(m)
		} else {
			_, err = c.Listener(m)
		}
	}
	return err
}

func validate(t *testing.T, where string, m proto.Message) {
	t.Helper()
	if v, ok := m.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	packed(m.ProtoReflect(), func(a *anypb.Any) {
		inner, err := a.UnmarshalNew()
		if err != nil {
			t.Errorf("%s: %v", where, err)
			return
		}
		validate(t, where+": "+string(a.MessageName()), inner)
	})
}

// packed finds what is packed in a message, at any depth.
func packed(m protoreflect.Message, found func(*anypb.Any)) {
	if a, ok := m.Interface().(*anypb.Any); ok {
		found(a)
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() != protoreflect.MessageKind:
		case f.IsMap():
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				if f.MapValue().Kind() == protoreflect.MessageKind {
					packed(v.Message(), found)
				}
				return true
			})
		case f.IsList():
			for i := range v.List().Len() {
				packed(v.List().Get(i).Message(), found)
			}
		default:
			packed(v.Message(), found)
		}
		return true
	})
}
