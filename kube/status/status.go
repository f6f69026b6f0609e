// SPDX-License-Identifier: Apache-2.0

// Package status writes on each SMI object what became of it: three conditions, over all meshes and for each, and an Event when things get
// worse.
//
// A status is written when it says something else than the one that is there, and at no other time; while a change is still on its way to
// a mesh nothing is said, and observedGeneration tells so.
package status

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/source"
	"github.com/anymesh/anymesh/model"
)

// Options of a Writer.
type Options struct {
	Meta    func(model.Ref) (source.Meta, bool)
	Events  record.EventRecorder // nil: none
	Leading <-chan struct{}      // closed when this process may write; nil: it may
	Rate    float32              // writes a second; 0: 50
	Logger  *slog.Logger
}

// Writer writes the status of SMI's objects.
type Writer struct {
	c     *kube.Cluster
	o     Options
	queue workqueue.TypedRateLimitingInterface[model.Ref]
	limit flowcontrol.RateLimiter

	mu     sync.Mutex
	served kube.Served
	wanted map[model.Ref]*engine.About
	levels map[model.Ref]model.Level // the worst that was told of
}

// New is a writer that has nothing to write yet.
func New(c *kube.Cluster, o Options) *Writer {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rate == 0 {
		o.Rate = 50
	}
	return &Writer{c: c, o: o, queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[model.Ref]()),
		limit: flowcontrol.NewTokenBucketRateLimiter(o.Rate, int(2*o.Rate)), wanted: map[model.Ref]*engine.About{}, levels: map[model.Ref]model.Level{}}
}

// Serve says which kinds the API serves now.
func (w *Writer) Serve(v kube.Served) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.served = v
}

// Tell takes what is to be said of an object now. What is still on its way to a mesh is not taken: more will be told when it has arrived.
func (w *Writer) Tell(a engine.About) {
	if slices.ContainsFunc(a.Meshes, func(m engine.AboutMesh) bool { return m.Pending }) {
		return
	}
	w.mu.Lock()
	w.wanted[a.Object] = &a
	w.mu.Unlock()
	w.queue.Add(a.Object)
}

// Run writes until the context ends.
func (w *Writer) Run(ctx context.Context) error {
	if w.o.Leading != nil {
		select {
		case <-w.o.Leading:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	context.AfterFunc(ctx, w.queue.ShutDown)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				r, end := w.queue.Get()
				if end {
					return
				}
				if err := w.write(ctx, r); err != nil && ctx.Err() == nil {
					w.o.Logger.Warn("a status was not written, it will be tried again", "object", r.String(), "error", err)
					w.queue.AddRateLimited(r)
				} else {
					w.queue.Forget(r)
				}
				w.queue.Done(r)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}

// write writes the status of one object, where it is not that already.
func (w *Writer) write(ctx context.Context, r model.Ref) error {
	w.mu.Lock()
	a := w.wanted[r]
	delete(w.wanted, r)
	served := w.served
	w.mu.Unlock()
	meta, ok := w.o.Meta(r)
	if !ok {
		w.forget(r)
	}
	if a == nil || !ok {
		return nil // written, or gone
	}
	where, ok := served.Find(meta.APIVersion, string(r.Kind))
	want := Of(a)
	if !ok || !where.Status || source.Fingerprint(want) == meta.Status {
		return nil
	}
	err := w.put(ctx, r, where, meta, want)
	if err == nil {
		w.told(a, meta)
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wanted[r] == nil {
		w.wanted[r] = a
	}
	return err
}

// forget lets go of an object that is gone.
func (w *Writer) forget(r model.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.levels, r)
}

// put replaces the status, with the times of its changes.
//
// sizes: an object, where it is and what becomes of it
func (w *Writer) put(ctx context.Context, r model.Ref, where kube.Resource, meta source.Meta, want *api.Status) error {
	if err := w.limit.Wait(ctx); err != nil {
		return err
	}
	client := w.c.Dynamic.Resource(where.GroupVersionResource).Namespace(r.Namespace)
	now, err := client.Get(ctx, r.Name.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && now.GetUID() != meta.UID {
		return nil
	}
	if err != nil {
		return err
	}
	dated(now.Object["status"], want)
	plain, err := runtime.DefaultUnstructuredConverter.ToUnstructured(want)
	if err != nil {
		return err
	}
	body := &unstructured.Unstructured{Object: map[string]any{"apiVersion": meta.APIVersion, "kind": string(r.Kind), "status": plain}}
	body.SetName(r.Name.Name)
	body.SetNamespace(r.Namespace)
	body.SetUID(meta.UID)
	_, err = client.ApplyStatus(ctx, r.Name.Name, body, metav1.ApplyOptions{FieldManager: kube.Manager, Force: true})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or another of the same name: there will be news of it
	}
	return err
}

// dated gives each condition the time since when it has been as it is.
func dated(there any, want *api.Status) {
	var old api.Status
	if text, err := json.Marshal(there); err == nil {
		_ = json.Unmarshal(text, &old) // what cannot be read was not ours, and is replaced
	}
	set := func(was, is []metav1.Condition) {
		for i := range is {
			if o := apimeta.FindStatusCondition(was, is[i].Type); o != nil && o.Status == is[i].Status {
				is[i].LastTransitionTime = o.LastTransitionTime
			} else {
				is[i].LastTransitionTime = metav1.Now()
			}
		}
	}
	set(old.Conditions, want.Conditions)
	for i := range want.Meshes {
		var was []metav1.Condition
		for k := range old.Meshes {
			if old.Meshes[k].Name == want.Meshes[i].Name {
				was = old.Meshes[k].Conditions
			}
		}
		set(was, want.Meshes[i].Conditions)
	}
}

// told writes an Event where an object's findings are worse than when it was told of last.
func (w *Writer) told(a *engine.About, meta source.Meta) {
	worst := model.Finding{}
	look := func(all []model.Finding) {
		for _, f := range all {
			if f.Level > worst.Level {
				worst = f
			}
		}
	}
	look(a.Findings)
	for _, m := range a.Meshes {
		look(m.Findings)
	}
	w.mu.Lock()
	before := w.levels[a.Object]
	if worst.Level == model.Exact {
		delete(w.levels, a.Object)
	} else {
		w.levels[a.Object] = worst.Level
	}
	w.mu.Unlock()
	if w.o.Events == nil || worst.Level <= before || worst.Level < model.Approximate {
		return
	}
	kind := corev1.EventTypeWarning
	if worst.Level == model.Approximate {
		kind = corev1.EventTypeNormal
	}
	text := worst.Message
	if worst.Path != "" {
		text = worst.Path + ": " + text
	}
	if worst.Mesh != "" {
		text = worst.Mesh + ": " + text
	}
	if worst.Hint != "" {
		text += " " + worst.Hint
	}
	w.o.Events.Event(&corev1.ObjectReference{APIVersion: meta.APIVersion, Kind: string(a.Object.Kind), Namespace: a.Object.Namespace, Name: a.Object.Name.Name,
		UID: meta.UID}, kind, reason(&worst), short(text))
}
