// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/anymesh/anymesh/mesh"
)

// Served is the set of kinds that an API serves at one moment.
type Served map[schema.GroupVersionKind]Resource

// Resource is where a kind is served.
type Resource struct {
	schema.GroupVersionResource
	Namespaced bool
	Status     bool // the status is written apart
}

// Has says whether a driver's kind is served.
func (s Served) Has(k mesh.Kind) bool {
	_, ok := s[schema.FromAPIVersionAndKind(k.APIVersion, k.Kind)]
	return ok
}

// Any says whether some of a driver's kinds are served.
func (s Served) Any(kinds []mesh.Kind) bool { return slices.ContainsFunc(kinds, s.Has) }

// Find is where a kind is served; false where it is not.
func (s Served) Find(apiVersion, kind string) (Resource, bool) {
	r, ok := s[schema.FromAPIVersionAndKind(apiVersion, kind)]
	return r, ok
}

// Discover asks an API what it serves. Groups whose own server does not answer are left out: they must not hold up the others.
func (c *Cluster) Discover() (Served, error) {
	client, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return nil, err
	}
	_, lists, err := client.ServerGroupsAndResources()
	var partial *discovery.ErrGroupDiscoveryFailed
	if err != nil && !errors.As(err, &partial) {
		return nil, fmt.Errorf("ask the API what it serves: %w", err)
	}
	out := Served{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			continue
		}
		for i := range l.APIResources {
			r := &l.APIResources[i]
			name, sub, _ := strings.Cut(r.Name, "/")
			of := out[gv.WithKind(r.Kind)]
			switch sub {
			case "":
				of.GroupVersionResource, of.Namespaced = gv.WithResource(name), r.Namespaced
			case "status":
				of.Status = true
			default:
				continue
			}
			out[gv.WithKind(r.Kind)] = of
		}
	}
	return out, nil
}

// How soon after a change of the kinds the API is asked again, several changes at once, and how often it is asked in any case: kinds that
// another server adds give no sign.
const settle, again = 300 * time.Millisecond, 2 * time.Minute

// Watch tells of what is served, at first and whenever it changes, until the context ends. CustomResourceDefinitions give the signs.
func (c *Cluster) Watch(ctx context.Context, log *slog.Logger, told func(Served)) error {
	client, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	sign := make(signal, 1)
	sign.send()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		cache.NewReflectorWithOptions(ListWatch(crds), &metav1.PartialObjectMetadata{}, signals{sign}, cache.ReflectorOptions{Name: "kinds"}).RunWithContext(ctx)
	})
	var last Served
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-sign:
		case <-time.After(again):
		}
		now, err := c.Discover()
		if err != nil {
			log.Error("the API does not say what it serves, it will be asked again", "error", err)
			sign.after(ctx, time.Second)
			continue
		}
		if last == nil || !maps.Equal(now, last) {
			last = now
			told(now)
		}
		select { // what comes together is asked once
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settle):
		}
	}
}
