// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// The judge reads SMI objects as release 1.2 of OSM does, by its own sources: pkg/catalog (inbound_traffic_policies.go, traffictarget.go,
// outbound_traffic_policies.go), pkg/envoy/generator (rds/route_config.go, lds/rbac.go, lds/inmesh.go) and pkg/envoy/rbac. OSM keeps
// TrafficTargets in no order, so that routes that overlap may be asked in any: surely says that a request is admitted whatever the
// order is, and otherwise that it may be.
type judge struct {
	surely bool
	first  *mesh.Object
	count  int
	read   []osmObject
}

type osmSubject struct{ Kind, Name, Namespace string }

type osmObject struct {
	APIVersion, Kind string
	Metadata         struct{ Name, Namespace string }
	Spec             json.RawMessage
	target           struct {
		Destination osmSubject
		Sources     []osmSubject
		Rules       []struct {
			Kind, Name string
			Matches    []string
		}
	}
	group struct {
		Matches []struct {
			Name, PathRegex string
			Methods         []string
			Headers         []map[string]string
		}
	}
	route struct {
		Matches struct{ Ports []uint16 }
	}
	split struct {
		Service  string
		Backends []struct {
			Service string
			Weight  int64
		}
	}
}

// objects reads the objects; those of a version that OSM does not know it does not see.
func (j *judge) objects(objs []mesh.Object) []osmObject {
	if len(objs) > 0 && j.first == &objs[0] && j.count == len(objs) {
		return j.read
	}
	j.read, j.count, j.first = nil, len(objs), nil
	for i := range objs {
		j.first = &objs[0]
		text, err := json.Marshal(&objs[i])
		if err != nil {
			panic(err)
		}
		var o osmObject
		if err := json.Unmarshal(text, &o); err != nil {
			panic(err)
		}
		var into any
		switch o.APIVersion + " " + o.Kind {
		case "access.smi-spec.io/v1alpha3 TrafficTarget":
			into = &o.target
		case "specs.smi-spec.io/v1alpha4 HTTPRouteGroup":
			into = &o.group
		case "specs.smi-spec.io/v1alpha4 TCPRoute":
			into = &o.route
		case "split.smi-spec.io/v1alpha2 TrafficSplit":
			into = &o.split
		default:
			continue
		}
		if err := json.Unmarshal(o.Spec, into); err != nil {
			panic(err)
		}
		j.read = append(j.read, o)
	}
	return j.read
}

// http says whether OSM takes a port for HTTP.
func http(p model.Protocol) bool { return p.CarriesHTTP() }

// routed says which part of requests goes to which port of which Service.
func (j *judge) routed(objs []mesh.Object, w model.World, q *model.Request) (map[string]float64, error) {
	s := w.Service(q.Service)
	port := q.Port
	if port == 0 {
		port = s.Ports[0].Number
	}
	var split *osmObject
	for _, o := range j.objects(objs) {
		if o.Kind == "TrafficSplit" && o.Metadata.Namespace == q.Service.Namespace && o.split.Service == q.Service.Name {
			if split != nil {
				return nil, fmt.Errorf("two splits of one root: which is taken is not told")
			}
			split = &o
		}
	}
	if split == nil || q.Layer == model.LayerDatagram {
		return map[string]float64{fmt.Sprintf("%s:%d", q.Service, port): 1}, nil
	}
	out := map[string]float64{}
	if q.Layer == model.LayerStream && http(s.Port(port).Protocol) {
		return out, nil
	}
	var total int64
	for _, b := range split.split.Backends {
		if x := w.Service(model.Name{Namespace: q.Service.Namespace, Name: b.Service}); x != nil && x.Port(port) != nil {
			total += b.Weight
		}
	}
	for _, b := range split.split.Backends {
		if x := w.Service(model.Name{Namespace: q.Service.Namespace, Name: b.Service}); x != nil && x.Port(port) != nil && b.Weight > 0 {
			out[fmt.Sprintf("%s/%s:%d", q.Service.Namespace, b.Service, port)] += float64(b.Weight) / float64(total)
		}
	}
	return out, nil
}

// admit says whether a workload's proxy lets a request through, in a mesh that is not permissive.
func (j *judge) admit(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	if w.Settings().Access == model.AccessAllow || q.Layer == model.LayerDatagram {
		return true
	}
	tcp := false
	for _, n := range w.Selecting(wl) {
		for _, p := range w.Service(n).Ports {
			tcp = tcp || p.Protocol != model.UDP && wl.TargetPort(&p) == port && !http(p.Protocol)
		}
	}
	all := j.objects(objs)
	targets := slices.DeleteFunc(slices.Clone(all), func(o osmObject) bool {
		d := o.target.Destination
		return o.Kind != "TrafficTarget" || !o.knownRules() || d.Name != wl.Account || d.Namespace != wl.Name.Namespace || d.Namespace != o.Metadata.Namespace
	})
	if tcp && len(targets) == 0 {
		return true // no filter is put before it
	}
	if j.surely { // the caller's proxy is told of nobody by an account that is called otherwise
		targets = slices.DeleteFunc(targets, func(o osmObject) bool { return !o.ofAccounts() })
	}
	network := slices.ContainsFunc(targets, func(o osmObject) bool { return o.names(q) && o.on(all, port) })
	if tcp || !network {
		return network
	}
	return q.Layer == model.LayerHTTP && j.request(all, targets, w, q)
}

// knownRules says whether a target has rules, all of kinds that OSM knows; without them it is ignored.
func (o *osmObject) knownRules() bool {
	for _, r := range o.target.Rules {
		if r.Kind != "HTTPRouteGroup" && r.Kind != "TCPRoute" {
			return false
		}
	}
	return len(o.target.Rules) > 0
}

// ofAccounts says whether a target speaks of service accounts alone.
func (o *osmObject) ofAccounts() bool {
	return o.target.Destination.Kind == "ServiceAccount" && !slices.ContainsFunc(o.target.Sources, func(s osmSubject) bool { return s.Kind != "ServiceAccount" })
}

// names says whether a target has a caller among its sources: no sources are all callers.
func (o *osmObject) names(q *model.Request) bool {
	return len(o.target.Sources) == 0 || q.From.ServiceAccount != "" && slices.ContainsFunc(o.target.Sources, func(s osmSubject) bool {
		return s.Name == q.From.ServiceAccount && s.Namespace == q.From.Namespace
	})
}

// on says whether a target holds on a port: without a port in its TCPRoutes on all.
func (o *osmObject) on(all []osmObject, port uint16) bool {
	var ports []uint16
	for _, r := range o.target.Rules {
		if r.Kind != "TCPRoute" {
			continue
		}
		i := slices.IndexFunc(all, func(x osmObject) bool {
			return x.Kind == "TCPRoute" && x.Metadata.Name == r.Name && x.Metadata.Namespace == o.Metadata.Namespace
		})
		if i < 0 {
			return false
		}
		ports = append(ports, all[i].route.Matches.Ports...)
	}
	return len(ports) == 0 || slices.Contains(ports, port)
}

// request says whether routes of HTTP take a request and admit its caller. Routes that read the same are one, with all of their callers.
func (j *judge) request(all, targets []osmObject, w model.World, q *model.Request) bool {
	admits := map[string]bool{} // by route that takes the request
	for _, o := range targets {
		for _, r := range o.target.Rules {
			for _, x := range all {
				if x.Kind != "HTTPRouteGroup" || x.Metadata.Name != r.Name || x.Metadata.Namespace != o.Metadata.Namespace {
					continue
				}
				for _, m := range x.group.Matches {
					headers := map[string]string{} // as the SDK keeps them
					for _, h := range m.Headers {
						for k, v := range h {
							headers[k] = v
						}
					}
					if slices.Contains(r.Matches, m.Name) && takes(m.PathRegex, m.Methods, headers, w, q) {
						k := fmt.Sprint(m.PathRegex, m.Methods, headers)
						admits[k] = admits[k] || o.names(q)
					}
				}
			}
		}
	}
	some, every := false, len(admits) > 0
	for _, ok := range admits {
		some, every = some || ok, every && ok
	}
	return every || some && !j.surely
}

func takes(path string, methods []string, headers map[string]string, w model.World, q *model.Request) bool {
	all := func(expression, text string) bool {
		return regexp.MustCompile(`\A(?:` + expression + `)\z`).MatchString(text)
	}
	asked, _, _ := strings.Cut(q.Path, "?")
	if path != "" && !all(path, asked) || len(methods) > 0 && !slices.Contains(methods, "*") && !slices.Contains(methods, q.Method) {
		return false
	}
	for name, value := range headers {
		values, there := q.Headers[strings.ToLower(name)]
		if name == "host" {
			values, there = []string{q.Host}, true
			if q.Host == "" {
				values[0] = w.Settings().Host(q.Service)
			}
		}
		if !there || !all(value, strings.Join(values, ",")) {
			return false
		}
	}
	return true
}
