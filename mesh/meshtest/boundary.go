// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"maps"
	"math/rand/v2"
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

// around is a request that meets a match, more of them where an expression has alternatives, and those beside it.
func (v *vocabulary) around(r *rand.Rand, m *model.Match) (out []form) {
	meets := form{"GET", "/", map[string][]string{}, 0, "", false}
	if len(m.Methods) > 0 && m.Methods[0] != "*" {
		meets.method = m.Methods[0]
	}
	hosts := 0
	for _, h := range m.Headers {
		if h.Authority() {
			hosts = 3
			meets.host = covered(r, h.Value, "other")
		} else {
			meets.headers[h.Name] = []string{covered(r, h.Value, "other")}
		}
	}
	with := func(path string, meets form) {
		f := meets
		if f.path = path; !strings.HasPrefix(path, "/") {
			f.path = "/" + path
		}
		out = append(out, f)
	}
	for range 3 {
		p := "/"
		if m.Path != "" {
			p = covered(r, m.Path, m.Path)
		}
		meets.path, meets.meets, meets.headers = p, true, maps.Clone(meets.headers)
		for _, h := range m.Headers {
			if !h.Authority() {
				meets.headers[h.Name] = []string{covered(r, h.Value, "other")}
			}
		}
		with(p, meets)
	}
	p := meets.path
	meets.meets = false
	for _, near := range []string{p + "x", p + "/x", "/x" + p, p[:max(0, len(p)-1)], strings.ToUpper(p), p + "?q=x", p + "*"} {
		with(near, meets)
	}
	if !strings.HasPrefix(p, "/") {
		meets.path = "/" + p
	}
	for n := range hosts {
		f := meets
		f.labels, f.host = n+1, ""
		out = append(out, f)
	}
	if hosts > 0 {
		f := meets
		f.host += "x"
		out = append(out, f)
		f.host = ""
		out = append(out, f)
	}
	for _, method := range append(slices.Clone(m.Methods), "GET", "POST", meets.method+"X") {
		if method != meets.method && method != "*" {
			f := meets
			f.method = method
			out = append(out, f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(meets.headers)) {
		had := meets.headers[name][0]
		for _, value := range []string{had + "x", "x" + had, "other", ""} {
			f := meets
			f.headers = maps.Clone(meets.headers)
			if f.headers[name] = []string{value}; value == "" {
				delete(f.headers, name)
			}
			out = append(out, f)
		}
	}
	return out
}
