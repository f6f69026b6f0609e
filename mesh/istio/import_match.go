// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/mesh/istio/policy"
	"github.com/anymesh/anymesh/model"
)

// nativeOperation is what a rule lets callers do: requests, or raw TCP where there is no match.
type nativeOperation struct {
	ports []uint16 // sorted; none: any
	match *path
}

// conditions reads conditions on headers; false where there is another, since all of them have to hold.
func (r *reader) conditions(p *nativePolicy, at string, list []policy.Condition) (out []model.Header, ok bool) {
	if p.faults.below("%s.when", at) {
		return nil, false // reported
	}
	for k, c := range list {
		name, ok := strings.CutPrefix(c.Key, "request.headers[")
		name, closed := strings.CutSuffix(name, "]")
		if !ok || !closed || len(c.Values) == 0 {
			r.leave(p.o, fmt.Sprintf("%s.when[%d]", at, k), "SMI has no condition on "+c.Key+": the rule is left out")
			return nil, false
		}
		if name = strings.ToLower(name); name == policy.Authority {
			name = "host"
		}
		out = append(out, model.Header{Name: name, Value: policy.AnyText(c.Values, ".*")})
	}
	return out, true
}

// operations reads what a rule lets callers do: one with a condition that SMI cannot say is nothing.
func (r *reader) operations(p *nativePolicy, at string, list []policy.To, headers []model.Header) (out []nativeOperation) {
	if len(list) == 0 && p.faults.below("%s.to", at) {
		return nil // reported
	}
	if len(list) == 0 {
		list = []policy.To{{}}
	}
	for k := range list {
		where, op := fmt.Sprintf("%s.to[%d].operation", at, k), &list[k].Operation
		if p.faults.below("%s.to[%d]", at, k) {
			continue // reported
		}
		var o nativeOperation
		for n, text := range op.Ports {
			number, err := strconv.ParseUint(text, 10, 16)
			if err != nil || number == 0 {
				r.leave(p.o, fmt.Sprintf("%s.ports[%d]", where, n), text+" is no port")
				continue
			}
			o.ports = append(o.ports, uint16(number))
		}
		if slices.Sort(o.ports); len(op.Ports) > 0 && len(o.ports) == 0 {
			continue
		}
		if len(headers)+len(op.Methods)+len(op.Paths)+len(op.Hosts) > 0 {
			if o.match = r.request(p, where, op); o.match == nil {
				continue
			}
			o.match.match.Headers = append(o.match.match.Headers, headers...)
		}
		out = append(out, o)
	}
	return out
}

// request reads the conditions of an operation on requests; nil where SMI cannot say one of them.
func (r *reader) request(p *nativePolicy, at string, op *policy.Operation) *path {
	out := &path{}
	for n, m := range op.Methods {
		switch {
		case m == "*":
		case strings.Contains(m, "*"):
			r.leave(p.o, fmt.Sprintf("%s.methods[%d]", at, n), "SMI lists methods by name: the operation is left out")
			return nil
		default:
			out.match.Methods = append(out.match.Methods, m)
		}
	}
	if slices.Contains(op.Methods, "*") {
		out.match.Methods = nil
	}
	if len(op.Hosts) > 0 {
		out.match.Headers = append(out.match.Headers, model.Header{Name: "host", Value: "(?i:" + policy.AnyText(op.Hosts, ".+") + ")"})
	}
	if len(op.Paths) > 0 {
		out.paths(op.Paths)
	}
	return out
}

// paths reads Istio's texts and templates for paths.
func (p *path) paths(list []string) {
	var all []string
	for _, v := range list {
		if !strings.Contains(v, "{*") {
			all = append(all, policy.AnyText([]string{v}, ".+"))
			continue
		}
		all = append(all, policy.TemplateExpression(v))
	}
	p.all, p.whole = strings.Join(all, "|"), true
	if begin, ok := strings.CutSuffix(list[0], "*"); ok && len(list) == 1 && begin != "" && !strings.Contains(begin, "*") {
		p.begin, p.whole = regexp.QuoteMeta(begin), false
	}
}
