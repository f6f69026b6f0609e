// SPDX-License-Identifier: Apache-2.0

// Package attest proves who a pod is by the token that its kubelet has put beside it.
package attest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/identity/issue"
)

// Tokens is an issue.Attestor: a proof is a service account token, made for the mesh and bound to a pod, and the API server says whose it is.
type Tokens struct {
	Client   kubernetes.Interface
	Domain   spiffeid.TrustDomain
	Audience string // whom tokens must be made for; empty: issue.Audience
}

const (
	account = "system:serviceaccount:"
	// boundPod is where the API server says which pod a token is bound to. It refuses a token whose pod is gone.
	boundPod = "authentication.kubernetes.io/pod-name"
)

// Attest implements issue.Attestor.
func (a Tokens) Attest(ctx context.Context, e issue.Evidence) (spiffeid.ID, error) {
	if len(e.Proof) == 0 {
		return spiffeid.ID{}, errors.New("no service account token was shown")
	}
	audience := a.Audience
	if audience == "" {
		audience = issue.Audience
	}
	r, err := a.Client.AuthenticationV1().TokenReviews().Create(ctx, &authv1.TokenReview{
		Spec: authv1.TokenReviewSpec{Token: string(e.Proof), Audiences: []string{audience}}}, metav1.CreateOptions{})
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("%w: the API server: %v", issue.ErrAway, err)
	}
	st := &r.Status
	switch {
	case !st.Authenticated:
		return spiffeid.ID{}, fmt.Errorf("the API server does not know the token, or not for the audience %q: %s", audience, st.Error)
	case !slices.Contains(st.Audiences, audience):
		return spiffeid.ID{}, fmt.Errorf("the token is for %v, not for %q", st.Audiences, audience)
	case len(st.User.Extra[boundPod]) != 1:
		return spiffeid.ID{}, errors.New("the token is not bound to a pod: it lives longer than who shows it. Use a projected token")
	}
	namespace, name, ok := strings.Cut(strings.TrimPrefix(st.User.Username, account), ":")
	if !ok || !strings.HasPrefix(st.User.Username, account) {
		return spiffeid.ID{}, fmt.Errorf("the token is of %s, which is no service account", st.User.Username)
	}
	return identity.ID(a.Domain.Name(), namespace, name)
}
