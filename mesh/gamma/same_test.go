// SPDX-License-Identifier: Apache-2.0

package gamma

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh"
)

// unread are changes of which the Gateway API's reference says that they change nothing, where no request to any port tells them.
var unread = []struct{ change, why string }{
	{`swap \d+ and \d+ of rules\[\d+\]\.(backendRefs|matches|matches\[\d+\]\.headers)`, "shares, alternatives and conditions have no order"},
	{`delete parentRefs\[\d+\]\.port`, "a route without a port is for all of a Service, which has one"},
}

// routed is what changes are looked up in.
type routed struct {
	ParentRefs []struct{ Name string }
	Rules      []struct {
		Matches []struct {
			Path            *struct{ Type, Value string }
			Method          string
			Headers         []any
			QueryParameters []any
		}
		BackendRefs []struct {
			Name   string
			Weight *int
		}
	}
}

var backend = regexp.MustCompile(`rules\[(\d+)\]\.backendRefs\[(\d+)\]`)

func same(_ []mesh.Object, o *mesh.Object, change string) string {
	for _, u := range unread {
		if regexp.MustCompile(`^` + u.change + `$`).MatchString(change) {
			return u.why
		}
	}
	text, err := json.Marshal(o.Spec)
	if err != nil {
		panic(err)
	}
	var r routed
	if err := json.Unmarshal(text, &r); err != nil {
		panic(err)
	}
	if at := backend.FindStringSubmatch(change); at != nil {
		i, _ := strconv.Atoi(at[1])
		k, _ := strconv.Atoi(at[2])
		return r.weightless(i, k, change)
	}
	if what, _, ok := strings.Cut(strings.TrimPrefix(change, "write "), " at "); ok {
		bare, _ := strconv.Unquote(what)
		if said, _ := json.Marshal("^" + strings.Trim(bare, "^$") + "$"); strings.Contains(string(text), string(said)) {
			return "an expression is held against all of a text, with its anchors and without"
		}
	}
	if change == "drop" || change == "delete parentRefs[0]" {
		return r.plain()
	}
	var i int
	if n, _ := fmt.Sscanf(change, "delete rules[%d].matches[0]", &i); n == 1 && strings.HasSuffix(change, ".matches[0]") && len(r.Rules[i].Matches) == 1 {
		if m := r.Rules[i].Matches[0]; m.Method == "" && len(m.Headers) == 0 && m.Path != nil && m.Path.Type == "PathPrefix" && m.Path.Value == "/" {
			return "a rule without matches takes everything, as the prefix / does"
		}
	}
	return ""
}

// weightless says that a change is of a backend which gets nothing, or of the weight of one that gets everything.
func (r *routed) weightless(i, k int, change string) string {
	list := r.Rules[i].BackendRefs
	others := 0
	for n, b := range list {
		if n != k && (b.Weight == nil || *b.Weight > 0) {
			others++
		}
	}
	w := list[k].Weight
	switch {
	case w != nil && *w == 0 && !strings.HasSuffix(change, ".weight"):
		return "a backend of the weight 0 gets nothing"
	case others == 0 && (w == nil || *w > 0) && strings.HasSuffix(change, ".weight"):
		return "a backend beside which none has a weight gets everything, whatever its own"
	}
	return ""
}

// plain says that a route leads to the Service itself, as requests do without it.
func (r *routed) plain() string {
	for _, rule := range r.Rules {
		for _, b := range rule.BackendRefs {
			if b.Name != r.ParentRefs[0].Name && (b.Weight == nil || *b.Weight > 0) {
				return ""
			}
		}
	}
	return "a route that leads to the Service itself, as requests go without it"
}
