// SPDX-License-Identifier: Apache-2.0

package facade

import (
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/parser/posrange"
)

// leaf is a part of a query that asks for the traffic of a workload.
type leaf struct {
	at       posrange.PositionRange
	who      named
	window   time.Duration
	outcome  outcome
	rate     bool    // a second, and not in the whole window
	quantile float64 // of latency, in milliseconds; 0: a number of requests
}

// leaves takes a query apart. Not ok: some of it asks for what is no such part, and only a Prometheus can answer it.
func leaves(n parser.Node) (out []leaf, ok bool) {
	if l, ok := read(n); ok {
		return []leaf{l}, true
	}
	switch n.(type) {
	case *parser.VectorSelector, *parser.MatrixSelector, *parser.SubqueryExpr:
		return nil, false
	}
	for _, c := range parser.Children(n) {
		more, ok := leaves(c)
		if !ok {
			return nil, false
		}
		out = append(out, more...)
	}
	return out, true
}

func read(n parser.Node) (leaf, bool) {
	switch e := n.(type) {
	case *parser.ParenExpr:
		return leaf{}, false // its inside is looked at
	case *parser.AggregateExpr:
		l, ok := sum(e, "")
		return l, ok && e.Grouping == nil
	case *parser.Call:
		if e.Func.Name != "histogram_quantile" {
			return leaf{}, false
		}
		q, isNumber := bare(e.Args[0]).(*parser.NumberLiteral)
		a, isSum := bare(e.Args[1]).(*parser.AggregateExpr)
		if !isNumber || !isSum || len(a.Grouping) != 1 || a.Grouping[0] != "le" || q.Val != 0.5 && q.Val != 0.9 && q.Val != 0.99 {
			return leaf{}, false
		}
		l, ok := sum(a, "_bucket")
		l.at, l.quantile = e.PosRange, q.Val
		return l, ok
	}
	return leaf{}, false
}

// sum reads sum(rate(SELECTOR[WINDOW])), of counters or of buckets.
func sum(a *parser.AggregateExpr, suffix string) (l leaf, ok bool) {
	call, isCall := bare(a.Expr).(*parser.Call)
	if !isCall || a.Op != parser.SUM || a.Without || a.Param != nil || len(call.Args) != 1 {
		return l, false
	}
	m, isMatrix := bare(call.Args[0]).(*parser.MatrixSelector)
	if !isMatrix || m.RangeExpr != nil {
		return l, false
	}
	v := m.VectorSelector.(*parser.VectorSelector)
	if v.OriginalOffset != 0 || v.OriginalOffsetExpr != nil || v.Timestamp != nil || v.StartOrEnd != 0 || v.Anchored || v.Smoothed {
		return l, false
	}
	l = leaf{at: a.PosRange, window: m.Range}
	switch call.Func.Name {
	case "rate", "irate":
		l.rate = true
	case "increase":
	default:
		return l, false
	}
	for i := range dialects {
		d := &dialects[i]
		if suffix == "" && v.Name != d.requests || suffix != "" && v.Name != d.latency || !strings.HasSuffix(v.Name, suffix) {
			continue
		}
		if l.who, l.outcome, ok = d.read(v.LabelMatchers); ok && (suffix == "" || l.outcome == every) {
			return l, true
		}
	}
	return l, false
}

// bare is an expression without parentheses around it.
func bare(e parser.Expr) parser.Expr {
	for {
		switch p := e.(type) {
		case *parser.ParenExpr:
			e = p.Expr
		case *parser.StepInvariantExpr:
			e = p.Expr
		default:
			return e
		}
	}
}
