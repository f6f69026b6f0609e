// SPDX-License-Identifier: Apache-2.0

package issue

import (
	"context"
	"errors"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// The attestors that this project has, by the names that they go by on the wire.
const (
	Kubernetes = "kubernetes" // the proof is a service account token for the audience Audience
	Join       = "join"       // a join token
	Renew      = "renew"      // a signature by the key of the last certificate
	Unix       = "unix"       // empty: the user at the other end of the socket
)

// Audience is whom a service account token must be made for, so that one made for somebody else proves nothing here.
const Audience = "anymesh"

// Evidence is what a workload shows.
type Evidence struct {
	Proof []byte
	CSR   []byte // the request that the proof comes with, DER; its signature has been checked
	User  *User  // at the other end of a Unix socket; nil over TCP
}

// Attestor judges one kind of evidence. It may be called concurrently.
type Attestor interface {
	// Attest says whose the evidence is. An error is a refusal and its text is told to the workload; one that is ErrAway says nothing about
	// the workload, which may come again.
	Attest(ctx context.Context, e Evidence) (spiffeid.ID, error)
}

// ErrAway says that what an attestor needs to decide does not answer.
var ErrAway = errors.New("who judges the proof does not answer")
