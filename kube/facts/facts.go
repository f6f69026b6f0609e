// SPDX-License-Identifier: Apache-2.0

// Package facts says in the words of the model what Kubernetes' own objects say, of the typed objects that a client receives.
//
// Package file/core does the same for the text that people write, where anything may be wrong. What an API server has taken is sound,
// so that there is nothing to find here; where both can read an object they say the same, which a test compares over the corpus.
package facts

import (
	"cmp"
	"net/netip"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/file/core"
	"github.com/anymesh/anymesh/model"
)

// Of lists the facts of an object; none of a kind that is not read.
func Of(o any) []model.Fact {
	switch o := o.(type) {
	case *corev1.Service:
		return []model.Fact{service(o)}
	case *discoveryv1.EndpointSlice:
		return slice(o)
	case *corev1.Pod:
		return pod(o)
	case *corev1.ServiceAccount:
		return []model.Fact{&model.ServiceAccount{Name: name(o)}}
	case *appsv1.Deployment:
		return controlled(o, model.KindDeployment, o.Spec.Selector, &o.Spec.Template)
	case *appsv1.StatefulSet:
		return controlled(o, model.KindStatefulSet, o.Spec.Selector, &o.Spec.Template)
	case *appsv1.DaemonSet:
		return controlled(o, model.KindDaemonSet, o.Spec.Selector, &o.Spec.Template)
	case *appsv1.ReplicaSet:
		return controlled(o, "ReplicaSet", o.Spec.Selector, &o.Spec.Template)
	case *batchv1.Job:
		return controlled(o, "Job", o.Spec.Selector, &o.Spec.Template)
	case *batchv1.CronJob:
		j := &o.Spec.JobTemplate.Spec
		return []model.Fact{workload(o, "CronJob", j.Selector, &j.Template)}
	}
	return nil
}

func name(o metav1.Object) model.Name {
	return model.Name{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// service reads a Service. One of type ExternalName has no selector of its own.
func service(s *corev1.Service) *model.Service {
	f := &model.Service{Name: name(s), Headless: s.Spec.ClusterIP == corev1.ClusterIPNone}
	f.Traffic, _ = core.Traffic(s.Annotations) // what is not understood has no effect
	if s.Spec.Type != corev1.ServiceTypeExternalName {
		f.Selector = s.Spec.Selector
	}
	seen := map[[2]int32]bool{}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		udp := p.Protocol == corev1.ProtocolUDP
		if p.Protocol == corev1.ProtocolSCTP || seen[[2]int32{p.Port, index(udp)}] {
			continue // no mesh carries it
		}
		seen[[2]int32{p.Port, index(udp)}] = true
		app := ""
		if p.AppProtocol != nil {
			app = *p.AppProtocol
		}
		out := model.ServicePort{Name: p.Name, Number: uint16(p.Port), Target: uint16(p.TargetPort.IntVal), TargetName: p.TargetPort.StrVal,
			Protocol: core.Protocol(string(p.Protocol), app, p.Name)}
		if out.TargetName == "" && out.Target == 0 {
			out.Target = out.Number
		}
		f.Ports = append(f.Ports, out)
	}
	return f
}

func index(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// slice reads an EndpointSlice: one of names rather than addresses, or of no Service, says nothing.
func slice(s *discoveryv1.EndpointSlice) []model.Fact {
	svc := s.Labels[discoveryv1.LabelServiceName]
	if svc == "" || s.AddressType == discoveryv1.AddressTypeFQDN {
		return nil
	}
	f := &model.EndpointSlice{Name: name(s), Service: model.Name{Namespace: s.Namespace, Name: svc}}
	for _, p := range s.Ports {
		if p.Port == nil {
			continue // every port, of which no proxy can make an address
		}
		out := model.EndpointPort{Number: uint16(*p.Port)}
		if p.Name != nil {
			out.Name = *p.Name
		}
		f.Ports = append(f.Ports, out)
	}
	for _, e := range s.Endpoints {
		ready, pod := e.Conditions.Ready == nil || *e.Conditions.Ready, ""
		if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
			pod = e.TargetRef.Name
		}
		for _, a := range e.Addresses {
			f.Endpoints = append(f.Endpoints, model.Endpoint{Address: ip(a), Ready: ready, Pod: pod})
		}
	}
	return []model.Fact{f}
}

// ip is an address in its one short form.
func ip(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.String()
	}
	return s
}

func account(p *corev1.PodSpec) string {
	return cmp.Or(p.ServiceAccountName, p.DeprecatedServiceAccount, "default")
}

// pod reads a pod, and the workload that it is where nothing controls it. One that has ended answers no more.
func pod(p *corev1.Pod) []model.Fact {
	f := &model.Pod{Name: name(p), Labels: p.Labels, Account: account(&p.Spec), Workload: model.Ref{Kind: model.KindPod, Name: name(p)}}
	f.Ports, _ = containers(&p.Spec)
	if a := cmp.Or(p.Annotations[core.Address], p.Status.PodIP); a != "" {
		f.Address = ip(a)
	}
	ended := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	f.Ready = f.Address != "" && !ended
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			f.Ready = f.Ready && c.Status == corev1.ConditionTrue
		}
	}
	if c := metav1.GetControllerOf(p); c != nil {
		f.Workload.Kind, f.Workload.Name.Name = core.Controlled(c.Kind, c.Name, p.Labels)
		return []model.Fact{f}
	}
	w := &model.Workload{Kind: model.KindPod, Name: f.Name, Labels: p.Labels, Selector: p.Labels, Account: f.Account}
	w.Ports, w.Probes = containers(&p.Spec)
	return []model.Fact{w, f}
}

// controlled reads a controller of pods, unless it is itself controlled by another, which says the same.
func controlled(o metav1.Object, k model.Kind, s *metav1.LabelSelector, t *corev1.PodTemplateSpec) []model.Fact {
	if metav1.GetControllerOf(o) != nil {
		return nil
	}
	return []model.Fact{workload(o, k, s, t)}
}

func workload(o metav1.Object, k model.Kind, s *metav1.LabelSelector, t *corev1.PodTemplateSpec) *model.Workload {
	w := &model.Workload{Kind: k, Name: name(o), Labels: t.Labels, Account: account(&t.Spec)}
	if s != nil {
		w.Selector = s.MatchLabels
	}
	w.Ports, w.Probes = containers(&t.Spec)
	return w
}
