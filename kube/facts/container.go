// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/anymesh/anymesh/model"
)

// containers lists the ports and the probes of what runs for as long as the pod does.
func containers(p *corev1.PodSpec) (ports []model.ContainerPort, probes []model.Probe) {
	for i := range p.InitContainers {
		if c := &p.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			ports, probes = container(c, ports, probes)
		}
	}
	for i := range p.Containers {
		ports, probes = container(&p.Containers[i], ports, probes)
	}
	return ports, probes
}

func container(c *corev1.Container, ports []model.ContainerPort, probes []model.Probe) ([]model.ContainerPort, []model.Probe) {
	first := len(ports)
	for _, p := range c.Ports {
		switch p.Protocol {
		case corev1.ProtocolSCTP:
		case corev1.ProtocolUDP:
			ports = append(ports, model.ContainerPort{Name: p.Name, Number: uint16(p.ContainerPort), Protocol: model.UDP})
		default:
			ports = append(ports, model.ContainerPort{Name: p.Name, Number: uint16(p.ContainerPort), Protocol: model.TCP})
		}
	}
	own := &model.Workload{Ports: ports[first:]} // a probe's name for a port is the container's own
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if out, ok := probe(p, own); ok && !slices.Contains(probes, out) {
			probes = append(probes, out)
		}
	}
	return ports, probes
}

// healthCheck is the path of the kubelet's gRPC probe.
const healthCheck = "/grpc.health.v1.Health/Check"

// probe reads a probe that reaches the pod's own address.
func probe(p *corev1.Probe, own *model.Workload) (out model.Probe, ok bool) {
	if p == nil {
		return out, false
	}
	host := ""
	switch {
	case p.HTTPGet != nil:
		host, out.Port = p.HTTPGet.Host, port(p.HTTPGet.Port, own)
		if p.HTTPGet.Scheme != corev1.URISchemeHTTPS { // whose path is not to be seen
			path, _, _ := strings.Cut(p.HTTPGet.Path, "?")
			out.Path = "/" + strings.TrimPrefix(path, "/")
		}
	case p.TCPSocket != nil:
		host, out.Port = p.TCPSocket.Host, port(p.TCPSocket.Port, own)
	case p.GRPC != nil:
		out = model.Probe{Path: healthCheck, Port: uint16(p.GRPC.Port)}
	}
	return out, out.Port != 0 && host == ""
}

func port(p intstr.IntOrString, own *model.Workload) uint16 {
	if p.Type == intstr.String {
		return own.TargetPort(&model.ServicePort{TargetName: p.StrVal})
	}
	return uint16(p.IntVal)
}
