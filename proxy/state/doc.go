// SPDX-License-Identifier: Apache-2.0

// Package state holds what the control plane has said and brings it into force.
//
// It asks for a service port when the first request names it, then for what that refers to. Something new serves only
// when it can: a listener or its routes take over once every cluster that they name, and that cluster's endpoints, have
// arrived; until then the old ones keep serving. Clusters that nobody names any more are dropped after the switch. Each
// change is one pointer swap, so a request sees either the old or the new, never a mixture.
package state
