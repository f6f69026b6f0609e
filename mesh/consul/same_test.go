// SPDX-License-Identifier: Apache-2.0

package consul

import (
	"regexp"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which Consul's reference of configuration entries says that they change nothing, where no request to any port tells them.
var unread = []struct{ change, why string }{
	{`swap \d+ and \d+ of sources`, "the precedence of names decides among sources, and not their place"},
	{`swap \d+ and \d+ of (sources\[\d+\]\.permissions|routes)\[\d+\]\.(http|match\.http)\.methods`, "alternatives have no order"},
	{`swap \d+ and \d+ of (sources\[\d+\]\.permissions|routes)\[\d+\]\.(http|match\.http)\.header`, "conditions that all have to be met have no order"},
	{`swap \d+ and \d+ of splits`, "shares have no order"},
}

func same(objs []mesh.Object, o *mesh.Object, change string) string {
	for _, u := range unread {
		if regexp.MustCompile(`^` + u.change + `$`).MatchString(change) {
			return u.why
		}
	}
	all := read(objs)
	if own := entry(all, o.Kind, o.Name.Namespace, o.Name.Name); o.Kind == "ServiceIntentions" && refusesAll(own) && own.at("destination").at("name").text() != "*" {
		for _, x := range all {
			if x.kind == o.Kind && x.spec.at("destination").at("name").text() == "*" && refusesAll(x.spec) {
				return "an intention that refuses everybody, where that of the wildcard does"
			}
		}
	}
	return ""
}

// refusesAll says whether an intention does nothing but refuse everybody.
func refusesAll(spec tree) bool {
	sources := spec.at("sources").list()
	return len(sources) == 1 && sources[0].at("name").text() == "*" && sources[0].at("action").text() == "deny"
}
