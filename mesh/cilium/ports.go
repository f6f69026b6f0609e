// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"strconv"

	"github.com/anymesh/anymesh/model"
)

// The protocols.
const (
	tcp = "TCP"
	udp = "UDP"
)

// span is all ports from one to another.
type span struct{ first, last uint16 }

var allPorts = span{1, 65535}

// spans are the ports of a set that are not in another.
func spans(p, less model.Ports) (out []span) {
	if less.Any {
		return nil
	}
	if !p.Any {
		for _, n := range p.List {
			if !less.Has(n) {
				out = append(out, span{n, n})
			}
		}
		return out
	}
	first := uint32(allPorts.first)
	for _, n := range less.List {
		if uint32(n) > first {
			out = append(out, span{uint16(first), n - 1})
		}
		first = uint32(n) + 1
	}
	if first <= uint32(allPorts.last) {
		out = append(out, span{uint16(first), allPorts.last})
	}
	return out
}

// portRules says ports, as many in each rule as it takes. Any port is 0 where there are no rules on requests, and the whole range with them.
func portRules(list []span, protocol string, r *rules) (out []portRule) {
	for len(list) > 0 {
		n := min(len(list), mostPorts)
		one := portRule{Rules: r}
		for _, s := range list[:n] {
			p := port{Port: strconv.Itoa(int(s.first)), Protocol: protocol}
			switch {
			case s == allPorts && r == nil:
				p.Port = "0"
			case s.last != s.first:
				p.EndPort = s.last
			}
			one.Ports = append(one.Ports, p)
		}
		out, list = append(out, one), list[n:]
	}
	return out
}
