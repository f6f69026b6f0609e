// SPDX-License-Identifier: Apache-2.0

package wire

import "golang.org/x/sys/unix"

func poll(fd int32) (came, ended bool) {
	f := []unix.PollFd{{Fd: fd, Events: unix.POLLIN | unix.POLLRDHUP}}
	if n, err := unix.Poll(f, 0); n <= 0 || err != nil {
		return false, false
	}
	return f[0].Revents&unix.POLLIN != 0, f[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
}
