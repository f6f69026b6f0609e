// SPDX-License-Identifier: Apache-2.0

package kuma

import (
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which Kuma's policy reference says that they change nothing, where no request to any port tells them.
var unread = []struct{ change, why string }{
	{`delete targetRef\.labels\.k8s\.kuma\.io/namespace`, "a policy of a namespace selects there alone"},
	{`delete to\[\d+\]\.rules\[\d+\]\.matches\[\d+\]\.headers\[\d+\]\.type`, "the type that is left out is the one that was said"},
	{`swap \d+ and \d+ of (to|rules|.*\.backendRefs|.*\.(allow|deny)|.*\.headers)`, "what is for another port, shares, callers and conditions have no order"},
}

func same(objs []mesh.Object, o *mesh.Object, change string) string {
	for _, u := range unread {
		if regexp.MustCompile(`^` + u.change + `$`).MatchString(change) {
			return u.why
		}
	}
	// Somebody of whom no permission speaks is refused where all are.
	closed := slices.ContainsFunc(read(objs), func(n native) bool {
		return n.spec.at("targetRef").at("kind").text() == "Mesh" && refuses(n.spec) || strings.HasPrefix(n.name, "identity.bystander")
	})
	if own := read([]mesh.Object{*o})[0]; o.Kind == "MeshTrafficPermission" && closed && refuses(own.spec) {
		return "a permission of nobody, where the mesh permits nobody"
	}
	return ""
}

// refuses says whether a policy does nothing but refuse everybody.
func refuses(spec tree) bool {
	if from := spec.at("from").list(); len(from) == 1 && !spec.at("rules").set() {
		return from[0].at("default").at("action").text() == "Deny"
	}
	rules := spec.at("rules").list()
	return len(rules) == 1 && !rules[0].at("default").at("allow").set() && len(rules[0].at("default").at("deny").list()) == 1
}
