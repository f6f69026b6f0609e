// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// service turns the authority that a client wrote into the name of a service port, as a pod's DNS search path would:
// a bare name is of the proxy's own namespace, then come svc.namespace, svc.namespace.svc, and the full name. Other
// names are taken as they are, for meshes that route foreign hosts.
func (n Node) service(authority string) (string, error) {
	host, port := authority, "80"
	if h, p, err := net.SplitHostPort(authority); err == nil {
		host, port = h, p
	}
	if i, err := strconv.ParseUint(port, 10, 16); err != nil || i == 0 {
		return "", fmt.Errorf("%q has no valid port", authority)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch _, err := netip.ParseAddr(strings.Trim(host, "[]")); {
	case host == "":
		return "", errors.New("the request names no host")
	case err == nil:
		return "", fmt.Errorf("%q is an address: the mesh routes by service name", host)
	case strings.ContainsAny(host, "/@:[] *"):
		return "", fmt.Errorf("%q is not a host name", host)
	}
	switch strings.Count(host, ".") {
	case 0:
		host += "." + n.Namespace + ".svc." + n.ClusterDomain
	case 1:
		host += ".svc." + n.ClusterDomain
	case 2:
		if strings.HasSuffix(host, ".svc") {
			host += "." + n.ClusterDomain
		}
	}
	return host + ":" + port, nil
}
