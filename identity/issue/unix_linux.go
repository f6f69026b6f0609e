// SPDX-License-Identifier: Apache-2.0

package issue

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerOf asks the kernel who connected.
func peerOf(c *net.UnixConn) (u User, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return u, err
	}
	var cred *unix.Ucred
	var failed error
	if err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return u, err
	}
	if failed != nil {
		return u, failed
	}
	return User{cred.Uid, cred.Gid}, nil
}
