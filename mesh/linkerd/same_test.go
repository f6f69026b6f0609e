// SPDX-License-Identifier: Apache-2.0

package linkerd

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which Linkerd's reference pages say that they change nothing, where no request to any port tells them.
var unread = []struct{ change, why string }{
	{`delete proxyProtocol`, "a Server without a protocol detects it, as one of the protocol unknown does"},
	{`delete parentRefs\[\d+\]\.port`, "a route without a port is for all of a Service, which has one"},
	{`delete (identityRefs|requiredAuthenticationRefs)\[\d+\]\.namespace`, "a reference without a namespace is to its own"},
	{`swap \d+ and \d+ of (identityRefs|identities|networks|requiredAuthenticationRefs|rules(\[\d+\]\.matches(\[\d+\]\.headers)?|\[\d+\]\.backendRefs)?)`, "the rank of a match decides, and not its place"},
	{`(delete|empty) rules\[\d+\]\.matches(\[\d+\](\.path(\.value)?)?)?`, "a rule or a match that names nothing takes everything, as the prefix / does"},
	{`delete rules\[\d+\]\.backendRefs(\[0\])?`, "a rule without backends leads to the Service itself"},
	{`delete rules\[\d+\]\.matches\[\d+\]\.(path\.type|headers\[\d+\]\.type)`, "the type that is left out is the one that was said"},
}

func same(_ []mesh.Object, o *mesh.Object, change string) string {
	if text, _, ok := strings.Cut(strings.TrimPrefix(change, "write "), " at "); ok && o.Kind == kindHTTPRoute {
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
	return ""
}
