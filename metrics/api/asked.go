// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/warning"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

// The bounds of a window. What is asked for beyond them is refused, since an answer for another time would look like the one asked for.
const shortest, longest = time.Second, 31 * 24 * time.Hour

// asked is what SMI's query parameters say.
type asked struct {
	window time.Duration
	unit   traffic.Unit
	peer   metrics.Kind
}

// parameters reads the query parameters that are ours: window (or t, as smi-metrics had it), unit and edge-kind.
func parameters(v url.Values) (a asked, err error) {
	a = asked{metrics.DefaultWindow, traffic.Milliseconds, metrics.Kind{}}
	if w := cmp.Or(v.Get("window"), v.Get("t")); w != "" {
		if a.window, err = time.ParseDuration(w); err != nil {
			return a, fmt.Errorf("window=%s: write a duration such as 30s or 5m", w)
		}
		if a.window < shortest || a.window > longest {
			return a, fmt.Errorf("window=%s: it may be from %s to %s", w, shortest, longest)
		}
	}
	switch u := v.Get("unit"); u {
	case "", "ms":
	case "s", "seconds":
		a.unit = traffic.Seconds
	default:
		return a, fmt.Errorf("unit=%s: ms or s", u)
	}
	if k := v.Get("edge-kind"); k != "" {
		var ok bool
		if a.peer, ok = metrics.KindOf(strings.ToLower(k)); !ok {
			return a, fmt.Errorf("edge-kind=%s: no such kind; %s", k, kinds())
		}
	}
	return a, nil
}

func kinds() string {
	var all []string
	for _, k := range metrics.Kinds() {
		all = append(all, k.Plural)
	}
	return "there are " + strings.Join(all, ", ")
}

type askedKey struct{}

// withAsked reads the parameters of a request before it is answered.
func (t types) withAsked(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := parameters(r.URL.Query())
		if err != nil && strings.HasPrefix(r.URL.Path, "/apis/"+traffic.Group+"/") {
			responsewriters.ErrorNegotiated(apierrors.NewBadRequest(err.Error()), t.codecs, traffic.Versions()[0], w, r)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), askedKey{}, a)))
	})
}

// asker asks the source what a request asks.
type asker struct {
	source metrics.Source
	world  metrics.World
	clock  func() time.Time
	log    *slog.Logger
}

// ready refuses to answer while it is not known which resources there are: to answer "not found" would be false.
func (a *asker) ready() error {
	if err := a.world.Ready(); err != nil {
		return unavailable("anymesh does not know the cluster yet: " + err.Error())
	}
	return nil
}

func unavailable(why string) error {
	err := apierrors.NewServiceUnavailable(why)
	err.ErrStatus.Details = nil
	return err
}

func (a *asker) ask(ctx context.Context, q metrics.Question) (*traffic.TrafficMetricsList, error) {
	p, _ := ctx.Value(askedKey{}).(asked)
	q.Window, q.Peer, q.At = cmp.Or(p.window, metrics.DefaultWindow), p.peer, a.clock()
	if len(q.Of) == 0 {
		return traffic.Write(q, metrics.Answer{At: q.At, Window: q.Window}, p.unit), nil
	}
	answer, err := a.source.Measure(ctx, q)
	switch {
	case errors.Is(err, context.Canceled):
		return nil, err
	case metrics.IsUnavailable(err), errors.Is(err, context.DeadlineExceeded):
		return nil, unavailable(err.Error())
	case err != nil:
		a.log.Error("a question about traffic was not answered", "kind", q.Kind.Plural, "error", err)
		return nil, apierrors.NewInternalError(err)
	}
	for _, n := range answer.Notes {
		warning.AddWarning(ctx, "", n)
	}
	return traffic.Write(q, answer, p.unit), nil
}
