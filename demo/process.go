// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up"
)

// Process is what a pod of the shop runs, where pods have processes of their own: it serves, and makes the traffic of its account through the
// proxy beside it.
type Process struct {
	Pod     model.Name
	Account string
	Address string   // of the pod on this machine
	HTTP    []uint16 // ports that answer with the pod's name
	TCP     []uint16 // ports that send back what they are sent
	Proxy   uint16   // port of the pod's address where its proxy takes what it asks of others; 0: the usual one
}

// linger is how long a process that is to end still answers: those who call it hear of its end at the same time.
const linger = time.Second

// Run serves and calls until the context ends, and answers a moment longer. The error says which port cannot be had.
func (p *Process) Run(ctx context.Context) error {
	var list []app
	for _, n := range p.HTTP {
		list = append(list, app{p.Pod, net.JoinHostPort(p.Address, fmt.Sprint(n)), true})
	}
	for _, n := range p.TCP {
		list = append(list, app{p.Pod, net.JoinHostPort(p.Address, fmt.Sprint(n)), false})
	}
	var s stage
	defer s.wg.Wait()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	for i := range list {
		if err := s.start(serving, &list[i]); err != nil {
			return err
		}
	}
	var d doors
	d.by.Store(p.Account, net.JoinHostPort(p.Address, fmt.Sprint(cmp.Or(p.Proxy, up.OutboundPort))))
	drive(ctx, &d)
	if len(list) > 0 {
		time.Sleep(linger)
	}
	return nil
}
