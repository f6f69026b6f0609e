// SPDX-License-Identifier: Apache-2.0

// Package identity gives the workloads of the built-in mesh their names and the certificates that prove them.
//
// A name is a SPIFFE ID made of the trust domain, the namespace and the service account (ID, Parse). A CA signs
// short-lived X.509 SVIDs for such names; it publishes its roots as a bundle and replaces a root in three steps without
// a moment in which a handshake could fail: Prepare (everybody learns the new root), Activate (sign with it), Retire
// (forget the old one once nothing signed by it lives). A Source keeps one workload's SVID fresh and is what TLS
// configurations are made from (ServerTLS, ClientTLS). Authority is the seam between the two: the CA is one, and
// another issuer can stand in its place.
package identity
