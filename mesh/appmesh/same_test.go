// SPDX-License-Identifier: Apache-2.0

package appmesh

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which App Mesh's user guide and its API say that they change nothing, where no request to any port tells them.
var unread = []struct{ kind, change, why string }{
	{"VirtualNode", `(delete|write .* at) awsName`, "a node is referred to by its name in Kubernetes, and no other has the one in AWS"},
	{"VirtualNode", `swap \d+ and \d+ of (listeners|.*\.match\.exact)`, "listeners and accepted names have no order"},
	{"VirtualRouter", `swap \d+ and \d+ of (listeners|routes|.*\.weightedTargets|.*\.headers)`, "the priority of a route decides, and not its place; listeners, shares and conditions have no order"},
	{"VirtualRouter", `(delete|write .* at) routes\[\d+\]\.name`, "the name of a route is for logs"},
}

var place = regexp.MustCompile(`^(.*) (routes|listeners)\[(\d+)\]\.(.*)$`)

func same(objs []mesh.Object, o *mesh.Object, change string) string {
	for _, u := range unread {
		if u.kind == o.Kind && regexp.MustCompile(`^`+u.change+`$`).MatchString(change) {
			return u.why
		}
	}
	at := place.FindStringSubmatch(change)
	if at == nil {
		return ""
	}
	var i int
	fmt.Sscan(at[3], &i)
	one := []mesh.Object{*o}
	switch o.Kind {
	case "VirtualRouter":
		return strictly[judgedRouter](one, o.Kind)[0].spec.same(i, at[1], at[4], strictly[judgedNode](objs, "VirtualNode"), o.Name.Namespace)
	case "VirtualNode":
		n := strictly[judgedNode](one, o.Kind)[0].spec
		if t := n.Listeners[i].TLS; t != nil && strings.HasPrefix(at[4], "tls.") && strings.HasPrefix(at[1], "write") && t.nobody() {
			return "a listener that lets nobody in, whatever its certificate, its trust or the name that nobody has"
		}
	}
	return ""
}

// nobody says whether the only name that a listener accepts is one that is given to nobody.
func (t *judgedTLS) nobody() bool {
	names := t.Validation.SubjectAlternativeNames.Match.Exact
	return t.Mode == "STRICT" && len(names) == 1 && strings.HasSuffix(names[0], "/anymesh/nobody")
}

func (r *judgedRouter) same(i int, what, field string, nodes []judged[judgedNode], ns string) string {
	port := func(x *judgedRoute) uint16 {
		for _, h := range []*judgedHTTP{x.HTTPRoute, x.HTTP2Route} {
			if h != nil {
				return h.Match.Port
			}
		}
		return x.TCPRoute.Match.Port
	}
	targets := func(x *judgedRoute) *judgedAction {
		for _, h := range []*judgedHTTP{x.HTTPRoute, x.HTTP2Route} {
			if h != nil {
				return &h.Action
			}
		}
		return &x.TCPRoute.Action
	}
	beside := 0
	for k := range r.Routes {
		if port(&r.Routes[k]) == port(&r.Routes[i]) {
			beside++
		}
	}
	action := targets(&r.Routes[i])
	switch {
	case strings.HasSuffix(field, "priority") && beside == 1:
		return "a priority where a port has one route"
	case strings.HasSuffix(field, "match.port") && len(r.Listeners) == 1 && what == "delete":
		return "a route without a port is for all of a router, which has one"
	case strings.HasSuffix(field, ".weight") && len(action.WeightedTargets) == 1 && strings.HasPrefix(what, "write"):
		return "one target takes all, whatever its weight"
	case strings.HasSuffix(field, "].port") && what == "delete":
		for _, t := range action.WeightedTargets {
			if n := find(nodes, ns, t.VirtualNodeRef); n == nil || len(n.Listeners) != 1 {
				return ""
			}
		}
		return "a target without a port is of the only port of its node"
	}
	return ""
}
