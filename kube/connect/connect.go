// SPDX-License-Identifier: Apache-2.0

// Package connect finds a cluster as kubectl does, and knows by which resource a kind of object is asked for.
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
	"k8s.io/client-go/tools/clientcmd/api"
)

// Flags name a cluster and a place in it, as the flags of kubectl do. The zero value is what kubectl takes: $KUBECONFIG, or else
// ~/.kube/config, or else the cluster that the program runs in.
type Flags struct {
	Kubeconfig string // file
	Context    string // in it; empty: the current one
	Namespace  string // empty: the context's
}

// Cluster is a cluster that can be asked.
type Cluster struct {
	Config    *rest.Config
	Dynamic   dynamic.Interface
	Discovery discovery.DiscoveryInterface
	Namespace string // of the flags or of the context
	Name      string // of the context; empty in a cluster

	mapper *restmapper.DeferredDiscoveryRESTMapper
}

// ErrNone says that there is no kubeconfig and no cluster around.
var ErrNone = errors.New("no cluster is configured")

// rate is how many requests a second we send at most: the API server's own fairness holds above it.
const rate, burst = 200, 400

// Open reads the kubeconfig. It asks the cluster nothing yet.
func Open(f Flags) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{
		CurrentContext: f.Context, Context: api.Context{Namespace: f.Namespace}})
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("%w: name one with --kubeconfig FILE or $KUBECONFIG", ErrNone)
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	c, err := New(config)
	if err != nil {
		return nil, err
	}
	if c.Namespace, _, err = loader.Namespace(); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	if raw, err := loader.RawConfig(); err == nil {
		c.Name = raw.CurrentContext
	}
	if f.Context != "" {
		c.Name = f.Context
	}
	return c, nil
}

// New is a cluster by what says how to reach it.
func New(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst, config.UserAgent = rate, burst, "anymesh"
	config.WarningHandler = rest.NoWarnings{}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &Cluster{Config: config, Dynamic: dyn, Discovery: disco, Namespace: "default",
		mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))}, nil
}

// Of is the client of the resource that an object belongs to, in the object's namespace. The error satisfies Unserved where the
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
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, context.DeadlineExceeded) {
				return cause
			}
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		case <-time.After(pause):
		}
	}
}

// pause lies between two questions of Until.
const pause = 200 * time.Millisecond
