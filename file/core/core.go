// SPDX-License-Identifier: Apache-2.0

// Package core reads Kubernetes' own kinds as facts: Services and their addresses, pods and what controls them, accounts.
//
// Of each kind only what the model knows is decoded, so that fields of any release of Kubernetes may stand beside it. What is decoded must
// fit: a value of the wrong type and a number that is no port are findings, and what they spoil is left out. The same reading
// serves files and the answers of an API server.
package core

import (
	"fmt"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// Address is the annotation by which a Pod in a file says its IP, where no kubelet has written a status.
const Address = "anymesh.dev/address"

// Datagrams is the annotation by which a Pod says at which UDP ports of its proxy it reaches which services: PORT=SERVICE:PORT, parted by
// blanks or commas, as "5300=dns:53 1123=time.ops:123".
const Datagrams = "anymesh.dev/udp"

// read is the reading of one kind.
type read func(*reading)

// kind is the reading of a kind; nil for one that is not read. The versions of a group differ in nothing that is decoded here.
func kind(apiVersion, kind string) read {
	group, _, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group = ""
	}
	switch group + "/" + kind {
	case "/Service":
		return (*reading).service
	case "discovery.k8s.io/EndpointSlice":
		return (*reading).slice
	case "/Pod":
		return (*reading).pod
	case "/ServiceAccount":
		return func(r *reading) { r.add(&model.ServiceAccount{Name: r.ref.Name}) }
	case "/Namespace":
		return func(*reading) {}
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job", "argoproj.io/Rollout":
		return (*reading).controller
	case "batch/CronJob":
		return (*reading).cronJob
	}
	return nil
}

// Known says whether objects of a kind are read here. A Namespace is, and says nothing.
func Known(apiVersion, k string) bool { return kind(apiVersion, k) != nil }

// Decode reads an object of a kind that is Known. Its name and namespace must be set. Findings are about its text alone; each is
// Invalid, or a Notice.
func Decode(o *object.Object) ([]model.Fact, []model.Finding) {
	k := kind(o.APIVersion, o.Kind)
	if k == nil {
		panic("core: " + o.APIVersion + " " + o.Kind + " is not read here: ask Known first")
	}
	r := &reading{o: o, ref: model.Ref{Kind: model.Kind(o.Kind), Name: model.Name{Namespace: o.Namespace, Name: o.Name}}}
	k(r)
	return r.facts, r.findings
}

// DecodeJSON reads an object as an API server writes it. The error says that it is no object, or of a kind that is not Known.
func DecodeJSON(data []byte) ([]model.Fact, []model.Finding, error) {
	n, err := object.ReadJSON(data)
	if err != nil {
		return nil, nil, err
	}
	o, problems := object.Of("", n)
	if o == nil {
		return nil, nil, fmt.Errorf("not a Kubernetes object: %s", problems[0].Message)
	}
	if !Known(o.APIVersion, o.Kind) {
		return nil, nil, fmt.Errorf("objects of kind %s in %s are not read", o.Kind, o.APIVersion)
	}
	facts, findings := Decode(o)
	return facts, findings, nil
}

// reading is one object on its way to facts.
type reading struct {
	o        *object.Object
	ref      model.Ref
	facts    []model.Fact
	findings []model.Finding
}

func (r *reading) add(f model.Fact) { r.facts = append(r.facts, f) }

func (r *reading) find(l model.Level, c model.Code, path, message, hint string) {
	r.findings = append(r.findings, model.Finding{Level: l, Code: c, Object: r.ref, Path: path, Message: message, Hint: hint})
}

// decode fills a type, and says whether the fields at the given ends of paths fit.
func (r *reading) decode(into any, vital ...string) bool {
	ok := true
	for _, p := range r.o.DecodeLax(into) {
		r.find(model.Invalid, p.Code, p.Path, p.Message, p.Hint)
		for _, v := range vital {
			ok = ok && p.Path != v && !strings.HasPrefix(v, p.Path+".") && !strings.HasPrefix(p.Path, v+".") && !strings.HasPrefix(p.Path, v+"[")
		}
	}
	return ok
}

// spoiled says whether a finding stands on a path, or below it.
func (r *reading) spoiled(path string) bool {
	for _, f := range r.findings {
		if strings.HasPrefix(f.Path, path) {
			return true
		}
	}
	return false
}

// port reads a port number; 0 where it is not one, and then a finding says so.
func (r *reading) port(n int64, path string) uint16 {
	if n >= 1 && n <= 65535 {
		return uint16(n)
	}
	if !r.spoiled(path) {
		r.find(model.Invalid, model.CodePort, path, fmt.Sprintf("%d is not a port", n), "Ports are 1 to 65535.")
	}
	return 0
}
