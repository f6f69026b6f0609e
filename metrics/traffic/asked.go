// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/anymesh/anymesh/metrics"
)

// The bounds of a window. What is asked for beyond them is refused, since an answer for another time would look like the one asked for.
const shortest, longest = time.Second, 31 * 24 * time.Hour

// Asked is what the query parameters of a URL say.
type Asked struct {
	Window time.Duration // window, or t as smi-metrics had it
	Unit   Unit          // unit
	Peer   metrics.Kind  // edge-kind: what the other side of an edge is; the zero value: the same kind
}

// Parameters reads them. What they do not say is SMI's default. An error says which is wrong and what to write.
func Parameters(v url.Values) (a Asked, err error) {
	a = Asked{metrics.DefaultWindow, Milliseconds, metrics.Kind{}}
	if w := cmp.Or(v.Get("window"), v.Get("t")); w != "" {
		if a.Window, err = time.ParseDuration(w); err != nil {
			return a, fmt.Errorf("window=%s: write a duration such as 30s or 5m", w)
		}
		if a.Window < shortest || a.Window > longest {
			return a, fmt.Errorf("window=%s: it may be from %s to %s", w, shortest, longest)
		}
	}
	switch u := v.Get("unit"); u {
	case "", "ms":
	case "s", "seconds":
		a.Unit = Seconds
	default:
		return a, fmt.Errorf("unit=%s: ms or s", u)
	}
	if k := v.Get("edge-kind"); k != "" {
		var ok bool
		if a.Peer, ok = metrics.KindOf(strings.ToLower(k)); !ok {
			var all []string
			for _, k := range metrics.Kinds() {
				all = append(all, k.Plural)
			}
			return a, fmt.Errorf("edge-kind=%s: no such kind; there are %s", k, strings.Join(all, ", "))
		}
	}
	return a, nil
}
