// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

// intOrName is a port by number or by name.
type intOrName struct {
	set    bool
	number int64
	name   string
}

// UnmarshalNode reads a number or a text.
func (p *intOrName) UnmarshalNode(n *yaml.Node) []object.Problem {
	if s, ok := object.Text(n); ok {
		p.set, p.name = true, s
		return nil
	}
	problems := object.Unmarshal(n, &p.number)
	p.set = len(problems) == 0
	return problems
}

// named reads the name of a port: Kubernetes takes none that is a number, nor one in capitals.
func (r *reading) named(s, path string) string {
	hint := "A name has at most 15 lower-case letters, digits and '-', and at least one letter."
	if _, err := strconv.Atoi(s); err == nil {
		hint = "Write the number without quotes."
	}
	if len(s) > 15 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(s, "0123456789-") == "" {
		r.find(model.Invalid, model.CodePort, path, strconv.Quote(s)+" is not the name of a port", hint)
		return ""
	}
	return s
}

// carried says whether the model knows what a port's protocol field says: SCTP has no place in it.
func (r *reading) carried(protocol, path string) bool {
	switch protocol {
	case "", "TCP", "UDP":
		return true
	case "SCTP":
		r.find(model.Notice, model.CodeIgnored, path, "a port of SCTP is left out: no mesh carries it", "")
	default:
		r.find(model.Invalid, model.CodePort, path, strconv.Quote(protocol)+" is not a protocol", "It is TCP, UDP or SCTP, in capitals.")
	}
	return false
}

// Protocol is what a Service's port carries: its appProtocol says it, or else its name up to the first dash, as every mesh reads it.
func Protocol(transport, app, name string) model.Protocol {
	if transport == "UDP" {
		return model.UDP
	}
	word := strings.ToLower(app)
	if app == "" {
		word = strings.ToLower(name)
	}
	switch word {
	case "kubernetes.io/h2c":
		return model.HTTP2
	case "kubernetes.io/ws":
		return model.HTTP
	case "kubernetes.io/wss":
		return model.TLS
	}
	if word == "grpc-web" || strings.HasPrefix(word, "grpc-web-") {
		return model.HTTP // HTTP/1.1 bodies, whatever they hold
	}
	word, _, _ = strings.Cut(word, "-")
	switch word {
	case "http":
		return model.HTTP
	case "http2", "h2c":
		return model.HTTP2
	case "grpc":
		return model.GRPC
	case "https", "tls":
		return model.TLS
	case "tcp", "mongo", "redis", "mysql":
		return model.TCP
	case "udp":
		return model.UDP
	}
	return model.Auto
}

// service reads a Service. One of type ExternalName has no pods, whatever its selector says.
func (r *reading) service() {
	var s struct {
		Spec struct {
			Type      string            `json:"type"`
			ClusterIP string            `json:"clusterIP"`
			Selector  map[string]string `json:"selector"`
			Ports     []struct {
				Name        string    `json:"name"`
				Port        *int64    `json:"port"`
				TargetPort  intOrName `json:"targetPort"`
				Protocol    string    `json:"protocol"`
				AppProtocol string    `json:"appProtocol"`
			} `json:"ports"`
		} `json:"spec"`
	}
	f := &model.Service{Name: r.ref.Name, Traffic: r.traffic()}
	decoded := r.decode(&s, "spec.selector")
	f.Headless = s.Spec.ClusterIP == "None"
	if decoded && s.Spec.Type != "ExternalName" {
		f.Selector = s.Spec.Selector // a part of a selector would select more
	}
	seen := map[string]bool{}
	for i, p := range s.Spec.Ports {
		at := "spec.ports[" + strconv.Itoa(i) + "]"
		if p.Port == nil {
			if !r.spoiled(at) {
				r.find(model.Invalid, model.CodeRequired, at, "a port without its number", "Write port.")
			}
			continue
		}
		out := model.ServicePort{Name: p.Name, Number: r.port(*p.Port, at+".port"), Protocol: Protocol(p.Protocol, p.AppProtocol, p.Name)}
		if !r.carried(p.Protocol, at+".protocol") || out.Number == 0 {
			continue
		}
		switch t := p.TargetPort; {
		case !t.set || t.name == "" && t.number == 0:
			out.Target = out.Number
		case t.name != "":
			out.TargetName = r.named(t.name, at+".targetPort")
		default:
			out.Target = r.port(t.number, at+".targetPort")
		}
		if out.Target == 0 && out.TargetName == "" {
			continue
		}
		key := fmt.Sprint(out.Number, p.Protocol == "UDP")
		if seen[key] {
			r.find(model.Invalid, model.CodePort, at+".port", fmt.Sprintf("port %d stands twice", out.Number), "Remove one of the two.")
			continue
		}
		seen[key] = true
		f.Ports = append(f.Ports, out)
	}
	r.add(f)
}
