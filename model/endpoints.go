// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"slices"
	"strings"
)

// Endpoints is where one service's requests arrive: the unit of addresses.
type Endpoints struct {
	Settings   *Settings
	Service    *Service
	Ports      []EndpointsPort
	Identities []Identity // of the workloads and addresses behind the service, sorted
}

// EndpointsPort holds the addresses of one port.
type EndpointsPort struct {
	ServicePort
	Addresses []Address // by IP and port
}

// Address is one place that serves a port.
type Address struct {
	IP       string
	Port     uint16
	Ready    bool
	Identity Identity // of the pod; zero where it is not known
	Pod      Name
}

// JoinEndpoints joins what is known of one service's addresses; nil when there is no such service.
func JoinEndpoints(w World, service Name) *Endpoints {
	s := w.Service(service)
	if s == nil {
		return nil
	}
	e := &Endpoints{Settings: w.Settings(), Service: s}
	for i := range s.Ports {
		list := slices.Clone(w.Addresses(service, &s.Ports[i]))
		slices.SortFunc(list, func(a, b Address) int {
			return cmp.Or(strings.Compare(a.IP, b.IP), cmp.Compare(a.Port, b.Port), a.Pod.Compare(b.Pod))
		})
		e.Ports = append(e.Ports, EndpointsPort{s.Ports[i], list})
		for _, a := range list {
			if a.Identity.ServiceAccount != "" {
				e.Identities = append(e.Identities, a.Identity)
			}
		}
	}
	for _, o := range w.Selected(service) {
		e.Identities = append(e.Identities, o.Identity())
	}
	slices.SortFunc(e.Identities, Identity.Compare)
	e.Identities = slices.Compact(e.Identities)
	return e
}
