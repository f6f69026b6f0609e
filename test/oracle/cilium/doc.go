// SPDX-License-Identifier: Apache-2.0

// Package oracle has Cilium judge what is written for it: its schemas and its own checks take every policy, and its own policy code
// says who reaches what. What the kernel and Envoy do of that is worked out here from what the code makes for them.
//
// It is a module of its own, since Cilium's dependencies are older than ours.
package oracle
