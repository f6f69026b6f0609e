// SPDX-License-Identifier: Apache-2.0

package core

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// podSpec is what the model knows of a pod's template.
type podSpec struct {
	Account    string      `json:"serviceAccountName"`
	Deprecated string      `json:"serviceAccount"`
	Init       []container `json:"initContainers"`
	Containers []container `json:"containers"`
}

func (p *podSpec) account() string { return cmp.Or(p.Account, p.Deprecated, "default") }

type container struct {
	Name          string `json:"name"`
	RestartPolicy string `json:"restartPolicy"`
	Ports         []struct {
		Name     string `json:"name"`
		Port     *int64 `json:"containerPort"`
		Protocol string `json:"protocol"`
	} `json:"ports"`
	Liveness  *probe `json:"livenessProbe"`
	Readiness *probe `json:"readinessProbe"`
	Startup   *probe `json:"startupProbe"`
}

type probe struct {
	HTTP *struct {
		Path   string    `json:"path"`
		Port   intOrName `json:"port"`
		Host   string    `json:"host"`
		Scheme string    `json:"scheme"`
	} `json:"httpGet"`
	TCP *struct {
		Port intOrName `json:"port"`
		Host string    `json:"host"`
	} `json:"tcpSocket"`
	GRPC *struct {
		Port *int64 `json:"port"`
	} `json:"grpc"`
}

// template is a pod's template.
type template struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec podSpec `json:"spec"`
}

// spec is that of a controller.
type spec struct {
	Selector struct {
		Labels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	Template template `json:"template"`
}

// controller reads what makes pods of a template. One that another controller made says nothing of its own.
func (r *reading) controller() {
	var c struct {
		Metadata struct {
			Owners []owner `json:"ownerReferences"`
		} `json:"metadata"`
		Spec spec `json:"spec"`
	}
	if ok := r.decode(&c, vital("spec")...); ok && controller(c.Metadata.Owners) == nil {
		r.add(r.workload(c.Spec.Template.Metadata.Labels, c.Spec.Selector.Labels, &c.Spec.Template.Spec, "spec.template.spec"))
	}
}

func (r *reading) cronJob() {
	var c struct {
		Spec struct {
			Job struct {
				Spec spec `json:"spec"`
			} `json:"jobTemplate"`
		} `json:"spec"`
	}
	const at = "spec.jobTemplate.spec"
	if j := &c.Spec.Job.Spec; r.decode(&c, vital(at)...) {
		r.add(r.workload(j.Template.Metadata.Labels, j.Selector.Labels, &j.Template.Spec, at+".template.spec"))
	}
}

// vital lists the fields without which a controller is not known for what it is: whoever guessed its account or its labels would open or
// close the wrong one.
func vital(at string) []string {
	return []string{at + ".selector", at + ".template.metadata.labels", at + ".template.spec.serviceAccountName", at + ".template.spec.serviceAccount", "metadata.ownerReferences"}
}

func (r *reading) workload(labels, selector map[string]string, p *podSpec, at string) *model.Workload {
	w := &model.Workload{Kind: r.ref.Kind, Name: r.ref.Name, Labels: labels, Selector: selector, Account: p.account()}
	if r.ref.Kind == model.KindPod {
		r = &reading{} // a pod's containers are judged once
	}
	w.Ports, w.Probes = r.containers(p, at)
	return w
}

// containers lists the ports and probes of a pod's containers, and of those that start before and stay.
func (r *reading) containers(p *podSpec, at string) ([]model.ContainerPort, []model.Probe) {
	var ports []model.ContainerPort
	var probes []model.Probe
	for i := range p.Init {
		if c := &p.Init[i]; c.RestartPolicy == "Always" {
			r.container(c, at+".initContainers["+strconv.Itoa(i)+"]", &ports, &probes)
		}
	}
	for i := range p.Containers {
		r.container(&p.Containers[i], at+".containers["+strconv.Itoa(i)+"]", &ports, &probes)
	}
	return ports, probes
}

func (r *reading) container(c *container, at string, ports *[]model.ContainerPort, probes *[]model.Probe) {
	first := len(*ports)
	for i, p := range c.Ports {
		here := at + ".ports[" + strconv.Itoa(i) + "]"
		if p.Port == nil || !r.carried(p.Protocol, here+".protocol") {
			continue
		}
		out := model.ContainerPort{Name: p.Name, Number: r.port(*p.Port, here+".containerPort"), Protocol: model.TCP}
		if p.Protocol == "UDP" {
			out.Protocol = model.UDP
		}
		if out.Number != 0 {
			*ports = append(*ports, out)
		}
	}
	w := &model.Workload{Ports: (*ports)[first:]} // a probe's name for a port is the container's own
	for _, x := range []struct {
		*probe
		name string
	}{{c.Liveness, "livenessProbe"}, {c.Readiness, "readinessProbe"}, {c.Startup, "startupProbe"}} {
		if x.probe == nil {
			continue
		}
		if p, ok := r.probe(x.probe, at+"."+x.name, w); ok && !has(*probes, p) {
			*probes = append(*probes, p)
		}
	}
}

func has(list []model.Probe, p model.Probe) bool {
	for _, o := range list {
		if o == p {
			return true
		}
	}
	return false
}

// healthCheck is the request that a gRPC probe makes.
const healthCheck = "/grpc.health.v1.Health/Check"

// probe reads a check of the kubelet; false where it has no port to come to, or a host of its own, which
// the kubelet asks from where it is.
func (r *reading) probe(p *probe, at string, w *model.Workload) (model.Probe, bool) {
	switch {
	case p.HTTP != nil:
		out := model.Probe{Path: path(p.HTTP.Path), Port: r.probed(p.HTTP.Port, at+".httpGet.port", w)}
		if p.HTTP.Scheme == "HTTPS" {
			out.Path = "" // its path is not to be seen
		}
		return out, out.Port != 0 && p.HTTP.Host == ""
	case p.TCP != nil:
		out := model.Probe{Port: r.probed(p.TCP.Port, at+".tcpSocket.port", w)}
		return out, out.Port != 0 && p.TCP.Host == ""
	case p.GRPC != nil && p.GRPC.Port != nil:
		out := model.Probe{Path: healthCheck, Port: r.port(*p.GRPC.Port, at+".grpc.port")}
		return out, out.Port != 0
	}
	return model.Probe{}, false
}

// path is what the kubelet asks for, without the query.
func path(s string) string {
	s, _, _ = strings.Cut(s, "?")
	return "/" + strings.TrimPrefix(s, "/")
}

func (r *reading) probed(p intOrName, at string, w *model.Workload) uint16 {
	switch {
	case !p.set:
		return 0
	case p.name == "":
		return r.port(p.number, at)
	}
	n := w.TargetPort(&model.ServicePort{TargetName: p.name})
	if n == 0 {
		r.find(model.Invalid, model.CodePort, at, "the container has no port "+strconv.Quote(p.name), "Name one of its ports, or write the number.")
	}
	return n
}
