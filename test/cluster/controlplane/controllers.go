// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/certificates/rootcacertpublisher"
	"k8s.io/kubernetes/pkg/controller/clusterroleaggregation"
	"k8s.io/kubernetes/pkg/controller/daemon"
	"k8s.io/kubernetes/pkg/controller/deployment"
	"k8s.io/kubernetes/pkg/controller/endpointslice"
	"k8s.io/kubernetes/pkg/controller/endpointslicemirroring"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
	"k8s.io/kubernetes/pkg/controller/replicaset"
	"k8s.io/kubernetes/pkg/controller/serviceaccount"
	"k8s.io/kubernetes/pkg/controller/statefulset"
)

const (
	resync  = 12 * time.Hour  // as upstream
	news    = 2 * time.Second // until the garbage collector knows a new kind; upstream takes 30 s, longer than a test waits
	renewal = 10 * time.Second
	workers = 2
)

// control starts the controllers, each made directly: the command that makes them all may run once in a process only and costs twice the
// compilation. They end with the context.
func (c *ControlPlane) control(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	f := informers.NewSharedInformerFactory(client, resync)
	core, apps := f.Core().V1(), f.Apps().V1()
	if err := c.collect(ctx, client, f); err != nil { // which also starts the informers that it is told of later
		return err
	}
	accounts, err := serviceaccount.NewServiceAccountsController(klog.FromContext(ctx), core.ServiceAccounts(), core.Namespaces(), client,
		serviceaccount.DefaultServiceAccountsControllerOptions())
	if err != nil {
		return err
	}
	roots, err := rootcacertpublisher.NewPublisher(core.ConfigMaps(), core.Namespaces(), client, c.Config.CAData)
	if err != nil {
		return err
	}
	deployments, err := deployment.NewDeploymentController(ctx, apps.Deployments(), apps.ReplicaSets(), core.Pods(), client)
	if err != nil {
		return err
	}
	daemons, err := daemon.NewDaemonSetsController(ctx, apps.DaemonSets(), apps.ControllerRevisions(), core.Pods(), core.Nodes(), client,
		flowcontrol.NewBackOff(time.Second, time.Minute))
	if err != nil {
		return err
	}
	// The number of addresses in a slice and the pause for more news are upstream's own.
	slices := endpointslice.NewController(ctx, core.Pods(), core.Services(), core.Nodes(), f.Discovery().V1().EndpointSlices(), 100, client, 0)
	mirrors := endpointslicemirroring.NewController(ctx, core.Endpoints(), f.Discovery().V1().EndpointSlices(), core.Services(), 1000, client, 0)
	sets := replicaset.NewReplicaSetController(ctx, apps.ReplicaSets(), core.Pods(), client, replicaset.BurstReplicas)
	stateful := statefulset.NewStatefulSetController(ctx, core.Pods(), apps.StatefulSets(), core.PersistentVolumeClaims(), apps.ControllerRevisions(), client)
	roles := clusterroleaggregation.NewClusterRoleAggregation(f.Rbac().V1().ClusterRoles(), client.RbacV1())
	for _, run := range []func(context.Context, int){
		accounts.Run, roots.Run, deployments.Run, daemons.Run, slices.Run, mirrors.Run, sets.Run, stateful.Run, roles.Run,
	} {
		go run(ctx, workers)
	}
	f.Start(ctx.Done())
	return nil
}

// collect starts the two that look at objects of every kind, whatever the kind: the deletion of namespaces, and of what has lost its owner.
func (c *ControlPlane) collect(ctx context.Context, client kubernetes.Interface, f informers.SharedInformerFactory) error {
	meta, err := metadata.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	namespaces := namespace.NewNamespaceController(ctx, client, meta, client.Discovery().ServerPreferredNamespacedResources,
		f.Core().V1().Namespaces(), resync, corev1.FinalizerKubernetes)
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	both := informerfactory.NewInformerFactory(f, metadatainformer.NewSharedInformerFactory(meta, resync))
	started := make(chan struct{})
	garbage, err := garbagecollector.NewGarbageCollector(ctx, client, meta, mapper, garbagecollector.DefaultIgnoredResources(), both, started)
	if err != nil {
		return err
	}
	both.Start(ctx.Done())
	close(started)
	go namespaces.Run(ctx, workers)
	go garbage.Run(ctx, workers, news)
	go garbage.Sync(ctx, client.Discovery(), news)
	go func() {
		for tick := time.Tick(renewal); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick:
				mapper.Reset() // so that kinds which came later are found
			}
		}
	}()
	return nil
}
