// SPDX-License-Identifier: Apache-2.0

package pods

import "syscall"

// attributes make a process a group with its children, which dies with us however we do.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
