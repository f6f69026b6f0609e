// SPDX-License-Identifier: Apache-2.0

// Package inject puts a proxy of the built-in mesh into pods: a native sidecar, that is up before the pod's own containers and ends after them.
//
// A pod is changed once, when it is created, and only by adding: what its author wrote stays as it was. Where a proxy could not stand, the pod is
// refused with the reason, since who asked for a place in the mesh must not be left outside of it unseen.
package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Label is by what a namespace or a pod asks for a proxy, or a pod declines it.
const (
	Label    = "anymesh.dev/inject"
	Enabled  = "enabled"
	Disabled = "disabled"
)

// Annotations of a pod.
const (
	ModeAnnotation   = "anymesh.dev/mode"     // Direct, which is the only one so far
	CPUAnnotation    = "anymesh.dev/cpu"      // request of the proxy
	MemoryAnnotation = "anymesh.dev/memory"   // request and limit of the proxy
	Injected         = "anymesh.dev/injected" // by us: the version that did it
)

// Direct is how a process reaches its proxy: it is told by HTTP_PROXY. There is no other way here yet, and a pod that asks for one is refused.
const Direct = "direct"

// The names of what is added.
const (
	Proxy  = "anymesh-proxy"
	volume = "anymesh-token"
)

// Ports that the proxy needs of a pod.
const (
	OutboundPort = 15001
	InboundPort  = 15006
	AdminPort    = 15020
)

// Options say what is put into pods.
type Options struct {
	Image        string
	PullPolicy   corev1.PullPolicy
	Command      []string // empty: the image's own
	Version      string
	ControlPlane string // HOST:PORT
	Mode         string // how processes reach their proxy; empty: Direct
	User         int64  // that the proxy runs as; 0: 65532
	// Mesh is the trust domain of the mesh and its public roots, in PEM; both are empty while there is none.
	Mesh func() (domain string, roots []byte)
}

// Injector puts proxies into pods.
type Injector struct{ o Options }

// New is an injector.
func New(o Options) *Injector {
	if o.Mode == "" {
		o.Mode = Direct
	}
	if o.User == 0 {
		o.User = 65532
	}
	return &Injector{o}
}

// operation is one step of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Patch is what is to be changed of a pod (RFC 6902), nil where nothing is; warnings are for its author. An error is why the pod cannot be in the
// mesh.
func (i *Injector) Patch(raw []byte) (patch []byte, warnings []string, err error) {
	p := &corev1.Pod{}
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, nil, fmt.Errorf("not a pod: %w", err)
	}
	if p.Labels[Label] == Disabled || has(p, Proxy) {
		return nil, nil, nil
	}
	w := &writer{o: &i.o, pod: p, mode: i.o.Mode}
	var roots []byte
	if w.domain, roots = i.o.Mesh(); len(roots) == 0 {
		return nil, nil, errors.New("the mesh has no roots yet: is there a Mesh of kind builtin, and does `anymesh status` say that it works?")
	}
	w.roots = string(roots)
	if m := p.Annotations[ModeAnnotation]; m != "" {
		w.mode = m
	}
	if err := w.check(); err != nil {
		return nil, nil, err
	}
	if err := w.write(); err != nil {
		return nil, nil, err
	}
	patch, err = json.Marshal(w.patch)
	return patch, w.warnings, err
}

func has(p *corev1.Pod, name string) bool {
	return slices.ContainsFunc(slices.Concat(p.Spec.InitContainers, p.Spec.Containers), func(c corev1.Container) bool { return c.Name == name })
}

// writer writes one patch.
type writer struct {
	o             *Options
	domain, roots string
	pod           *corev1.Pod
	mode          string
	patch         []operation
	warnings      []string
}

// check refuses a pod in which a proxy cannot stand.
func (w *writer) check() error {
	s := &w.pod.Spec
	switch {
	case w.mode != Direct:
		return fmt.Errorf("%s: %q is not known here: write %s", ModeAnnotation, w.mode, Direct)
	case s.HostNetwork:
		return fmt.Errorf("spec.hostNetwork: the pod has the node's network, in which no proxy can stand beside it alone: give it a network of its own, or the label %s: %s", Label, Disabled)
	case s.OS != nil && s.OS.Name == corev1.Windows:
		return fmt.Errorf("spec.os: the proxy runs on Linux alone: give the pod the label %s: %s", Label, Disabled)
	}
	for _, c := range slices.Concat(s.InitContainers, s.Containers) {
		for _, p := range c.Ports {
			if p.ContainerPort == OutboundPort || p.ContainerPort == InboundPort || p.ContainerPort == AdminPort {
				return fmt.Errorf("container %s: port %d is the proxy's: choose another", c.Name, p.ContainerPort)
			}
		}
	}
	if s.AutomountServiceAccountToken != nil && !*s.AutomountServiceAccountToken {
		w.warnings = append(w.warnings, "automountServiceAccountToken: false: the proxy alone is given a token, for the mesh and for nobody else")
	}
	return nil
}

// add notes one step.
func (w *writer) add(path string, value any) {
	w.patch = append(w.patch, operation{"add", path, value})
}

func (w *writer) write() error {
	proxy, err := w.proxy()
	if err != nil {
		return err
	}
	if len(w.pod.Annotations) == 0 {
		w.add("/metadata/annotations", map[string]string{Injected: w.o.Version})
	} else {
		w.add("/metadata/annotations/"+strings.ReplaceAll(Injected, "/", "~1"), w.o.Version)
	}
	// The pod's own containers first: what follows moves their places.
	for k := range w.pod.Spec.Containers {
		w.tell(fmt.Sprintf("/spec/containers/%d/env", k), &w.pod.Spec.Containers[k])
	}
	for k := range w.pod.Spec.InitContainers {
		w.tell(fmt.Sprintf("/spec/initContainers/%d/env", k), &w.pod.Spec.InitContainers[k])
	}
	if len(w.pod.Spec.Volumes) == 0 {
		w.add("/spec/volumes", []corev1.Volume{})
	}
	w.add("/spec/volumes/-", token())
	if len(w.pod.Spec.InitContainers) == 0 {
		w.add("/spec/initContainers", []corev1.Container{})
	}
	w.add("/spec/initContainers/0", proxy)
	return nil
}

// address is the variable that holds the pod's address.
const address = "ANYMESH_POD_IP"

// tell has a container find the proxy, unless its author had it find another.
func (w *writer) tell(path string, c *corev1.Container) {
	via := fmt.Sprintf("http://$(%s):%d", address, OutboundPort)
	var add []corev1.EnvVar
	for _, name := range []string{"HTTP_PROXY", "http_proxy"} {
		if slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }) {
			w.warnings = append(w.warnings, fmt.Sprintf("container %s has %s already: what it asks there does not pass through the mesh", c.Name, name))
			continue
		}
		add = append(add, corev1.EnvVar{Name: name, Value: via})
	}
	if len(add) == 0 {
		return
	}
	add = slices.Insert(add, 0, field(address, "status.podIP"))
	if len(c.Env) == 0 {
		w.add(path, add)
		return
	}
	for _, e := range add {
		w.add(path+"/-", e)
	}
}

func field(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
}

// tokenFolder is where the proxy finds the token by which it proves whose the pod is.
const tokenFolder = "/var/run/secrets/anymesh"

func token() corev1.Volume {
	life := int64(3600)
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: Audience, ExpirationSeconds: &life, Path: "token"}}}}}}
}

// Audience is whom the token is for; it is issue.Audience.
const Audience = "anymesh"

// proxy is the sidecar.
func (w *writer) proxy() (*corev1.Container, error) {
	needs, err := w.resources()
	if err != nil {
		return nil, err
	}
	always, yes, no := corev1.ContainerRestartPolicyAlways, true, false
	return &corev1.Container{
		Name: Proxy, Image: w.o.Image, ImagePullPolicy: w.o.PullPolicy, Command: w.o.Command,
		Args: []string{"proxy", "--control-plane=" + w.o.ControlPlane, "--trust-domain=" + w.domain, "--account-token=" + tokenFolder + "/token",
			"--namespace=$(ANYMESH_POD_NAMESPACE)", "--pod=$(ANYMESH_POD_NAME)", "--ip=$(" + address + ")",
			"--outbound-port=" + strconv.Itoa(OutboundPort), "--inbound-port=" + strconv.Itoa(InboundPort), fmt.Sprintf("--admin=$(%s):%d", address, AdminPort)},
		Env: []corev1.EnvVar{field("ANYMESH_POD_NAMESPACE", "metadata.namespace"), field("ANYMESH_POD_NAME", "metadata.name"), field(address, "status.podIP"),
			{Name: "ANYMESH_ROOTS", Value: w.roots}},
		Ports:         []corev1.ContainerPort{{Name: "anymesh-mtls", ContainerPort: InboundPort}, {Name: "anymesh-admin", ContainerPort: AdminPort}},
		RestartPolicy: &always,
		Resources:     needs,
		// The pod's own containers begin when the proxy is ready, and find it.
		StartupProbe:   ready(1, 120),
		ReadinessProbe: ready(5, 2),
		VolumeMounts:   []corev1.VolumeMount{{Name: volume, MountPath: tokenFolder, ReadOnly: true}},
		SecurityContext: &corev1.SecurityContext{RunAsUser: &w.o.User, RunAsGroup: &w.o.User, RunAsNonRoot: &yes, ReadOnlyRootFilesystem: &yes, AllowPrivilegeEscalation: &no,
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
	}, nil
}

func ready(every, failures int32) *corev1.Probe {
	return &corev1.Probe{PeriodSeconds: every, FailureThreshold: failures,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(AdminPort)}}}
}

// resources are the proxy's: little, and bounded memory, unless the pod says otherwise.
func (w *writer) resources() (out corev1.ResourceRequirements, err error) {
	read := func(annotation, otherwise string) (resource.Quantity, error) {
		text := otherwise
		if s := w.pod.Annotations[annotation]; s != "" {
			text = s
		}
		q, err := resource.ParseQuantity(text)
		if err != nil {
			return q, fmt.Errorf("annotation %s: %q: %w", annotation, text, err)
		}
		return q, nil
	}
	cpu, err := read(CPUAnnotation, "10m")
	if err != nil {
		return out, err
	}
	memory, err := read(MemoryAnnotation, "64Mi")
	if err != nil {
		return out, err
	}
	limit := memory
	if w.pod.Annotations[MemoryAnnotation] == "" {
		limit = resource.MustParse("256Mi")
	}
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory},
		Limits: corev1.ResourceList{corev1.ResourceMemory: limit}}, nil
}
