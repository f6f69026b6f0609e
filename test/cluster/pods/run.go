// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// run is one pod that runs here.
type run struct {
	r     *Runner
	pod   *corev1.Pod // as it was when it came
	ip    netip.Addr  // in the API; its processes listen on Dial of it
	began metav1.Time

	ctx    context.Context // of its processes
	stop   context.CancelFunc
	known  context.Context // of its place in the API
	forget context.CancelFunc
	news   chan struct{} // its status has changed

	mu         sync.Mutex
	prepared   bool                  // its init containers are done
	conditions []corev1.PodCondition // as told last
	init, main []*container          // whose state is guarded by mu
}

// begin makes a run of a pod. The caller holds the runner's lock.
func (r *Runner) begin(ctx context.Context, p *corev1.Pod) (*run, error) {
	ip, err := r.address(p)
	if err != nil {
		return nil, err
	}
	u := &run{r: r, pod: p, ip: ip, began: metav1.Now(), news: make(chan struct{}, 1)}
	u.known, u.forget = context.WithCancel(ctx)
	u.ctx, u.stop = context.WithCancel(u.known)
	for i := range p.Spec.InitContainers {
		u.init = append(u.init, u.container(&p.Spec.InitContainers[i]))
	}
	for i := range p.Spec.Containers {
		u.main = append(u.main, u.container(&p.Spec.Containers[i]))
	}
	return u, nil
}

// end ends the pod's processes: they are asked to, and killed after the time of grace.
func (u *run) end(grace time.Duration) {
	u.stop()
	kill := func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, c := range slices.Concat(u.init, u.main) {
			c.kill()
		}
	}
	if grace == 0 {
		kill()
		return
	}
	time.AfterFunc(grace, kill)
}

// live runs the pod's containers until they have ended, and then, where it is to be deleted, takes it out of the API.
func (u *run) live() {
	var reports, all sync.WaitGroup
	defer reports.Wait()
	reports.Go(u.report)
	u.changed()
	ready := true
	for _, c := range u.init {
		if sidecar(c.spec) {
			all.Go(c.keep)
		} else if c.keep(); !c.succeeded() {
			ready = false
			break
		}
	}
	if ready {
		u.mu.Lock()
		u.prepared = true
		u.mu.Unlock()
		for _, c := range u.main {
			all.Go(c.keep)
		}
	}
	all.Wait()
	u.changed()
	select {
	case <-u.ctx.Done(): // it is to be deleted, or we are to end
	case <-u.known.Done():
	}
	if u.known.Err() == nil {
		u.r.remove(u.known, u.pod)
	}
}

// sidecar says whether an init container stays, beside the others.
func sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func (u *run) changed() {
	select {
	case u.news <- struct{}{}:
	default:
	}
}

// report tells the API what became of the pod, for as long as the API knows it.
func (u *run) report() {
	for {
		select {
		case <-u.known.Done():
			return
		case <-u.news:
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": u.pod.UID}, "status": u.status()})
		if err != nil {
			panic("pods: " + err.Error()) // a status is made of texts and numbers
		}
		err = retry(u.known, func() error {
			_, err := u.r.Client.CoreV1().Pods(u.pod.Namespace).Patch(u.known, u.pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
			return err
		})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && u.known.Err() == nil { // gone, or another's by now
			klog.ErrorS(err, "status of a pod", "pod", klog.KObj(u.pod))
		}
	}
}

// status is what there is to say of the pod.
func (u *run) status() corev1.PodStatus {
	u.mu.Lock()
	defer u.mu.Unlock()
	ip := u.ip.String()
	st := corev1.PodStatus{Phase: u.phase(), HostIP: "127.0.0.1", HostIPs: []corev1.HostIP{{IP: "127.0.0.1"}}, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, StartTime: &u.began}
	ready := u.prepared && st.Phase == corev1.PodRunning
	for _, c := range u.init {
		st.InitContainerStatuses = append(st.InitContainerStatuses, c.status)
		ready = ready && (c.status.Ready || !sidecar(c.spec))
	}
	for _, c := range u.main {
		st.ContainerStatuses = append(st.ContainerStatuses, c.status)
		ready = ready && c.status.Ready
	}
	u.condition(corev1.PodScheduled, true)
	u.condition(corev1.PodInitialized, u.prepared)
	u.condition(corev1.ContainersReady, ready)
	u.condition(corev1.PodReady, ready)
	st.Conditions = slices.Clone(u.conditions)
	return st
}

// condition says whether something is so, and since when. The caller holds the lock.
func (u *run) condition(what corev1.PodConditionType, is bool) {
	now := corev1.PodCondition{Type: what, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now()}
	if is {
		now.Status = corev1.ConditionTrue
	}
	i := slices.IndexFunc(u.conditions, func(c corev1.PodCondition) bool { return c.Type == what })
	switch {
	case i < 0:
		u.conditions = append(u.conditions, now)
	case u.conditions[i].Status != now.Status:
		u.conditions[i] = now
	}
}

// phase sums up the containers. The caller holds the lock.
func (u *run) phase() corev1.PodPhase {
	for _, c := range u.init {
		if t := c.status.State.Terminated; t != nil && t.ExitCode != 0 && c.final {
			return corev1.PodFailed
		}
	}
	if !u.prepared {
		return corev1.PodPending
	}
	phase := corev1.PodSucceeded
	for _, c := range u.main {
		switch t := c.status.State.Terminated; {
		case !c.final:
			return corev1.PodRunning
		case t == nil || t.ExitCode != 0:
			phase = corev1.PodFailed
		}
	}
	return phase
}
