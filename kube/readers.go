// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"log/slog"
	"sync"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Readers keeps one reflector for each kind, at the place where the kind is served. It is used by one goroutine.
type Readers struct {
	ctx     context.Context
	cancel  context.CancelFunc
	log     *slog.Logger
	wg      sync.WaitGroup
	running map[string]reader
}

type reader struct {
	where Resource
	stop  context.CancelFunc
	done  chan struct{}
}

// NewReaders reads nothing yet.
func NewReaders(ctx context.Context, log *slog.Logger) *Readers {
	ctx, cancel := context.WithCancel(ctx)
	return &Readers{ctx: ctx, cancel: cancel, log: log, running: map[string]reader{}}
}

// Read has a kind read from a place on: nothing happens where it is read there already.
func (r *Readers) Read(name string, where Resource, how func() (cache.ListerWatcher, cache.ReflectorStore)) {
	if now, ok := r.running[name]; ok && now.where == where {
		return
	}
	r.Stop(name)
	ctx, stop := context.WithCancel(r.ctx)
	done := make(chan struct{})
	r.running[name] = reader{where, stop, done}
	lw, into := how()
	log := logr.FromSlogHandler(r.log.Handler())
	reflector := cache.NewReflectorWithOptions(lw, nil, into, cache.ReflectorOptions{Name: name, Logger: &log, TypeDescription: name})
	r.wg.Go(func() {
		defer close(done)
		reflector.RunWithContext(ctx)
	})
}

// Stop ends the reading of a kind, and says whether it was read.
func (r *Readers) Stop(name string) bool {
	now, ok := r.running[name]
	if ok {
		now.stop()
		<-now.done
		delete(r.running, name)
	}
	return ok
}

// Close ends all.
func (r *Readers) Close() {
	r.cancel()
	r.wg.Wait()
}

// ListWatch lists and watches by a client of one resource: of whole objects, or of their metadata.
func ListWatch[L runtime.Object](r interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return r.List(ctx, o) },
		WatchFuncWithContext: r.Watch,
	}
}
