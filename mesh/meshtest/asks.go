// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// Asks puts the questions of a case, which stand in its comments with the answers that its author expects, to the evaluator:
//
//	# ask: web > catalog:80 GET /api [x-user: beta] = catalog-v1:90 catalog-v2:10
//	# ask: lab/web > db:5432 tcp = refused
//	# ask: web > catalog:80 GET / = catalog-v1:90 !catalog-v2:10
//
// Names without a namespace are of the namespace `shop`. A backend behind an exclamation mark refuses its part; `refused` stands for
// all of them; a backend without a number takes all. A caller `-` has no identity.
func Asks(c *Case) (problems []string) {
	w, _ := c.World()
	for i, l := range strings.Split(string(c.Text), "\n") {
		text, ok := strings.CutPrefix(l, "# ask:")
		if !ok {
			continue
		}
		question, want, ok := cutLast(text, " = ")
		q, err := parseAsk(question)
		if !ok || err != nil {
			problems = append(problems, fmt.Sprintf("case %s line %d is not a question: %v", c.Name, i+1, err))
			continue
		}
		v, err := model.Evaluate(w, q)
		if got, want := answerText(v, err), strings.TrimSpace(want); got != want && !(want == "refused" && v != nil && !v.Allowed && !slices.ContainsFunc(v.Backends, func(o model.Outcome) bool { return o.Allowed })) {
			problems = append(problems, fmt.Sprintf("case %s line %d:%s\n  is %s", c.Name, i+1, text, got))
		}
	}
	return problems
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// named reads a name, of the namespace shop where it says none.
func named(s string) model.Name {
	if ns, n, ok := strings.Cut(s, "/"); ok {
		return model.Name{Namespace: ns, Name: n}
	}
	return model.Name{Namespace: "shop", Name: s}
}

func parseAsk(text string) (*model.Request, error) {
	q := &model.Request{Headers: map[string][]string{}}
	for {
		before, rest, ok := strings.Cut(text, "[")
		if !ok {
			break
		}
		header, after, ok := strings.Cut(rest, "]")
		name, value, ok2 := strings.Cut(header, ": ")
		if !ok || !ok2 {
			return nil, fmt.Errorf("a header is [name: value]")
		}
		text = before + after
		if name == "host" {
			q.Host = value
			continue
		}
		q.Headers[name] = append(q.Headers[name], value)
	}
	f := strings.Fields(text)
	if len(f) < 4 || f[1] != ">" {
		return nil, fmt.Errorf("a question is: caller > service:port METHOD /path, or tcp, or udp")
	}
	if id := named(f[0]); strings.HasPrefix(f[0], "spiffe:") {
		q.SPIFFE = f[0]
	} else if f[0] != "-" {
		q.From = model.Identity{Namespace: id.Namespace, ServiceAccount: id.Name}
	}
	service, port, _ := strings.Cut(f[2], ":")
	q.Service = named(service)
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	q.Port = uint16(n)
	switch {
	case f[3] == "tcp":
		q.Layer = model.LayerStream
	case f[3] == "udp":
		q.Layer = model.LayerDatagram
	case len(f) == 5:
		q.Method, q.Path = f[3], f[4]
	default:
		return nil, fmt.Errorf("a request is METHOD /path")
	}
	return q, nil
}

// answerText writes a verdict as a case does.
func answerText(v *model.Verdict, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, o := range v.Backends {
		text := strings.TrimPrefix(o.Service.String(), "shop/")
		if !o.Allowed {
			text = "!" + text
		}
		if o.Share < 1 {
			text += ":" + strconv.FormatFloat(math.Round(o.Share*10000)/100, 'f', -1, 64)
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}
