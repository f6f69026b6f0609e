// SPDX-License-Identifier: Apache-2.0

// Package why asks the evaluator about one request, as people put the question on a command line, and shows the answer.
package why

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Question is a request as a person writes it, and the world in which it is asked.
type Question struct {
	From      string   // NS/ACCOUNT, ACCOUNT, a SPIFFE ID, or nobody
	To        string   // NS/SERVICE, SERVICE or a DNS name of it, and :PORT
	Headers   []string // name: value
	TCP, UDP  bool     // not HTTP
	Namespace string   // of names that say none
	World     *store.Store

	asked model.Request
}

// Ask evaluates the request. The arguments are METHOD and PATH, or none. It reports an error where the question is not well put, or the
// service or its port not known.
func (q *Question) Ask(args []string, where report.Places) (*Verdict, error) {
	r, err := q.request(args)
	if err != nil {
		return nil, err
	}
	q.asked = *r
	v, err := model.Evaluate(q.World, r)
	if err != nil {
		return nil, q.helped(r, err)
	}
	return shape(v, where), nil
}

func (q *Question) request(args []string) (*model.Request, error) {
	r := &model.Request{Method: "GET", Path: "/"}
	if err := errors.Join(q.caller(r), q.called(r), q.header(r)); err != nil {
		return nil, err
	}
	switch raw := q.TCP || q.UDP; {
	case raw && len(args) > 0:
		return nil, errors.New("METHOD and PATH are of HTTP: leave them out with --tcp and --udp")
	case q.UDP:
		r.Layer = model.LayerDatagram
	case raw, len(args) == 0 && stream(q.World.Service(r.Service), r.Port):
		r.Layer = model.LayerStream
	case len(args) == 2:
		r.Method, r.Path = args[0], args[1]
		if !strings.HasPrefix(r.Path, "/") && r.Path != "*" {
			return nil, fmt.Errorf("PATH %s: a path begins with /; write /%s", r.Path, r.Path)
		}
	}
	return r, nil
}

var verbs = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"}

// stream says whether the port that is asked for carries no HTTP. Without a number it is the Service that has to carry none.
func stream(svc *model.Service, port uint16) bool {
	if svc == nil {
		return false
	}
	none := false
	for i := range svc.Ports {
		if p := &svc.Ports[i]; port == 0 || p.Number == port {
			if p.Protocol.CarriesHTTP() {
				return false
			}
			none = none || p.Protocol != model.UDP
		}
	}
	return none
}

func (q *Question) caller(r *model.Request) error {
	if strings.HasPrefix(q.From, "spiffe://") || strings.Contains(q.From, "/ns/") {
		id, ours := model.ParseSPIFFE(q.From, q.World.Settings().TrustDomain)
		if r.From = id; !ours {
			r.SPIFFE = "spiffe://" + strings.TrimPrefix(q.From, "spiffe://")
		}
	} else if q.From != "nobody" {
		n := q.qualified(q.From)
		if strings.Contains(n.Name, "/") || n.Name == "" || n.Namespace == "" {
			return fmt.Errorf("--from %s: a caller is NAMESPACE/ACCOUNT, a SPIFFE ID or nobody", q.From)
		}
		r.From = model.Identity{Namespace: n.Namespace, ServiceAccount: n.Name}
	}
	for _, wl := range q.World.Workloads(r.From) {
		r.Pod = wl.Labels
	}
	return nil
}

// called reads what is called, as any SMI object may write it or as namespace/name.
func (q *Question) called(r *model.Request) error {
	service, port, ok := strings.Cut(q.To, ":")
	if ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("--to %s: %q is not a port; ports are 1 to 65535", q.To, port)
		}
		r.Port = uint16(n)
	}
	r.Service = q.qualified(service)
	if n, ours := model.ParseServiceName(service, q.Namespace, q.World.Settings().ClusterDomain); ours && !strings.Contains(service, "/") {
		r.Service = n
	}
	if r.Service.Name == "" || r.Service.Namespace == "" || strings.Contains(r.Service.Name, "/") {
		return fmt.Errorf("--to %s: what is called is NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT", q.To)
	}
	return nil
}

func (q *Question) qualified(name string) model.Name {
	if ns, n, ok := strings.Cut(name, "/"); ok {
		return model.Name{Namespace: ns, Name: n}
	}
	return model.Name{Namespace: q.Namespace, Name: name}
}

func (q *Question) header(r *model.Request) error {
	r.Headers = map[string][]string{}
	for _, h := range q.Headers {
		name, value, ok := strings.Cut(h, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || name == "":
			return fmt.Errorf("-H %q: a header is written 'name: value'", h)
		case name == "host":
			r.Host = value
		default:
			r.Headers[name] = append(r.Headers[name], value)
		}
	}
	return nil
}

// helped adds to an error of the evaluator what the user could have meant.
func (q *Question) helped(r *model.Request, err error) error {
	if svc := q.World.Service(r.Service); svc != nil {
		if r.Layer == model.LayerHTTP && stream(svc, r.Port) {
			return fmt.Errorf("%w; --tcp asks for a raw connection", err)
		}
		return err
	}
	var near, all []string
	for f := range q.World.Facts {
		if s, ok := f.(*model.Service); ok {
			all = append(all, s.Name.String())
			if s.Name.Name == r.Service.Name {
				near = append(near, s.Name.String())
			}
		}
	}
	slices.Sort(near)
	slices.Sort(all)
	switch {
	case len(near) > 0:
		return fmt.Errorf("%w in the input; did you mean %s?", err, strings.Join(near, " or "))
	case len(all) == 0:
		return fmt.Errorf("%w in the input, which holds no Service at all: give the Services beside the SMI objects", err)
	}
	more := ""
	if len(all) > 10 {
		all, more = all[:10], fmt.Sprintf(" and %d more", len(all)-10)
	}
	return fmt.Errorf("%w in the input; there are %s%s", err, strings.Join(all, ", "), more)
}

// unknownCaller says that nothing in the input runs as the caller, where the input has workloads at all: the name may be mistyped.
func (q *Question) unknownCaller(r *model.Request) bool {
	if r.From.ServiceAccount == "" || len(q.World.Workloads(r.From)) > 0 {
		return false
	}
	workloads := false
	for f := range q.World.Facts {
		switch x := f.(type) {
		case *model.ServiceAccount:
			if x.Name == (model.Name{Namespace: r.From.Namespace, Name: r.From.ServiceAccount}) {
				return false
			}
		case *model.Workload:
			workloads = true
		}
	}
	return workloads
}
