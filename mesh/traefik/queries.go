// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"regexp"
	"strings"
	"time"

	"github.com/anymesh/anymesh/mesh"
)

// queries are Traefik's metrics, which know the Service that is called and nothing of who calls: a proxy serves all pods of its node.
var queries = &mesh.Queries{
	Shapes: []mesh.Shape{{
		Name: "Traefik's services",
		Views: []mesh.View{{
			Side:     mesh.ServerSide,
			Requests: "traefik_service_requests_total",
			Failure:  []mesh.Matcher{mesh.HTTPFailure("code")},
			Latency:  "traefik_service_request_duration_seconds", Unit: time.Second,
			Server: []mesh.Name{{Kind: "Service", Composed: service}},
			Splits: &mesh.Splits{Label: "service", Build: func(namespace, split, root, backend string) string {
				return regexp.QuoteMeta(namespace+"-"+root+"-"+split+"-") + "[0-9]+-" + regexp.QuoteMeta(backend) + splitEnd + "(@.*)?"
			}},
		}},
	}},
	Notes: []string{
		"the proxies stand on the nodes and do not tell who called, nor which pod answered: there are no edges, and no numbers of pods and nodes",
		"namespace, Service and TrafficTarget are put together with dashes: where two readings of a label fit what exists, its requests are counted for neither",
	},
}

const (
	splitEnd  = "-traffic-split-backend"
	targetEnd = "-traffic-target"
)

// service is the name of a service of Traefik's: namespace-service-port, with -target-port-traffic-target under access control, and
// namespace-root-split-port-backend-traffic-split-backend of a split.
var service = &mesh.Composed{
	Label: "service",
	Parse: func(v string) []mesh.Named {
		v, _, _ = strings.Cut(v, "@")
		if rest, ok := strings.CutSuffix(v, splitEnd); ok {
			return backends(strings.Split(rest, "-"))
		}
		rest, access := strings.CutSuffix(v, targetEnd)
		part := strings.Split(rest, "-")
		if n := len(part) - 1; n < 2 || !number(part[n]) {
			return nil
		} else {
			part = part[:n]
		}
		if access {
			var out []mesh.Named
			for i := 2; i < len(part); i++ { // what is left is the target's
				out = append(out, pairs(part[:i])...)
			}
			return out
		}
		return pairs(part)
	},
	Build: func(n mesh.Named) string {
		ns, name := regexp.QuoteMeta(n.Namespace), regexp.QuoteMeta(n.Name)
		return ns + "-" + name + "-[0-9]+(@.*)?|" + ns + "-" + name + "-.+-[0-9]+" + targetEnd + "(@.*)?|" + ns + "-.+-[0-9]+-" + name + splitEnd + "(@.*)?"
	},
	Any: ".+-[0-9]+(-.+)?(@.*)?",
}

// pairs are all ways to part a namespace from a name.
func pairs(part []string) (out []mesh.Named) {
	for i := 1; i < len(part); i++ {
		out = append(out, mesh.Named{Namespace: strings.Join(part[:i], "-"), Name: strings.Join(part[i:], "-")})
	}
	return out
}

// backends are all ways to read the backend of a split: namespace, root, split, a port, and the backend's own name.
func backends(part []string) (out []mesh.Named) {
	for p := 3; p < len(part)-1; p++ {
		if !number(part[p]) {
			continue
		}
		for i := 1; i <= p-2; i++ {
			out = append(out, mesh.Named{Namespace: strings.Join(part[:i], "-"), Name: strings.Join(part[p+1:], "-")})
		}
	}
	return out
}

func number(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
