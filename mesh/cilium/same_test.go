// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/gateway/gatewaytest"
)

// unread are changes of which the documents say that they change nothing, where no request to any port tells them.
var unread = []struct{ change, why string }{
	{`delete parentRefs\[\d+\]\.port`, "a route without a port is for all of a Service, which has one"},
	{`swap \d+ and \d+ of (ingress(\[\d+\]\.(fromEndpoints|toPorts(\[\d+\]\.(ports|rules\.http(\[\d+\]\.headerMatches)?))?))?|rules\[\d+\]\.(backendRefs|matches(\[\d+\]\.headers)?))`, "alternatives, and conditions that all have to hold, have no order"},
	{`swap \d+ and \d+ of rules`, "the rank of a match decides, and not its place"},
	{`(delete|empty) rules\[\d+\]\.matches(\[\d+\](\.path(\.value)?)?)?`, "a rule or a match that names nothing takes everything, as the prefix / does"},
	{`delete rules\[\d+\]\.matches\[\d+\]\.(path\.type|headers\[\d+\]\.type)`, "the type that is left out is the one that was said"},
	{`delete rules\[\d+\]\.backendRefs\[\d+\]\.weight`, "a backend without a weight has the weight 1"},
	{`delete ingress\[\d+\]\.fromEndpoints\[\d+\]\.matchLabels\.k8s:io\.kubernetes\.pod\.namespace`, "a selector of callers that names no namespace is of the policy's own"},
}

func same(objs []mesh.Object, o *mesh.Object, change string) string {
	if text, _, ok := strings.Cut(strings.TrimPrefix(change, "write "), " at "); ok && o.Kind == "HTTPRoute" {
		bare, _ := strconv.Unquote(text)
		said, _ := json.Marshal("^" + strings.Trim(bare, "^$") + "$")
		if spec, _ := json.Marshal(o.Spec); strings.Contains(string(spec), string(said)) {
			return "an expression is held against all of a text, with its anchors and without"
		}
	}
	for _, u := range unread {
		if regexp.MustCompile(`^` + u.change + `$`).MatchString(change) {
			return u.why
		}
	}
	closed := slices.ContainsFunc(objs, func(x mesh.Object) bool { return x.Kind == kindCluster })
	rules := gatewaytest.Read(o).At("spec", "ingress").List()
	if closed && o.Kind == kindPolicy && len(rules) == 1 && rules[0].At("fromEndpoints").V == nil {
		return "a policy that permits nothing, where the mesh is closed"
	}
	return ""
}
