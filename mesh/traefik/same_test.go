// SPDX-License-Identifier: Apache-2.0

package traefik

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which Traefik Mesh's sources say that they change nothing, where no request to any port tells them.
var unread = []struct{ kind, change, why string }{
	{"TrafficTarget", `write "ServiceAccountx" at (destination|sources\[\d+\])\.kind`, "nobody looks at the kind of a subject"},
	{"TrafficTarget", `delete (destination|sources\[\d+\])\.namespace`, "a subject without a namespace is of the permission's own"},
	{"TrafficTarget", `swap \d+ and \d+ of (rules|sources|rules\[\d+\]\.matches)`, "rules, callers and matches are sets"},
	{"HTTPRouteGroup", `swap \d+ and \d+ of matches(\[\d+\]\.(methods|headers))?`, "matches and methods are sets, and all headers have to be met"},
	{"TrafficSplit", `swap \d+ and \d+ of (backends|matches)`, "shares and groups have no order"},
}

func same(objs []mesh.Object, o *mesh.Object, change string) string {
	for _, u := range unread {
		if u.kind == o.Kind && regexp.MustCompile(`^`+u.change+`$`).MatchString(change) {
			return u.why
		}
	}
	if strings.HasSuffix(o.Name.Name, ".nobody") { // one that lets somebody in, requests tell
		return "a permission for nobody: with acl: true what no permission names is refused"
	}
	var j judge
	all := j.objects(objs)
	own := find(all, o.Kind, o.Name.Namespace, o.Name.Name)
	var i int
	switch {
	case o.Kind == "TrafficSplit" && len(own.split.Backends) == 1 && strings.HasPrefix(change, "write ") && strings.HasSuffix(change, ".weight"):
		return "one backend gets everything, whatever its weight"
	case o.Kind == "TrafficTarget" && regexp.MustCompile(`^delete rules\[\d+\]\.matches(\[0\])?$`).MatchString(change):
		fmt.Sscanf(change, "delete rules[%d]", &i)
		rule := own.target.Rules[i]
		if g := find(all, rule.Kind, o.Name.Namespace, rule.Name); len(rule.Matches) == 1 && g != nil && len(g.group.Matches) == 1 {
			return "a rule that names no match is for all of a group, which has one"
		}
	case o.Kind == "TrafficTarget" && (change == "delete rules" || change == "delete rules[0]") && len(own.target.Rules) == 1 && anything(find(all, own.target.Rules[0].Kind, o.Name.Namespace, own.target.Rules[0].Name)):
		return "a permission without rules is for any request, as one with a group without conditions is"
	case o.Kind == "TrafficSplit" && change == "delete matches[0]" && len(own.split.Matches) == 1 && anything(find(all, "HTTPRouteGroup", o.Name.Namespace, own.split.Matches[0].Name)):
		return "a split without groups is for any request, as one with a group without conditions is"
	case o.Kind == "HTTPRouteGroup" && regexp.MustCompile(`^write ".*\.\*\)+(\$\*)?" at matches\[\d+\]\.pathRegex$`).MatchString(change):
		return "an expression that ends with .* takes the rest of a path, with its end and without"
	}
	return ""
}

// anything says whether a group is of matches without conditions alone.
func anything(g *traefikObject) bool {
	if g == nil || g.Kind != "HTTPRouteGroup" {
		return false
	}
	r, ok := ruleOf(g.group.Matches)
	return ok && r.any
}
