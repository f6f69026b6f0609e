// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are counted even where nobody asked for them: that costs less than asking.
type metrics struct {
	reviews     *prometheus.CounterVec
	conversions *prometheus.CounterVec
	judgements  *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reviews: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anymesh_webhook_reviews_total",
			Help: "Admission reviews, by kind of object and by what was answered: allowed, warned, denied."}, []string{"kind", "answer"}),
		conversions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anymesh_webhook_conversions_total",
			Help: "Objects converted, by the version asked for and by outcome: done, renamed (nobody can read it in any version), failed."}, []string{"to", "outcome"}),
		judgements: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anymesh_webhook_judgements_total",
			Help: "Objects that were looked at among all others, by outcome: done, late, busy."}, []string{"outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "anymesh_webhook_seconds",
			Help: "How long answers took, by what was asked: convert, validate.", Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}, []string{"ask"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.reviews), r.Register(m.conversions), r.Register(m.judgements), r.Register(m.seconds))
}

func (m *metrics) reviewed(kind, answer string) { m.reviews.WithLabelValues(kind, answer).Inc() }

// converted counts one object. What is asked for is only a label where it is one of few.
func (m *metrics) converted(to, outcome string) {
	if outcome == "failed" && !known(to) {
		to = ""
	}
	m.conversions.WithLabelValues(to, outcome).Inc()
}

func (m *metrics) judged(outcome string) { m.judgements.WithLabelValues(outcome).Inc() }

func (m *metrics) took(ask string, d time.Duration) {
	m.seconds.WithLabelValues(ask).Observe(d.Seconds())
}
