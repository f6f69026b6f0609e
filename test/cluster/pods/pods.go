// SPDX-License-Identifier: Apache-2.0

// Package pods stands for scheduler and kubelet on one machine: it runs the containers of Pods as processes, without images, namespaces of
// the kernel or root.
//
// A container's command is run as it stands; a container without one, whose image would say what to run, is nothing but there. Each pod has
// an address 10.244.a.b in the API, since Kubernetes allows no loopback address in an EndpointSlice, and its processes are to listen on
// 127.244.a.b, which any process of Linux may: both are in their environment, as POD_IP and BIND_IP, and [Dial] is the way from one to the
// other. Readiness probes count (http, tcp, exec); liveness and startup probes, resources and volumes do not.
package pods

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/anymesh/anymesh/test/cluster/pki"
)

// Dial is where a pod's processes are to be found that has an address in the API.
func Dial(podIP netip.Addr) netip.Addr {
	b := podIP.As4()
	b[0] = 127
	return netip.AddrFrom4(b)
}

// Options of a runner.
type Options struct {
	Client kubernetes.Interface
	Node   string // that the pods are on; it exists
	Dir    string // of what the containers write
	Keys   pki.Folder
}

// Runner runs the pods of a cluster.
type Runner struct {
	Options
	hold   net.Listener // on the first of our addresses, so that no other runner of this machine takes them too
	subnet byte
	logs   net.Listener

	mu   sync.Mutex
	runs map[types.UID]*run
	used map[byte]bool // the last bytes of addresses
	next byte
	wg   sync.WaitGroup
}

// New makes a runner. Nothing runs before Run, which must follow.
func New(o Options) (*Runner, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("logs of the pods: %w", err)
	}
	r := &Runner{Options: o, runs: map[types.UID]*run{}, used: map[byte]bool{}, next: firstPod}
	var err error
	if r.logs, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("port for logs: %w", err)
	}
	if err := r.take(); err != nil {
		r.logs.Close()
		return nil, err
	}
	return r, nil
}

// firstPod and lastPod are the last bytes of the pods' addresses. The address before is the runner's own.
const firstPod, lastPod = 2, 254

// take takes a range of addresses for the pods: what the runner before on this folder had, so that a pod may keep its own, or any that is free.
func (r *Runner) take() (err error) {
	remembered := filepath.Join(r.Dir, "range")
	if text, err := os.ReadFile(remembered); err == nil && len(text) == 1 {
		if r.hold, err = holdRange(text[0]); err == nil {
			r.subnet = text[0]
			return nil
		}
	}
	for range 100 {
		r.subnet = byte(1 + rand.IntN(254))
		if r.hold, err = holdRange(r.subnet); err == nil {
			return os.WriteFile(remembered, []byte{r.subnet}, 0o600)
		}
	}
	return fmt.Errorf("no range of addresses in 127.244.0.0/16 is free: %w", err)
}

func holdRange(n byte) (net.Listener, error) {
	return net.Listen("tcp4", fmt.Sprintf("127.244.%d.1:10250", n)) // the port of kubelets: whoever looks sees what holds it
}

// leave is how long processes may take to end when the runner does.
const leave = 2 * time.Second

// Run runs pods until the context ends; then it ends their processes, and the pods stay.
func (r *Runner) Run(ctx context.Context) error {
	defer r.hold.Close()
	f := informers.NewSharedInformerFactory(r.Client, 0)
	pods := f.Core().V1().Pods().Informer()
	handler, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { r.see(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { r.see(ctx, o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			r.gone(o.(*corev1.Pod).UID)
		},
	})
	if err != nil {
		return err
	}
	if err := r.serveLogs(ctx); err != nil {
		return err
	}
	f.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return nil
	}
	<-ctx.Done()
	f.Shutdown()
	r.mu.Lock()
	for _, u := range r.runs {
		u.end(leave)
	}
	r.mu.Unlock()
	r.wg.Wait()
	return nil
}

// see looks at what a pod is now.
func (r *Runner) see(ctx context.Context, p *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.runs[p.UID]
	switch {
	case ctx.Err() != nil || p.Spec.NodeName != "" && p.Spec.NodeName != r.Node:
	case p.DeletionTimestamp != nil && u != nil:
		u.end(time.Duration(*p.DeletionGracePeriodSeconds) * time.Second)
	case p.DeletionTimestamp != nil && p.Spec.NodeName != "":
		r.wg.Go(func() { r.remove(ctx, p) })
	case p.DeletionTimestamp != nil || u != nil || finished(p):
	case p.Spec.NodeName == "":
		if len(p.Spec.SchedulingGates) == 0 {
			r.wg.Go(func() { r.bind(ctx, p) })
		}
	default:
		u, err := r.begin(ctx, p)
		if err != nil {
			klog.ErrorS(err, "pod cannot run", "pod", klog.KObj(p))
			return
		}
		r.runs[p.UID] = u
		r.wg.Go(u.live)
	}
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// bind is the whole scheduler: there is one node.
func (r *Runner) bind(ctx context.Context, p *corev1.Pod) {
	err := retry(ctx, func() error {
		return r.Client.CoreV1().Pods(p.Namespace).Bind(ctx, &corev1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: p.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: r.Node}}, metav1.CreateOptions{})
	})
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) { // seen twice, or gone
		klog.ErrorS(err, "pod cannot be bound", "pod", klog.KObj(p))
	}
}

// remove takes a pod whose processes have ended out of the API, as its kubelet does.
func (r *Runner) remove(ctx context.Context, p *corev1.Pod) {
	if err := retry(ctx, func() error {
		err := r.Client.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: &metav1.Preconditions{UID: &p.UID}})
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return nil // by now it is another's
		}
		return err
	}); err != nil {
		klog.ErrorS(err, "pod cannot be removed", "pod", klog.KObj(p))
	}
}

// gone ends what is left of a pod that the API has no more.
func (r *Runner) gone(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u := r.runs[uid]; u != nil {
		u.end(0)
		u.forget()
		delete(r.runs, uid)
		r.used[u.ip.As4()[3]] = false
	}
}

// address finds a free one for a pod: the one that it had, if it had one of ours. The caller holds the lock.
func (r *Runner) address(p *corev1.Pod) (netip.Addr, error) {
	of := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, r.subnet, last}) }
	if had, err := netip.ParseAddr(p.Status.PodIP); err == nil && had.Is4() {
		if last := had.As4()[3]; had == of(last) && !r.used[last] {
			r.used[last] = true
			return had, nil
		}
	}
	for range lastPod - firstPod + 1 {
		last := r.next
		if r.next++; r.next > lastPod {
			r.next = firstPod
		}
		if !r.used[last] {
			r.used[last] = true
			return of(last), nil
		}
	}
	return netip.Addr{}, errors.New("all addresses of this node are in use")
}

// retry asks again while the API server cannot be asked, until the context ends.
func retry(ctx context.Context, ask func() error) error {
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := ask()
		if err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown && !apierrors.IsInternalError(err) && !apierrors.IsServerTimeout(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil // nobody waits for it any more
		case <-time.After(pause):
		}
	}
}

// has says whether a pod runs.
func (r *Runner) has(namespace, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.runs {
		if u.pod.Namespace == namespace && u.pod.Name == name {
			return true
		}
	}
	return false
}
