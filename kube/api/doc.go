// SPDX-License-Identifier: Apache-2.0

// Package api holds what anymesh itself says in a cluster: the kind Mesh, and the status that it writes on SMI's objects. SMI has no
// status of its own.
package api
