// SPDX-License-Identifier: Apache-2.0

package why

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/file"
	"github.com/anymesh/anymesh/model"
)

// Verdict is the answer, in the shape that -o json promises.
type Verdict struct {
	Allowed   bool       `json:"allowed"`
	Backends  []Backend  `json:"backends"`
	DecidedBy []Decision `json:"decidedBy"`
	Reason    string     `json:"reason"`
}

// Backend is what happens to a share of the requests.
type Backend struct {
	Service string  `json:"service"`
	Port    uint16  `json:"port"` // 0 where the Service is not in the input
	Share   float64 `json:"share"`
	Allowed bool    `json:"allowed"`
	Reason  string  `json:"reason"`
}

// Decision points at a field that decided.
type Decision struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Path      string `json:"path"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
}

func shape(v *model.Verdict, where report.Places) *Verdict {
	out := &Verdict{Allowed: v.Allowed, Reason: v.Reason, Backends: []Backend{}, DecidedBy: []Decision{}}
	for _, b := range v.Backends {
		out.Backends = append(out.Backends, Backend{b.Service.String(), b.Port, b.Share, b.Allowed, b.Reason})
	}
	for _, d := range v.DecidedBy {
		x := Decision{Kind: string(d.Object.Kind), Namespace: d.Object.Namespace, Name: d.Object.Name.Name, Path: where.Written(d.Object, d.Path)}
		x.File, x.Line, _ = where.Find(d.Object, d.Path)
		out.DecidedBy = append(out.DecidedBy, x)
	}
	return out
}

// Print shows the verdict to a person: the answer, the backends, and what decided.
func (v *Verdict) Print(w io.Writer) error {
	var b strings.Builder
	var admitted float64
	to := make([]string, len(v.Backends))
	wide := 0
	for i, x := range v.Backends {
		if x.Allowed {
			admitted += x.Share
		}
		if to[i] = x.Service; x.Port != 0 {
			to[i] += fmt.Sprintf(":%d", x.Port)
		}
		wide = max(wide, len(to[i]))
	}
	switch {
	case v.Allowed:
		fmt.Fprintf(&b, "%s admitted\n", report.Verdict(true))
	case admitted > 0:
		fmt.Fprintf(&b, "%s partly refused: %.4g%% admitted\n", report.Verdict(false), 100*admitted)
	default:
		fmt.Fprintf(&b, "%s refused\n", report.Verdict(false))
	}
	for i, x := range v.Backends {
		fmt.Fprintf(&b, "  %5.1f%%  %-*s  %s %s\n", 100*x.Share, wide, to[i], report.Verdict(x.Allowed), x.Reason)
	}
	if len(v.DecidedBy) > 0 {
		b.WriteString("decided by\n")
	}
	for _, d := range v.DecidedBy {
		fmt.Fprintf(&b, "  %s %s", report.Title(model.Ref{Kind: model.Kind(d.Kind), Name: model.Name{Namespace: d.Namespace, Name: d.Name}}), d.Path)
		if d.File != "" {
			fmt.Fprintf(&b, "  (%s:%d)", d.File, d.Line)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Notes warn, after Ask, of what makes the answer less than it seems.
func (q *Question) Notes(got *file.Input) (out []string) {
	if q.unknownCaller(&q.asked) {
		out = append(out, fmt.Sprintf("nothing in the input runs as %s", q.asked.From))
	}
	if m := q.asked.Method; m != strings.ToUpper(m) && slices.Contains(verbs, strings.ToUpper(m)) {
		out = append(out, fmt.Sprintf("methods are case-sensitive: %s is not %s", m, strings.ToUpper(m)))
	}
	broken := invalid(got.Findings)
	for _, e := range got.Events {
		broken += invalid(e.Findings)
	}
	if broken > 0 {
		out = append(out, report.Count(broken, "fault")+" in the input; what is broken admits nobody. 'anymesh check' lists them")
	}
	if svc := q.World.Service(q.asked.Service); svc != nil && svc.Assumed {
		out = append(out, fmt.Sprintf("the input holds no Service in %s: those that splits name are assumed, with ports and workloads that are not known", q.asked.Service.Namespace))
	}
	return out
}

func invalid(list []model.Finding) (n int) {
	for _, f := range list {
		if f.Level == model.Invalid {
			n++
		}
	}
	return n
}
