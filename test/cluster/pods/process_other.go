// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package pods

import "syscall"

// attributes make a process a group with its children.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
