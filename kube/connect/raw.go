// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"net/http"
	"net/url"

	"k8s.io/client-go/rest"
)

// Raw is the address of the API server, and what carries requests there as the one whom the kubeconfig says.
func (c *Cluster) Raw() (*url.URL, http.RoundTripper, error) {
	base, _, err := rest.DefaultServerUrlFor(c.Config)
	if err != nil {
		return nil, nil, err
	}
	trip, err := rest.TransportFor(c.Config)
	return base, trip, err
}
