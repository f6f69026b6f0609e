// SPDX-License-Identifier: Apache-2.0

// Package connect is a cluster as the commands see it: found as kubectl finds it, asked for objects by their kind.
package connect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/anymesh/anymesh/kube"
)

// Cluster is a cluster that can be asked.
type Cluster struct {
	*kube.Cluster
	Discovery discovery.DiscoveryInterface
	Namespace string // of the context

	mapper *restmapper.DeferredDiscoveryRESTMapper
}

// ErrNone says that no kubeconfig is there, and no cluster around.
var ErrNone = errors.New("no cluster is configured")

// Open reads the kubeconfig. It asks the cluster nothing yet.
func Open(a kube.Access) (*Cluster, error) {
	config, namespace, err := a.Load()
	if errors.Is(err, clientcmd.ErrEmptyConfig) {
		return nil, fmt.Errorf("%w: name one with --kubeconfig FILE or $KUBECONFIG", ErrNone)
	} else if err != nil {
		return nil, err
	}
	c, err := New(config)
	if err != nil {
		return nil, err
	}
	c.Namespace = namespace
	return c, nil
}

// New is a cluster by what says how to reach it.
func New(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{}
	k, err := kube.Connect(config)
	if err != nil {
		return nil, err
	}
	d, err := discovery.NewDiscoveryClientForConfig(k.Config)
	if err != nil {
		return nil, err
	}
	return &Cluster{k, d, "default", restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))}, nil
}

// Of is the client of the resource that an object belongs to, in the object's namespace. Of the error Unserved says whether the
// cluster does not serve the kind.
func (c *Cluster) Of(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	r := c.Dynamic.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		return r.Namespace(o.GetNamespace()), nil
	}
	return r, nil
}

// Unserved says whether an error means that the cluster does not serve a kind.
func Unserved(err error) bool { return meta.IsNoMatchError(err) }

// Renew forgets which kinds are served: after definitions came or went.
func (c *Cluster) Renew() { c.mapper.Reset() }

// CRDs is the resource of CustomResourceDefinitions.
var CRDs = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// Until asks again until there is no error, for so long at most; then it returns the last one, with what was waited for.
func Until(ctx context.Context, limit time.Duration, what string, ask func() error) error {
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-inner.Done():
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("%s within %s", what, limit)
			}
			return fmt.Errorf("%s within %s: %w", what, limit, err)
		case <-time.After(pause):
		}
	}
}

// pause lies between two questions of Until.
const pause = 100 * time.Millisecond
