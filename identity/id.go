// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// ID is the SPIFFE ID of a service account: spiffe://<trust domain>/ns/<namespace>/sa/<service account>. A name that
// cannot stand in a SPIFFE ID is an error, so that no two accounts can ever share one.
func ID(trustDomain, namespace, serviceAccount string) (spiffeid.ID, error) {
	domain, err := spiffeid.TrustDomainFromString(trustDomain)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("identity of %s/%s: trust domain %q: %w", namespace, serviceAccount, trustDomain, err)
	}
	id, err := spiffeid.FromSegments(domain, "ns", namespace, "sa", serviceAccount)
	if err != nil {
		return spiffeid.ID{}, fmt.Errorf("identity of service account %q in namespace %q: %w", serviceAccount, namespace, err)
	}
	return id, nil
}

// ControlPlane is who the control plane of a trust domain is. No workload is given this name.
func ControlPlane(domain spiffeid.TrustDomain) spiffeid.ID {
	id, err := spiffeid.FromSegments(domain, "ns", "anymesh-system", "sa", "control-plane")
	if err != nil {
		panic("identity: " + err.Error()) // all but the domain is fixed, and a domain that is one fits
	}
	return id
}

// Parse is the inverse of ID: the namespace and the service account that id stands for. An ID of another shape is
// an error.
func Parse(id spiffeid.ID) (namespace, serviceAccount string, err error) {
	parts := strings.Split(id.Path(), "/")
	if len(parts) != 5 || parts[0] != "" || parts[1] != "ns" || parts[3] != "sa" {
		return "", "", fmt.Errorf("%q is not of the form spiffe://<trust domain>/ns/<namespace>/sa/<service account>", id)
	}
	return parts[2], parts[4], nil
}
