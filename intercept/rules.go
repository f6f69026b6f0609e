// SPDX-License-Identifier: Apache-2.0

// Package intercept leads a process's connections to the proxy beside it, on Linux, without the process knowing: what it opens goes to the
// proxy's outbound port, and what others open to it goes to the inbound port. It writes one table of nftables and no other, and needs no other
// program.
package intercept

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Table is the one that is written, in the family inet.
const Table = "anymesh"

// Mark is what the proxy's own connections bear, so that they are not led back to it.
const Mark = 0x616d

// Rules say what is led where. What is excluded passes as if there were no proxy: it is not of the mesh.
type Rules struct {
	Outbound, Inbound uint16         // ports of the proxy
	Mark              uint32         // of the proxy's own connections; 0: they bear none
	User              *uint32        // that the proxy runs as, where it may not mark its connections; nil: its mark tells
	NotTo             []uint16       // ports that the process opens as it would
	NotFrom           []uint16       // ports of this host that others open as they would: of probes, of administration
	Nets              []netip.Prefix // to which the process opens connections as it would
}

// chain is one chain of the table.
type chain struct {
	name, hook string
	rules      []rule
}

// rule takes the packets that all conditions hold for.
type rule struct {
	when []condition
	to   uint16 // port that they are led to; 0: they pass as they are
}

// condition is one thing that is asked of a packet.
type condition struct {
	what  field
	value string // as it is written
	raw   []byte // as it is compared
	mask  []byte // of raw; nil: all of it
}

// field is what a condition looks at.
type field int

const (
	mark field = iota
	user
	inInterface
	outInterface
	tcp
	tcpPort
	address4
	address6
)

// words are the fields in the language of nft.
var words = [...]string{mark: "meta mark", user: "meta skuid", inInterface: "iifname", outInterface: "oifname", tcp: "meta l4proto", tcpPort: "tcp dport", address4: "ip daddr", address6: "ip6 daddr"}

// chains are the table's, which both the text and the kernel are given.
func (r *Rules) chains() []chain {
	out := chain{name: "outbound", hook: "output"}
	pass := func(c *chain, when ...condition) { c.rules = append(c.rules, rule{when: when}) }
	if r.Mark != 0 {
		pass(&out, condition{what: mark, value: fmt.Sprintf("%#x", r.Mark), raw: native(r.Mark)})
	}
	if r.User != nil {
		pass(&out, condition{what: user, value: fmt.Sprint(*r.User), raw: native(*r.User)})
	}
	pass(&out, condition{what: outInterface, value: `"lo"`, raw: name("lo")})
	for _, n := range r.Nets {
		pass(&out, within(n))
	}
	for _, p := range r.NotTo {
		pass(&out, port(p))
	}
	out.rules = append(out.rules, rule{[]condition{isTCP()}, r.Outbound})

	in := chain{name: "inbound", hook: "prerouting"}
	pass(&in, condition{what: inInterface, value: `"lo"`, raw: name("lo")})
	for _, p := range append([]uint16{r.Inbound}, r.NotFrom...) {
		pass(&in, port(p))
	}
	in.rules = append(in.rules, rule{[]condition{isTCP()}, r.Inbound})
	return []chain{out, in}
}

// Check refuses rules by which nothing could work.
func (r *Rules) Check() error {
	switch {
	case r.Outbound == 0 || r.Inbound == 0 || r.Outbound == r.Inbound:
		return fmt.Errorf("intercept: the proxy has two ports, not %d and %d", r.Outbound, r.Inbound)
	case r.Mark == 0 && r.User == nil:
		return fmt.Errorf("intercept: without a mark and a user the proxy's own connections would be led back to it, for ever")
	case slices.ContainsFunc(r.Nets, func(p netip.Prefix) bool { return !p.IsValid() }):
		return fmt.Errorf("intercept: a network is none")
	}
	return nil
}

// String is the table in the language of nft.
func (r *Rules) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table inet %s {\n", Table)
	for i, c := range r.chains() {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "\tchain %s {\n\t\ttype nat hook %s priority dstnat; policy accept;\n", c.name, c.hook)
		for _, x := range c.rules {
			b.WriteString("\t\t")
			for _, w := range x.when {
				fmt.Fprintf(&b, "%s %s ", words[w.what], w.value)
			}
			if x.to == 0 {
				b.WriteString("return\n")
			} else {
				fmt.Fprintf(&b, "redirect to :%d\n", x.to)
			}
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func isTCP() condition { return condition{what: tcp, value: "tcp", raw: []byte{6}} }

func port(p uint16) condition {
	return condition{what: tcpPort, value: fmt.Sprint(p), raw: []byte{byte(p >> 8), byte(p)}}
}

// within is a destination in a network.
func within(n netip.Prefix) condition {
	n = n.Masked()
	c := condition{what: address4, value: n.String(), raw: n.Addr().AsSlice()}
	if n.Addr().Is6() {
		c.what = address6
	}
	c.mask = make([]byte, len(c.raw))
	for i := range n.Bits() {
		c.mask[i/8] |= 0x80 >> (i % 8)
	}
	return c
}

// name is an interface's, as the kernel keeps it.
func name(s string) []byte {
	raw := make([]byte, 16)
	copy(raw, s)
	return raw
}

// native is a number as this machine keeps it.
func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }
