// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"regexp"
	"slices"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which Istio's reference pages say that they change nothing, where no request to any port tells them.
var unread = []struct{ change, why string }{
	{`(delete|write .* at) (http|tcp|tls)\[\d+\]\.name`, "the name of a route is for logs"},
	{`delete action`, "a policy without an action allows"},
	{`(delete|empty) (http|tcp|tls)\[\d+\]\.route\[\d+\]\.destination\.port(\.number)?`, "a destination without a port is of the port that was asked"},
	{`(delete|empty) http\[\d+\]\.match(\[\d+\](\.port)?)?`, "a match of a port says nothing where a Service has one port for requests"},
	{`swap \d+ and \d+ of ((http|tcp|tls)\[\d+\]\.(match|route)|rules.*)`, "alternatives have no order"},
	{`(delete|empty) rules\[\d+\]\.to(\[\d+\](\.operation)?)?`, "an operation that names nothing is any"},
}

func same(objs []mesh.Object, o *mesh.Object, change string) string {
	for _, u := range unread {
		if regexp.MustCompile(`^` + u.change + `$`).MatchString(change) {
			return u.why
		}
	}
	closed := slices.ContainsFunc(objs, func(x mesh.Object) bool { return x.Kind == "AuthorizationPolicy" && x.Name.Namespace == "istio-system" })
	if text := read([]mesh.Object{*o})[0]; closed && o.Kind == "AuthorizationPolicy" && o.Name.Namespace != "istio-system" && len(text.spec.at("rules").list()) == 0 {
		return "a policy that permits nothing, where the mesh is closed"
	}
	return ""
}
