// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/warning"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

type askedKey struct{}

// withAsked reads the parameters of a request before it is answered.
func (t types) withAsked(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, err := traffic.Parameters(r.URL.Query())
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
	p, _ := ctx.Value(askedKey{}).(traffic.Asked)
	q.Window, q.Peer, q.At = p.Window, p.Peer, a.clock()
	if len(q.Of) == 0 {
		return traffic.Write(q, metrics.Answer{At: q.At, Window: q.Window}, p.Unit), nil
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
	return traffic.Write(q, answer, p.Unit), nil
}
