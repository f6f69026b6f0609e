// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Apply puts the rules into force in the network namespace of this process, in the place of any that were there, all at once.
func (r *Rules) Apply() error {
	if err := r.Check(); err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("intercept: nftables: %w", err)
	}
	table := clear(c)
	c.AddTable(table)
	accept := nftables.ChainPolicyAccept
	hooks := map[string]*nftables.ChainHook{"output": nftables.ChainHookOutput, "prerouting": nftables.ChainHookPrerouting}
	for _, x := range r.chains() {
		to := c.AddChain(&nftables.Chain{Table: table, Name: x.name, Type: nftables.ChainTypeNAT, Hooknum: hooks[x.hook], Priority: nftables.ChainPriorityNATDest, Policy: &accept})
		for _, one := range x.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: to, Exprs: one.exprs()})
		}
	}
	return said(c.Flush())
}

// Undo takes the rules away; that there are none is no error.
func Undo() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("intercept: nftables: %w", err)
	}
	clear(c)
	return said(c.Flush())
}

// clear has the table gone, whether or not it is there.
func clear(c *nftables.Conn) *nftables.Table {
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: Table}
	c.AddTable(t)
	c.DelTable(t)
	return t
}

// said puts into words what is most often wrong.
func said(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("intercept: the kernel refuses: run it as root, or with the capability NET_ADMIN (%w)", err)
	}
	return fmt.Errorf("intercept: nftables: %w", err)
}

// exprs are a rule's steps in the kernel.
func (r *rule) exprs() (out []expr.Any) {
	for i := range r.when {
		out = append(out, r.when[i].exprs()...)
	}
	if r.to == 0 {
		return append(out, &expr.Verdict{Kind: expr.VerdictReturn})
	}
	return append(out, &expr.Immediate{Register: 1, Data: []byte{byte(r.to >> 8), byte(r.to)}}, &expr.Redir{RegisterProtoMin: 1})
}

func (c *condition) exprs() (out []expr.Any) {
	meta := map[field]expr.MetaKey{mark: expr.MetaKeyMARK, user: expr.MetaKeySKUID, inInterface: expr.MetaKeyIIFNAME, outInterface: expr.MetaKeyOIFNAME, tcp: expr.MetaKeyL4PROTO}
	is := func(key expr.MetaKey, raw ...byte) {
		out = append(out, &expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: raw})
	}
	switch c.what {
	case tcpPort:
		is(expr.MetaKeyL4PROTO, unix.IPPROTO_TCP)
		out = append(out, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	case address4:
		is(expr.MetaKeyNFPROTO, unix.NFPROTO_IPV4)
		out = append(out, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4})
	case address6:
		is(expr.MetaKeyNFPROTO, unix.NFPROTO_IPV6)
		out = append(out, &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16})
	default:
		is(meta[c.what], c.raw...)
		return out
	}
	if c.mask != nil {
		n := uint32(len(c.mask))
		out = append(out, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: c.mask, Xor: make([]byte, n)})
	}
	return append(out, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: c.raw})
}

// Original is where a connection wanted to go that was led to this process. One that was not led is where it wanted to be.
func Original(c net.Conn) (at netip.AddrPort, err error) {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return at, fmt.Errorf("intercept: %T is no TCP connection", c)
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return at, err
	}
	local := t.LocalAddr().(*net.TCPAddr).AddrPort()
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	var failed error
	if err := raw.Control(func(fd uintptr) { at, failed = original(int(fd), local.Addr().Is6()) }); err != nil {
		return at, err
	}
	if errors.Is(failed, unix.ENOENT) || errors.Is(failed, unix.ENOPROTOOPT) { // nobody led it
		return local, nil
	}
	return at, failed
}

const originalDst = 80 // SO_ORIGINAL_DST, and the same number for IPv6

func original(fd int, six bool) (netip.AddrPort, error) {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	level := unix.IPPROTO_IP
	if six {
		level = unix.IPPROTO_IPV6
	}
	if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), originalDst, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), 0); e != 0 {
		return netip.AddrPort{}, fmt.Errorf("intercept: where a connection wanted to go: %w", e)
	}
	// The port is in network order, whatever this machine's.
	if six {
		x := (*unix.RawSockaddrInet6)(unsafe.Pointer(&sa))
		p := (*[2]byte)(unsafe.Pointer(&x.Port))
		return netip.AddrPortFrom(netip.AddrFrom16(x.Addr), uint16(p[0])<<8|uint16(p[1])), nil
	}
	x := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa))
	p := (*[2]byte)(unsafe.Pointer(&x.Port))
	return netip.AddrPortFrom(netip.AddrFrom4(x.Addr), uint16(p[0])<<8|uint16(p[1])), nil
}

// Marked is for net.Dialer.Control: connections bear the mark. It takes the capability NET_ADMIN or NET_RAW.
func Marked(mark uint32) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var failed error
		if err := c.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }); err != nil {
			return err
		}
		if failed != nil {
			return fmt.Errorf("intercept: a connection cannot be marked (it takes the capability NET_ADMIN): %w", failed)
		}
		return nil
	}
}
