// SPDX-License-Identifier: Apache-2.0

package osm

import (
	"regexp"
	"strings"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which OSM's sources say that they change nothing, where no request to any port tells them.
var unread = []struct{ kind, change, why string }{
	{"TrafficTarget", `swap \d+ and \d+ of (rules|sources|rules\[\d+\]\.matches)`, "rules, callers and matches are sets"},
	{"TCPRoute", `swap \d+ and \d+ of matches\.ports`, "ports are a set"},
	{"HTTPRouteGroup", `swap \d+ and \d+ of matches(\[\d+\]\.methods)?`, "matches and methods are sets"},
	{"TrafficSplit", `swap \d+ and \d+ of backends`, "shares have no order"},
}

func same(objs []mesh.Object, o *mesh.Object, change string) string {
	for _, u := range unread {
		if u.kind == o.Kind && regexp.MustCompile(`^`+u.change+`$`).MatchString(change) {
			return u.why
		}
	}
	if strings.HasSuffix(o.Name.Name, ".nobody") { // of all ports that carry bytes, requests tell
		return "a permission for nobody, to a port for requests: OSM refuses there what no route of a permission takes"
	}
	return one(o, change)
}

// one says that a split has one backend, which gets everything whatever its weight.
func one(o *mesh.Object, change string) string {
	var j judge
	all := j.objects([]mesh.Object{*o})
	if o.Kind == "TrafficSplit" && len(all) == 1 && len(all[0].split.Backends) == 1 && strings.HasPrefix(change, "write ") && strings.HasSuffix(change, ".weight") {
		return "one backend gets everything, whatever its weight"
	}
	return ""
}
