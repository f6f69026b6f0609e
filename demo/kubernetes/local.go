// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/netip"
	"slices"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// local is a source whose pods run as processes of this machine. Kubernetes allows them no address of loopback, so that they have one in
// 10.244.0.0/16 in the API and listen on the same in 127.244.0.0/16: that is where the mesh has to find them.
type local struct{ engine.Source }

// Run is that of the source, in addresses of this machine.
func (l *local) Run(ctx context.Context, out chan<- []store.Event) error {
	inner := make(chan []store.Event)
	ended := make(chan error, 1)
	go func() { ended <- l.Source.Run(ctx, inner) }()
	for {
		select {
		case err := <-ended:
			return err
		case batch := <-inner:
			for i := range batch {
				batch[i].Facts = slices.Clone(batch[i].Facts)
				for k, f := range batch[i].Facts {
					batch[i].Facts[k] = here(f)
				}
			}
			select {
			case out <- batch:
			case <-ctx.Done():
				return <-ended
			}
		}
	}
}

// here is a fact with the addresses of this machine.
func here(f model.Fact) model.Fact {
	switch f := f.(type) {
	case *model.Pod:
		p := *f
		p.Address = loopback(f.Address)
		return &p
	case *model.EndpointSlice:
		s := *f
		s.Endpoints = slices.Clone(f.Endpoints)
		for i := range s.Endpoints {
			s.Endpoints[i].Address = loopback(s.Endpoints[i].Address)
		}
		return &s
	}
	return f
}

var pods = netip.MustParsePrefix("10.244.0.0/16")

// loopback is where the process of a pod's address listens; other addresses stay.
func loopback(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || !pods.Contains(ip) {
		return address
	}
	b := ip.As4()
	b[0] = 127
	return netip.AddrFrom4(b).String()
}
