// SPDX-License-Identifier: Apache-2.0

// Package controller runs anymesh on a cluster: a source, an engine, and a sink for each mesh that is there.
//
// Which meshes there are is said by the kind Mesh, or by a file of the same objects; where neither says one, every mesh whose kinds the
// cluster serves is spoken to. A mesh that comes, goes or is upgraded while the controller runs is noticed by the kinds that it serves.
//
// Any number of replicas know and translate everything; one of them, the leader, writes. Another takes over where it stops, and finds
// nothing to write that has been written.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/source"
	"github.com/anymesh/anymesh/kube/status"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"github.com/anymesh/anymesh/smi"
	"github.com/anymesh/anymesh/store"
)

// Options of a Controller.
type Options struct {
	Cluster   *kube.Cluster
	Drivers   []*mesh.Driver // that may be used, each with its Older ones
	Meshes    []*api.Mesh    // said by a file, beside those of the cluster
	Namespace string         // of its lease
	Name      string         // of this replica
	Elect     bool           // let one replica of several write; false: this one writes
	Adopt     bool           // take over objects that are nobody's, for every mesh
	Rate      float32        // writes a second to each mesh, and of statuses; 0: 50
	Logger    *slog.Logger
	// Direct makes the sink of a mesh that is not programmed through the cluster, such as the built-in one; nil: there is none.
	Direct func(m *api.Mesh, d *mesh.Driver) engine.Sink
	// Told is called with the meshes that there are, at first and when they change; may be nil. It must not ask the controller.
	Told func([]Mesh)
	// Flushed is called in the engine's loop after each change that came through; may be nil.
	Flushed func(*engine.Engine)
}

// Controller is anymesh on one cluster.
type Controller struct {
	o       Options
	c       *kube.Cluster
	engine  *engine.Engine
	source  *source.Source
	status  *status.Writer
	meshes  *meshes
	metrics *metrics
	log     *slog.Logger
	leading chan struct{} // closed when this replica writes
}

// New is a controller that does nothing before Run.
func New(o Options) *Controller {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Controller{o: o, c: o.Cluster, log: o.Logger, engine: engine.New(), leading: make(chan struct{})}
	c.metrics = newMetrics(c)
	c.meshes = newMeshes(c)
	c.source = source.New(o.Cluster, source.Options{Logger: o.Logger, Namespace: c.meshes.namespace, Own: own})
	return c
}

// own says whether we wrote an object ourselves, by its labels: translations into the SMI of a mesh that speaks it are not read again.
func own(labels map[string]string) bool { return labels[mesh.ManagedBy] == mesh.Us }

// Run works until the context ends: first the changes under way are finished, then the lease is let go, so that another replica takes over
// at once. It ends by itself, with an error, when the lease is lost.
func (c *Controller) Run(ctx context.Context) error {
	events, stop := c.events()
	defer stop()
	c.status = status.New(c.c, status.Options{Meta: c.source.Meta, Events: events, Leading: c.leading, Rate: c.o.Rate, Logger: c.log})
	g, work := errgroup.WithContext(ctx)
	lease, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	lost := make(chan error, 1)
	var elected sync.WaitGroup
	elected.Go(func() { lost <- c.lead(lease) })
	g.Go(func() error {
		select {
		case err := <-lost:
			return err
		case <-work.Done():
			return nil
		}
	})
	g.Go(func() error { return c.c.Watch(work, c.log, c.serve) })
	g.Go(func() error { return c.meshes.run(work) })
	g.Go(func() error { return c.status.Run(work) })
	g.Go(func() error {
		return c.engine.Run(work, engine.Options{Logger: c.log, Flushed: c.flushed, News: c.news}, c.source)
	})
	err := g.Wait()
	release()
	elected.Wait()
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// serve passes on which kinds the API serves.
func (c *Controller) serve(v kube.Served) {
	c.status.Serve(v)
	c.meshes.serve(v)
}

// flushed is told of each step of the engine.
func (c *Controller) flushed(plans []engine.Plan) {
	c.metrics.planned(plans)
	if c.o.Flushed != nil {
		c.o.Flushed(c.engine)
	}
}

// news is told of objects of which there may be something new to say.
func (c *Controller) news(refs []model.Ref) {
	for _, r := range refs {
		if smiKind(r.Kind) {
			c.status.Tell(c.engine.About(r))
		}
	}
}

func smiKind(k model.Kind) bool { return smi.Newest(k) != "" }

// events writes Events to the cluster.
func (c *Controller) events() (record.EventRecorder, func()) {
	b := record.NewBroadcaster()
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: c.c.Core.CoreV1().Events("")})
	return b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: kube.Manager}), b.Shutdown
}

// Engine is the controller's own, for who wants to Ask it.
func (c *Controller) Engine() *engine.Engine { return c.engine }

// Leading says whether this replica writes.
func (c *Controller) Leading() bool {
	select {
	case <-c.leading:
		return true
	default:
		return false
	}
}

// Ready reports why the controller is not ready: what has not been read yet.
func (c *Controller) Ready() error {
	if !c.meshes.known() {
		return errors.New("the kind Mesh has not been read yet")
	}
	if missing := c.source.Missing(); len(missing) > 0 {
		return fmt.Errorf("not read yet: %v", missing)
	}
	return nil
}

// Alive reports that the engine's loop does not answer.
func (c *Controller) Alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := c.engine.Ask(ctx, func(*engine.Engine) {}); err != nil {
		return errors.New("the engine has not answered for five seconds")
	}
	return nil
}

// Judge says what would be said of an object if it were as given: of its text, of what it names, and by each mesh. The API server asks before it
// takes the object.
func (c *Controller) Judge(ctx context.Context, o *object.Object) (out []model.Finding) {
	it, findings := smi.Decode(o)
	if it == nil || c.Ready() != nil {
		return findings
	}
	ev := store.Event{Object: it.Head().Ref(), Facts: it.Facts(o.Namespace), Findings: findings}
	ev.Object.Namespace = o.Namespace
	err := c.engine.Ask(ctx, func(e *engine.Engine) {
		a := e.Try(ev)
		out = a.Findings
		for _, m := range a.Meshes {
			out = append(out, m.Findings...)
		}
	})
	if err != nil {
		return findings
	}
	return out
}
