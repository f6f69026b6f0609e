// SPDX-License-Identifier: Apache-2.0

package stat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
	"github.com/anymesh/anymesh/object"
)

// Query is what a person asks about.
type Query struct {
	Kind      metrics.Kind
	Name      string // empty: all of the kind
	Namespace string // empty: all
	Selector  string
	Window    time.Duration
}

// Word reads KIND or KIND/NAME.
func Word(word, namespace string) (q Query, err error) {
	kind, name, named := strings.Cut(word, "/")
	q = Query{Name: name, Namespace: namespace}
	var ok bool
	if q.Kind, ok = metrics.KindOf(strings.ToLower(kind)); !ok {
		var known []string
		for _, k := range metrics.Kinds() {
			known = append(known, k.Plural)
		}
		err = fmt.Errorf("there is no kind %q to be measured: there are %s", kind, strings.Join(known, ", "))
		if near := object.Suggest(strings.ToLower(kind), known); strings.HasPrefix(near, "Did") {
			err = fmt.Errorf("%w. %s", err, near)
		}
		return q, err
	}
	if named && name == "" {
		return q, fmt.Errorf("%s: name one, as %sNAME, or leave the slash away", word, word)
	}
	if q.Kind.Cluster {
		q.Namespace = ""
	}
	if name != "" && !q.Kind.Cluster && q.Namespace == "" {
		return q, fmt.Errorf("%s: say in which namespace, with -n", word)
	}
	return q, nil
}

const version = "/apis/" + traffic.Group + "/v1alpha2"

func (q *Query) path() string {
	p := version
	if q.Namespace != "" {
		p += "/namespaces/" + url.PathEscape(q.Namespace)
	}
	p += "/" + q.Kind.Plural
	if q.Name != "" {
		p += "/" + url.PathEscape(q.Name)
	}
	return p
}

func (q *Query) values() url.Values {
	v := url.Values{}
	if q.Window > 0 {
		v.Set("window", q.Window.String())
	}
	if q.Selector != "" {
		v.Set("labelSelector", q.Selector)
	}
	return v
}

// Measures asks for the traffic of resources.
func (d *Door) Measures(ctx context.Context, q Query) (*traffic.TrafficMetricsList, error) {
	var l traffic.TrafficMetricsList
	if q.Name == "" || q.Kind.Name == "TrafficSplit" {
		err := d.Get(ctx, q.path(), q.values(), &l)
		return sorted(&l), err
	}
	var one traffic.TrafficMetrics
	if err := d.Get(ctx, q.path(), q.values(), &one); err != nil {
		return nil, err
	}
	l.APIVersion, l.Kind, l.Resource = one.APIVersion, traffic.ListKind, one.Resource
	l.Items = append(l.Items, one)
	return &l, nil
}

// Routes asks for the routes of one resource.
func (d *Door) Routes(ctx context.Context, q Query) (*traffic.TrafficMetricsList, error) {
	var l traffic.TrafficMetricsList
	err := d.Get(ctx, q.path()+"/routes", q.values(), &l)
	return sorted(&l), err
}

// atOnce is how many resources are asked about at a time.
const atOnce = 8

// Edges asks for the edges of one resource, or of each that a query finds; the other side is of the kind of peer.
func (d *Door) Edges(ctx context.Context, q Query, peer metrics.Kind) (*traffic.TrafficMetricsList, error) {
	if q.Name != "" {
		return d.edges(ctx, q, peer)
	}
	all, err := d.Measures(ctx, q)
	if err != nil {
		return nil, err
	}
	parts := make([]*traffic.TrafficMetricsList, len(all.Items))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range all.Items {
		one := q
		one.Name, one.Namespace, one.Selector = all.Items[i].Resource.Name, all.Items[i].Resource.Namespace, ""
		g.Go(func() error {
			var none *missing
			var err error
			if parts[i], err = d.edges(ctx, one, peer); errors.As(err, &none) {
				parts[i], err = &traffic.TrafficMetricsList{}, nil // it has gone since
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all.Items = []traffic.TrafficMetrics{}
	for _, p := range parts {
		all.Items = append(all.Items, p.Items...)
	}
	return sorted(all), nil
}

func (d *Door) edges(ctx context.Context, q Query, peer metrics.Kind) (*traffic.TrafficMetricsList, error) {
	v := q.values()
	v.Del("labelSelector")
	if peer.Name != "" {
		v.Set("edge-kind", peer.Plural)
	}
	var l traffic.TrafficMetricsList
	err := d.Get(ctx, q.path()+"/edges", v, &l)
	return sorted(&l), err
}

// sorted puts what was answered into an order that stays.
func sorted(l *traffic.TrafficMetricsList) *traffic.TrafficMetricsList {
	slices.SortStableFunc(l.Items, func(a, b traffic.TrafficMetrics) int { return strings.Compare(order(&a), order(&b)) })
	return l
}

func order(t *traffic.TrafficMetrics) string {
	words := []string{t.Resource.Namespace, t.Resource.Name}
	if e := t.Edge; e != nil {
		words = append(words, e.Direction, e.Resource.Namespace, e.Resource.Name, e.Side)
	}
	if b := t.Backend; b != nil {
		words = append(words, b.Name)
	}
	if r := t.Route; r != nil {
		words = append(words, r.Group, r.Match)
	}
	return strings.Join(words, "\x00")
}

// Busiest puts the resources with most requests first.
func Busiest(l *traffic.TrafficMetricsList) {
	slices.SortStableFunc(l.Items, func(a, b traffic.TrafficMetrics) int {
		return cmp.Compare(b.Read().Total(), a.Read().Total())
	})
}
