// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

func whyCommand() *cobra.Command {
	var in input
	var w why
	c := &cobra.Command{
		Use: "why --from NS/ACCOUNT --to NS/SERVICE[:PORT] [METHOD PATH] -f FILE|DIR|-", Short: "Say where a request goes, whether it is admitted, and what decided", GroupID: "ask",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return fmt.Errorf("a request is METHOD and PATH, for example GET /api")
			}
			return nil
		},
		Long: `why answers for one request, as the mesh would: which backend gets which share, whether each admits the caller, and the object, line and
field that decided. Without METHOD and PATH it asks for GET /, or for a raw connection where the port carries no HTTP.

Exit code 0: admitted by every backend that has a share. 7: refused by some or all.`,
		Example: "  anymesh why --from shop/web --to shop/catalog:8080 GET /api -f shop/\n  anymesh why --from shop/web --to shop/payments --tcp -f shop/",
		RunE: func(c *cobra.Command, args []string) error {
			got, events, err := in.read(c, true)
			if err != nil {
				return err
			}
			s := store.New()
			for _, e := range events {
				s.Set(e)
			}
			q, err := w.request(s, in.namespace, args)
			if err != nil {
				return err
			}
			v, err := model.Evaluate(s, q)
			if err != nil {
				return err
			}
			return answer(c, in.output, v, got)
		},
	}
	in.flags(c, "table", "json", "yaml")
	f := c.Flags()
	f.StringVar(&w.from, "from", "", "who calls: `NS/ACCOUNT`, or a SPIFFE ID; nobody has no identity")
	f.StringVar(&w.to, "to", "", "what is called: `NS/SERVICE[:PORT]`")
	f.StringArrayVarP(&w.headers, "header", "H", nil, "a header of the request, `'name: value'`; may be repeated")
	f.BoolVar(&w.tcp, "tcp", false, "a raw connection")
	f.BoolVar(&w.udp, "udp", false, "a UDP flow")
	_ = c.MarkFlagRequired("from")
	_ = c.MarkFlagRequired("to")
	c.MarkFlagsMutuallyExclusive("tcp", "udp")
	return c
}

// why is the question as the flags put it.
type why struct {
	from, to string
	headers  []string
	tcp, udp bool
}

func (w *why) request(s *store.Store, namespace string, args []string) (*model.Request, error) {
	q := &model.Request{Headers: map[string][]string{}, Method: "GET", Path: "/"}
	if err := w.caller(q, s, namespace); err != nil {
		return nil, err
	}
	service, port, ok := strings.Cut(w.to, ":")
	if ok {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("--to %s: %q is not a port", w.to, port)
		}
		q.Port = uint16(n)
	}
	q.Service = qualified(service, namespace)
	for _, h := range w.headers {
		name, value, ok := strings.Cut(h, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" {
			return nil, fmt.Errorf("-H %q: a header is 'name: value'", h)
		}
		if value = strings.TrimSpace(value); name == "host" {
			q.Host = value
		} else {
			q.Headers[name] = append(q.Headers[name], value)
		}
	}
	switch {
	case w.udp:
		q.Layer = model.LayerDatagram
	case w.tcp, len(args) == 0 && raw(s.Service(q.Service), q.Port):
		q.Layer = model.LayerStream
	case len(args) == 2:
		q.Method, q.Path = args[0], args[1]
	}
	return q, nil
}

// raw says whether the port that is asked for carries no HTTP.
func raw(svc *model.Service, port uint16) bool {
	if svc == nil {
		return false
	}
	p := svc.Port(port)
	return p != nil && !p.Protocol.CarriesHTTP()
}

func (w *why) caller(q *model.Request, s *store.Store, namespace string) error {
	if strings.HasPrefix(w.from, "spiffe://") {
		id, ours := model.ParseSPIFFE(w.from, s.Settings().TrustDomain)
		if q.From = id; !ours {
			q.SPIFFE = w.from
		}
		return nil
	}
	n := qualified(w.from, namespace)
	if strings.Contains(n.Name, "/") || n.Name == "" {
		return fmt.Errorf("--from %s: a caller is NAMESPACE/ACCOUNT or a SPIFFE ID", w.from)
	}
	if w.from != "nobody" {
		q.From = model.Identity{Namespace: n.Namespace, ServiceAccount: n.Name}
	}
	for _, wl := range s.Workloads(q.From) {
		q.Pod = wl.Labels
	}
	return nil
}

func qualified(name, namespace string) model.Name {
	if ns, n, ok := strings.Cut(name, "/"); ok {
		return model.Name{Namespace: ns, Name: n}
	}
	return model.Name{Namespace: namespace, Name: name}
}

// verdict is a model.Verdict in the shape that -o json promises.
type verdict struct {
	Allowed   bool       `json:"allowed"`
	Backends  []backend  `json:"backends"`
	DecidedBy []decision `json:"decidedBy"`
	Reason    string     `json:"reason"`
}

type backend struct {
	Service string  `json:"service"`
	Port    uint16  `json:"port"`
	Share   float64 `json:"share"`
	Allowed bool    `json:"allowed"`
	Reason  string  `json:"reason"`
}

type decision struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Path      string `json:"path"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

func shape(v *model.Verdict, where places) verdict {
	out := verdict{Allowed: v.Allowed, Reason: v.Reason, Backends: []backend{}, DecidedBy: []decision{}}
	for _, b := range v.Backends {
		out.Backends = append(out.Backends, backend{b.Service.String(), b.Port, b.Share, b.Allowed, b.Reason})
	}
	for _, d := range v.DecidedBy {
		x := decision{Kind: string(d.Object.Kind), Namespace: d.Object.Namespace, Name: d.Object.Name.Name, Path: d.Path}
		x.File, x.Line, _ = where.Find(d.Object, d.Path)
		out.DecidedBy = append(out.DecidedBy, x)
	}
	return out
}

func answer(c *cobra.Command, format string, v *model.Verdict, got *file.Input) error {
	shaped := shape(v, got.Positions)
	if format != "table" {
		if err := write(c.OutOrStdout(), format, shaped); err != nil {
			return err
		}
	} else {
		table(c, &shaped)
	}
	if !v.Allowed {
		return exit(exitDenied)
	}
	return nil
}

func table(c *cobra.Command, v *verdict) {
	w := c.OutOrStdout()
	word := map[bool]string{true: "✔ admitted", false: "✘ refused"}
	fmt.Fprintln(w, word[v.Allowed])
	for _, b := range v.Backends {
		fmt.Fprintf(w, "  %5.1f%%  %s:%d  %s: %s\n", 100*b.Share, b.Service, b.Port, word[b.Allowed], b.Reason)
	}
	fmt.Fprintln(w, "decided by")
	for _, d := range v.DecidedBy {
		fmt.Fprintf(w, "  %s %s/%s %s", d.Kind, d.Namespace, d.Name, d.Path)
		if d.File != "" {
			fmt.Fprintf(w, "  (%s:%d)", d.File, d.Line)
		}
		fmt.Fprintln(w)
	}
}
