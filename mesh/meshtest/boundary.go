// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// edges are requests at the boundaries of what a world speaks of: for each match one that meets it, and those that miss it by one
// condition, from each caller to each port; at most as many as asked for, spread over all of them.
func (v *vocabulary) edges(r *rand.Rand, most int) []*model.Request {
	var raws, out []*model.Request
	forms := v.forms(r)
	for _, svc := range v.services {
		for _, p := range svc.Ports {
			for _, c := range v.callers {
				q := model.Request{From: c.Identity, SPIFFE: c.spiffe, Service: svc.Name, Port: p.Number, Host: v.domain.Host(svc.Name)}
				raw := q
				if raw.Layer = model.LayerStream; p.Protocol == model.UDP {
					raw.Layer = model.LayerDatagram
				}
				raws = append(raws, &raw)
				if !p.Protocol.CarriesHTTP() {
					continue
				}
				for _, f := range forms {
					if !f.meets && (c.odd || svc.Selector[bystander] != "") {
						continue // who is refused all is refused what lies beside it
					}
					q := q
					q.Method, q.Path, q.Headers = f.method, f.path, f.headers
					if f.labels > 0 {
						q.Host = strings.Join(strings.SplitN(q.Host, ".", 4)[:f.labels], ".")
					} else if f.host != "" {
						q.Host = f.host
					}
					out = append(out, &q)
				}
			}
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return append(raws[:min(most, len(raws))], out[:min(most, len(out))]...)
}

// form is what a request says beside who asks whom.
type form struct {
	method, path string
	headers      map[string][]string
	labels       int    // of the host's name that are said; 0: all
	host         string // another than the Service's
	meets        bool   // a match, as far as that can be told
}

func (v *vocabulary) forms(r *rand.Rand) []form {
	out := []form{{"GET", "/", nil, 0, "", true}, {"POST", "/nothing/speaks/of", nil, 0, "", true}}
	for i := range v.matches {
		out = append(out, v.around(r, &v.matches[i])...)
	}
	return out
}

// around is a request that meets a match, drawn anew where an expression has alternatives, and those beside the last of them.
func (v *vocabulary) around(r *rand.Rand, m *model.Match) (out []form) {
	for range 3 {
		out = append(out, meeting(r, m))
	}
	f := out[len(out)-1]
	f.meets = false
	for _, p := range []string{f.path + "x", f.path + "/x", "/x" + f.path, "/" + f.path[1:max(1, len(f.path)-1)], strings.ToUpper(f.path), f.path + "?q=x", f.path + "*"} {
		g := f
		g.path = p
		out = append(out, g)
	}
	for _, method := range append(slices.Clone(m.Methods), "GET", "POST", f.method+"X") {
		if g := f; method != f.method && method != "*" {
			g.method = method
			out = append(out, g)
		}
	}
	return append(append(out, f.hosts()...), f.besideHeaders()...)
}

// meeting is a request that meets a match, as far as an expression can be drawn from.
func meeting(r *rand.Rand, m *model.Match) form {
	f := form{method: "GET", path: "/", headers: map[string][]string{}, meets: true}
	if len(m.Methods) > 0 && m.Methods[0] != "*" {
		f.method = m.Methods[0]
	}
	if m.Path != "" {
		if f.path = covered(r, m.Path, m.Path); !strings.HasPrefix(f.path, "/") {
			f.path = "/" + f.path
		}
	}
	for _, h := range m.Headers {
		if h.Authority() {
			f.host = covered(r, h.Value, "other")
		} else {
			f.headers[h.Name] = []string{meetingAll(r, h, m.Headers)}
		}
	}
	return f
}

// meetingAll is a value that meets a condition, and the others that name the same header where chance has one.
func meetingAll(r *rand.Rand, h model.Header, all []model.Header) (value string) {
	for i := range 20 {
		value = covered(r, h.Value, "other")
		met := true
		for _, o := range all {
			if strings.EqualFold(o.Name, h.Name) && o.Value != h.Value {
				if i%2 == 1 {
					value += covered(r, o.Value, "other")
				}
				met = met && whole(o.Value, value)
			}
		}
		if met && whole(h.Value, value) {
			break
		}
	}
	return value
}

func whole(expression, text string) bool {
	re, err := regexp.Compile(`\A(?:` + expression + `)\z`)
	return err == nil && re.MatchString(text)
}

// hosts are the same request by each name of the Service, and by another host; none where no host was asked for.
func (f form) hosts() (out []form) {
	if f.host == "" {
		return nil
	}
	other := f
	other.host += "x"
	for n := range 4 {
		f.labels, f.host = n, ""
		out = append(out, f)
	}
	return append(out, other)
}

// besideHeaders are the same request with one header changed or left out.
func (f form) besideHeaders() (out []form) {
	for _, name := range slices.Sorted(maps.Keys(f.headers)) {
		had := f.headers[name][0]
		for _, value := range []string{had + "x", "x" + had, "other", ""} {
			g := f
			g.headers = maps.Clone(f.headers)
			if g.headers[name] = []string{value}; value == "" {
				delete(g.headers, name)
			}
			out = append(out, g)
		}
	}
	return out
}
