// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/webhook"
)

// object is what the API is sent.
type object = map[string]any

// definitions are SMI's kinds, and that the API server asks us about them.
func definitions(w *answerer) (out []object, err error) {
	var all []any
	for _, d := range deploy.CRDs() {
		if d.Spec.Conversion != nil && d.Spec.Conversion.Webhook != nil {
			c := d.Spec.Conversion.Webhook.ClientConfig
			c.Service, c.URL, c.CABundle = nil, w.at(webhook.ConvertPath), w.ca
		}
		all = append(all, d)
	}
	v := deploy.Validation()
	for i := range v.Webhooks {
		c := &v.Webhooks[i].ClientConfig
		c.Service, c.URL, c.CABundle = nil, w.at(webhook.ValidatePath), w.ca
	}
	for _, d := range append(all, v) {
		o, err := plain(d)
		if err != nil {
			return nil, err
		}
		delete(o, "status") // which is the server's
		out = append(out, o)
	}
	return out, nil
}

// read reads the objects of a folder.
func read(files fs.FS, folder string) (out []object, err error) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		text, err := fs.ReadFile(files, folder+"/"+e.Name())
		if err != nil {
			return nil, err
		}
		for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
			var o object
			if err := d.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", e.Name(), err)
			}
			out = append(out, o)
		}
	}
	return out, nil
}

// inCluster makes of the pods of one machine what makes them in a cluster: a Deployment each, and what that needs. The rest stays as it is.
func inCluster(objects []object) (out []object, err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	made := map[string]bool{}
	once := func(kind, namespace, name string) {
		if key := kind + namespace + "/" + name; !made[key] {
			made[key] = true
			out = append(out, object{"apiVersion": "v1", "kind": kind, "metadata": object{"name": name, "namespace": namespace}})
		}
	}
	var rest []object
	for _, o := range objects {
		if o["kind"] != "Pod" {
			rest = append(rest, o)
			continue
		}
		var pod corev1.Pod
		if err := typed(o, &pod); err != nil {
			return nil, err
		}
		once("Namespace", "", pod.Namespace)
		once("ServiceAccount", pod.Namespace, pod.Spec.ServiceAccountName)
		d, err := deployment(&pod, exe)
		if err != nil {
			return nil, err
		}
		rest = append(rest, d)
	}
	return append(out, rest...), nil
}

// deployment makes a Deployment of a pod, whose processes are this program.
func deployment(p *corev1.Pod, exe string) (object, error) {
	spec := p.Spec
	grace := int64(2)
	spec.TerminationGracePeriodSeconds = &grace
	for i := range spec.Containers {
		c := &spec.Containers[i]
		c.Command = []string{exe, process, spec.ServiceAccountName}
		for _, port := range c.Ports {
			protocol, _, _ := strings.Cut(port.Name, "-")
			c.Command = append(c.Command, fmt.Sprintf("%s:%d", protocol, port.ContainerPort))
			c.ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port.ContainerPort)}}}
		}
	}
	template, err := plain(&corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: p.Labels}, Spec: spec})
	if err != nil {
		return nil, err
	}
	return object{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object{"name": p.Name, "namespace": p.Namespace},
		"spec": object{"selector": object{"matchLabels": p.Labels}, "template": template}}, nil
}

// plain is a typed object as it is sent.
func plain(typed any) (o object, err error) {
	text, err := json.Marshal(typed)
	if err != nil {
		return nil, err
	}
	return o, json.Unmarshal(text, &o)
}

func typed(o object, into any) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
