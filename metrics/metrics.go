// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"math"
	"time"
)

// Ref names a resource. The zero value is a peer outside of the mesh, or everybody.
type Ref struct {
	Kind      string // Kind.Name
	Namespace string // empty where the kind has none
	Name      string
}

// DefaultWindow is what SMI's examples and its clients use.
const DefaultWindow = 30 * time.Second

// Question is what one answer is about. All of Of are of one kind and exist.
type Question struct {
	Kind   Kind
	Of     []Ref
	Edges  bool      // for each of Of: whom it calls, and who calls it
	Peer   Kind      // what the other side of an edge is; the zero value: the same kind
	Routes bool      // for each of Of: by route of an HTTPRouteGroup, where a mesh can tell
	At     time.Time // the window's end
	Window time.Duration
}

// Side is where an edge was measured.
type Side string

// The sides.
const (
	Client Side = "client"
	Server Side = "server"
)

// Direction tells which way an edge goes, seen from the resource.
type Direction string

// To is traffic that the resource sends, From what it receives.
const (
	To   Direction = "to"
	From Direction = "from"
)

// Edge is the other side of a measure.
type Edge struct {
	Direction Direction
	Side      Side
	Peer      Ref
}

// Backend tells which backend of a TrafficSplit a measure is of.
type Backend struct {
	Apex   string // root service
	Name   string // Service
	Weight int64
}

// Route tells which entry of an HTTPRouteGroup a measure is of.
type Route struct {
	Group string
	Match string
}

// Measure is the traffic of one resource, one edge, one backend or one route in the window.
type Measure struct {
	Of      Ref
	Edge    *Edge    // nil: the resource itself, all its callers
	Backend *Backend // of a TrafficSplit alone
	Route   *Route
	Counts
	Mesh string // the mesh that counted; empty: none knows the resource
}

// Counts are numbers of requests in the window, and how long these took at most.
type Counts struct {
	Success, Failure float64
	P50, P90, P99    time.Duration // 0: nothing was answered
}

// Total is the number of requests.
func (c Counts) Total() float64 { return c.Success + c.Failure }

// Rate is the share of requests that succeeded; NaN without requests.
func (c Counts) Rate() float64 {
	if c.Total() == 0 {
		return math.NaN()
	}
	return c.Success / c.Total()
}

// Answer answers a Question. There is at least one measure for each of the question's resources, unless it asks for edges or routes.
type Answer struct {
	Measures []Measure
	At       time.Time     // the end of the window that was measured
	Window   time.Duration // it may be longer than asked: never under two scrape intervals
	Notes    []string      // what a mesh cannot tell, each in a sentence
}

// Source answers questions. It is safe for concurrent use.
type Source interface {
	Measure(context.Context, Question) (Answer, error)
}

// Unavailable says that the store behind a mesh's numbers did not answer: they are unknown, which is not the same as zero.
type Unavailable struct {
	Mesh string
	Err  error
}

func (u *Unavailable) Error() string {
	return "the metrics of " + u.Mesh + " cannot be read: " + u.Err.Error()
}

// Unwrap gives the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// IsUnavailable says whether an error is, or holds, an Unavailable.
func IsUnavailable(err error) bool {
	var u *Unavailable
	return errors.As(err, &u)
}

// Sample is one series' value at an instant.
type Sample struct {
	Labels map[string]string
	Value  float64 // it may be anything a float can be
}

// Prometheus answers PromQL at an instant: a server over HTTP, or the engine in this process. An error is that nothing was answered.
type Prometheus interface {
	Query(ctx context.Context, promql string, at time.Time) ([]Sample, error)
}
