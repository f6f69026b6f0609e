// SPDX-License-Identifier: Apache-2.0

// Package issue is the certificate service of the built-in mesh: a Server beside the CA, and a Client beside a workload.
//
// A workload makes its key, which never leaves it, and sends a certificate request with a proof of who it is. What a proof is worth is an
// Attestor's to say: a Kubernetes token, a join token, the key of the last certificate, the user at the other end of a Unix socket. The server
// signs for whom the attestor named and for nobody else, whatever the request says; who asks too often waits, and everything that was signed
// or refused is in the log. The client is an identity.Authority, so that a Source keeps its SVID fresh, and follows the trust bundles, so that
// a new root is known before anything is signed by it.
package issue
