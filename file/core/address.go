// SPDX-License-Identifier: Apache-2.0

package core

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// serviceLabel leads from a slice to its service.
const serviceLabel = "kubernetes.io/service-name"

// ip reads an address; empty where it is not one, and then a finding says so.
func (r *reading) ip(s, path string) string {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		r.find(model.Invalid, model.CodeType, path, strconv.Quote(s)+" is not an IP address", "Write it as 10.0.0.1 or fd00::1.")
		return ""
	}
	return a.String()
}

// slice reads an EndpointSlice. One without a service, or of host names, has nothing for a mesh.
func (r *reading) slice() {
	var s struct {
		AddressType string `json:"addressType"`
		Ports       []struct {
			Name string `json:"name"`
			Port *int64 `json:"port"`
		} `json:"ports"`
		Endpoints []struct {
			Addresses  []string `json:"addresses"`
			Conditions struct {
				Ready *bool `json:"ready"`
			} `json:"conditions"`
			TargetRef struct {
				Kind string `json:"kind"`
				Name string `json:"name"`
			} `json:"targetRef"`
		} `json:"endpoints"`
	}
	r.decode(&s)
	service := r.o.Labels[serviceLabel]
	if service == "" || s.AddressType == "FQDN" {
		return
	}
	f := &model.EndpointSlice{Name: r.ref.Name, Service: model.Name{Namespace: r.ref.Namespace, Name: service}}
	for i, p := range s.Ports {
		if p.Port == nil {
			continue // every port, of which no proxy can make an address
		}
		if n := r.port(*p.Port, "ports["+strconv.Itoa(i)+"].port"); n != 0 {
			f.Ports = append(f.Ports, model.EndpointPort{Name: p.Name, Number: n})
		}
	}
	for i, e := range s.Endpoints {
		pod := ""
		if e.TargetRef.Kind == "Pod" {
			pod = e.TargetRef.Name
		}
		for k, a := range e.Addresses {
			if ip := r.ip(a, "endpoints["+strconv.Itoa(i)+"].addresses["+strconv.Itoa(k)+"]"); ip != "" {
				f.Endpoints = append(f.Endpoints, model.Endpoint{Address: ip, Ready: e.Conditions.Ready == nil || *e.Conditions.Ready, Pod: pod})
			}
		}
	}
	r.add(f)
}

// pod reads a Pod. One without a controller is a workload of its own.
func (r *reading) pod() {
	var p struct {
		Metadata struct {
			Owners []owner `json:"ownerReferences"`
		} `json:"metadata"`
		Spec   podSpec `json:"spec"`
		Status struct {
			IP         string `json:"podIP"`
			Conditions []struct {
				Type   string `json:"type"`
				Status string `json:"status"`
			} `json:"conditions"`
		} `json:"status"`
	}
	if !r.decode(&p, "spec.serviceAccountName", "spec.serviceAccount", "metadata.ownerReferences") {
		return
	}
	f := &model.Pod{Name: r.ref.Name, Labels: r.o.Labels, Account: p.Spec.account(), Workload: r.ref}
	f.Ports, _ = r.containers(&p.Spec, "spec")
	if a := r.o.Annotations[Address]; a != "" {
		f.Address = r.ip(a, "metadata.annotations["+Address+"]")
	} else if p.Status.IP != "" {
		f.Address = r.ip(p.Status.IP, "status.podIP")
	}
	f.Datagrams = r.datagrams(r.o.Annotations[Datagrams])
	f.Ready = f.Address != ""
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			f.Ready = f.Ready && c.Status == "True"
		}
	}
	if c := controller(p.Metadata.Owners); c != nil {
		f.Workload.Kind, f.Workload.Name.Name = Controlled(c.Kind, c.Name, r.o.Labels)
	} else {
		r.add(r.workload(r.o.Labels, r.o.Labels, &p.Spec, "spec"))
	}
	r.add(f)
}

// datagrams reads the annotation Datagrams. A part that is not understood is left out.
func (r *reading) datagrams(text string) map[uint16]string {
	var out map[uint16]string
	for _, part := range strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == ',' || c == '\n' || c == '\t' }) {
		local, service, _ := strings.Cut(part, "=")
		host, number, _ := strings.Cut(service, ":")
		n, err := strconv.ParseUint(local, 10, 16)
		_, bad := strconv.ParseUint(number, 10, 16)
		if err != nil || bad != nil || n == 0 || number == "0" || host == "" || out[uint16(n)] != "" {
			r.find(model.Invalid, model.CodeType, "metadata.annotations["+Datagrams+"]", strconv.Quote(part)+" is not a port of its own with a service and its port: it is left out", "Write it as 5300=dns:53.")
			continue
		}
		if out == nil {
			out = map[uint16]string{}
		}
		out[uint16(n)] = service
	}
	return out
}

// owner is an owner reference.
type owner struct {
	Kind       string `json:"kind"`
	Name       string `json:"name"`
	Controller bool   `json:"controller"`
}

func controller(owners []owner) *owner {
	for i := range owners {
		if owners[i].Controller {
			return &owners[i]
		}
	}
	return nil
}

// Controlled is the workload's kind and name as a user wrote it, of what controls a pod with certain labels: the pods of a Deployment, and of an
// Argo Rollout, name the ReplicaSet between, which is called after it and the hash of its template.
func Controlled(kind, name string, labels map[string]string) (model.Kind, string) {
	if kind != "ReplicaSet" {
		return model.Kind(kind), name
	}
	for label, k := range map[string]model.Kind{"pod-template-hash": model.KindDeployment, "rollouts-pod-template-hash": model.KindRollout} {
		if hash := labels[label]; hash != "" {
			return k, strings.TrimSuffix(name, "-"+hash)
		}
	}
	return model.Kind(kind), name
}
