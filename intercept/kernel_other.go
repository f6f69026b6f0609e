// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package intercept

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
)

var errLinux = errors.New("intercept: connections are led to a proxy on Linux alone: use HTTP_PROXY")

// Apply works on Linux alone.
func (r *Rules) Apply() error { return errLinux }

// Undo works on Linux alone.
func Undo() error { return errLinux }

// Original works on Linux alone.
func Original(net.Conn) (netip.AddrPort, error) { return netip.AddrPort{}, errLinux }

// Marked works on Linux alone.
func Marked(uint32) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return errLinux }
}
