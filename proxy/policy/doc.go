// SPDX-License-Identifier: Apache-2.0

// Package policy turns what xDS says into decisions.
//
// Envoy resources go in, immutable values come out that answer two questions and nothing else: where does this request
// go ([Routes.Route], [Listener.TCP]) and may this peer do that ([Inbound.Admit], [Inbound.AdmitTCP]). Codecs ask, they
// never decide; so a faster codec cannot change what is allowed.
//
// The package reads exactly the shapes that the mesh's contract names. A field outside of them that is set is an error,
// never ignored: a condition that we skipped would be a permission that nobody gave. The caller answers such an error
// with a NACK and keeps the last good value.
package policy
