// SPDX-License-Identifier: Apache-2.0

// Package install puts anymesh into a cluster and takes it out again: what package manifest describes, and the definitions of kinds, which
// package adopt takes over where they are there already.
//
// A plan is made of what the cluster says and changes nothing. Doing it can be interrupted at any place: the next plan goes on.
package install

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/adopt"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/mesh"
)

// Installation is anymesh in one cluster.
type Installation struct {
	Cluster *connect.Cluster
	Values  *manifest.Values
	Only    bool                   // the definitions, and nothing else
	Limit   time.Duration          // for the Deployment to be available, and the webhook to answer; 0: five minutes
	Settle  time.Duration          // see adopt.Adoption
	Tell    func(what, how string) // of progress; nil: nobody
	Port    int32                  // of the webhook's Service, for the definitions; 0: as they say
}

// Definitions are the definitions as this installation has them: they ask its own webhook.
func (i *Installation) Definitions() []*adopt.CRD {
	all := deploy.CRDs()
	for _, d := range all {
		if c := d.Spec.Conversion; c != nil && c.Strategy == v1.WebhookConverter {
			c.Webhook.ClientConfig.Service.Namespace = i.Values.Namespace
			if i.Port != 0 {
				c.Webhook.ClientConfig.Service.Port = &i.Port
			}
		}
	}
	return all
}

// Adoption is the way to the definitions.
func (i *Installation) Adoption() *adopt.Adoption {
	return &adopt.Adoption{Cluster: i.Cluster, Wanted: i.Definitions(), Limit: i.limit(), Settle: i.Settle, Tell: i.Tell}
}

// Action is what is to be done to one object.
type Action struct {
	Do     string `json:"do"` // create, change, delete
	Kind   string `json:"kind"`
	Name   string `json:"name"` // with its namespace, where it has one
	object *unstructured.Unstructured
}

// Plan is all that is to be done.
type Plan struct {
	Objects     []Action            `json:"objects"`
	Definitions []*adopt.Definition `json:"definitions"`
}

// Idle says whether there is nothing to do for definitions, beside applying objects once more.
func (p *Plan) Idle() bool {
	return !slices.ContainsFunc(p.Definitions, func(d *adopt.Definition) bool { return len(d.Steps) > 0 || len(d.Faults) > 0 })
}

// Plan asks the cluster what there is, and says what is to be done. The error names objects that stand in the way.
func (i *Installation) Plan(ctx context.Context) (*Plan, error) {
	p := &Plan{Objects: []Action{}}
	var err error
	if p.Definitions, err = i.Adoption().Plan(ctx); err != nil || i.Only {
		return p, err
	}
	var foreign []error
	wanted := map[string]bool{}
	for _, o := range manifest.Objects(i.Values) {
		u := &unstructured.Unstructured{Object: o}
		wanted[id(u)] = true
		a, err := i.look(ctx, u)
		if f := (*stranger)(nil); errors.As(err, &f) {
			foreign = append(foreign, err)
			continue
		} else if err != nil {
			return nil, fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
		}
		p.Objects = append(p.Objects, *a)
	}
	old, err := i.mine(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range old {
		if !wanted[id(u)] {
			p.Objects = append(p.Objects, Action{"delete", u.GetKind(), title(u), u})
		}
	}
	return p, errors.Join(foreign...)
}

func id(u *unstructured.Unstructured) string { return u.GetKind() + " " + title(u) }

func title(u *unstructured.Unstructured) string {
	if ns := u.GetNamespace(); ns != "" {
		return ns + "/" + u.GetName()
	}
	return u.GetName()
}

// stranger is an object of the same name that is not ours.
type stranger struct {
	id  string
	who string
}

func (s *stranger) Error() string {
	if s.who == "Helm" {
		return s.id + " was installed by Helm: go on with helm upgrade, and with anymesh install --only-crds for the definitions"
	}
	return s.id + " is there and not ours: remove or rename it, or install with --namespace elsewhere"
}

// look says whether an object is there and may be changed.
func (i *Installation) look(ctx context.Context, u *unstructured.Unstructured) (*Action, error) {
	r, err := i.Cluster.Of(u)
	if err != nil {
		return nil, err
	}
	there, err := r.Get(ctx, u.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return &Action{"create", u.GetKind(), title(u), u}, nil
	case err != nil:
		return nil, err
	case u.GetKind() == "Namespace", there.GetLabels()[mesh.ManagedBy] == mesh.Us:
		return &Action{"change", u.GetKind(), title(u), u}, nil
	}
	return nil, &stranger{id(u), there.GetLabels()[mesh.ManagedBy]}
}

// Do does what a plan says: definitions that are not there and objects first, then, once the webhook runs, the definitions that are.
func (i *Installation) Do(ctx context.Context, p *Plan) error {
	for _, d := range p.Definitions {
		if len(d.Faults) > 0 { // before anything is done
			return i.Adoption().Do(ctx, p.Definitions)
		}
	}
	var fresh, rest []*adopt.Definition
	for _, d := range p.Definitions {
		if slices.Equal(d.Steps, []adopt.Step{adopt.Create}) {
			fresh = append(fresh, d)
		} else if len(d.Steps) > 0 {
			rest = append(rest, d)
		}
	}
	if err := i.Adoption().Do(ctx, fresh); err != nil {
		return err
	}
	for _, a := range p.Objects {
		if err := i.apply(ctx, a); err != nil {
			return fmt.Errorf("%s %s %s: %w", a.Do, a.Kind, a.Name, err)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	if !i.Only {
		if err := i.Ready(ctx); err != nil {
			return fmt.Errorf("%w; the definitions are still what they were: install again once it runs", err)
		}
	}
	a := i.Adoption()
	a.Bundle = i.bundle
	return a.Do(ctx, rest)
}

func (i *Installation) limit() time.Duration { return cmp.Or(i.Limit, 5*time.Minute) }

func (i *Installation) tell(what, how string) {
	if i.Tell != nil {
		i.Tell(what, how)
	}
}

func (i *Installation) apply(ctx context.Context, a Action) error {
	i.tell(a.Kind+" "+a.Name, a.Do)
	r, err := i.Cluster.Of(a.object)
	if err != nil {
		return err
	}
	if a.Do == "delete" {
		err = r.Delete(ctx, a.object.GetName(), metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if a.Kind == "Namespace" && a.Do == "change" {
		return nil // whoever made it decides about it
	}
	_, err = r.Apply(ctx, a.object.GetName(), a.object, metav1.ApplyOptions{FieldManager: kube.Manager, Force: true})
	return err
}

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// Ready waits until the Deployment is what was asked for, and available.
func (i *Installation) Ready(ctx context.Context) error {
	i.tell("Deployment "+i.Values.Namespace+"/"+manifest.Name, "wait until it is available")
	return connect.Until(ctx, i.limit(), "the Deployment "+i.Values.Namespace+"/"+manifest.Name+" is not available", func() error {
		d, err := i.Cluster.Dynamic.Resource(deployments).Namespace(i.Values.Namespace).Get(ctx, manifest.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return Available(d)
	})
}

// Available says why a Deployment is not: the newest template must have replaced the others.
func Available(d *unstructured.Unstructured) error {
	number := func(path ...string) int64 {
		n, _, _ := unstructured.NestedInt64(d.Object, path...)
		return n
	}
	want := number("spec", "replicas")
	if seen := number("status", "observedGeneration"); seen < d.GetGeneration() {
		return errors.New("its change has not been seen yet")
	}
	if n := number("status", "updatedReplicas"); n < want {
		return fmt.Errorf("%d of %d replicas are of the newest release", n, want)
	}
	if n := number("status", "availableReplicas"); n < want {
		return fmt.Errorf("%d of %d replicas are available; kubectl describe pods -n %s says why", n, want, d.GetNamespace())
	}
	return nil
}

// bundle waits for the CA that the webhook keeps in its Secret.
func (i *Installation) bundle(ctx context.Context) (out []byte, err error) {
	err = connect.Until(ctx, i.limit(), "the webhook has made no certificate", func() error {
		out, err = Bundle(ctx, i.Cluster, i.Values.Namespace)
		return err
	})
	return out, err
}

// Bundle reads the CA of the webhook.
func Bundle(ctx context.Context, c *connect.Cluster, namespace string) ([]byte, error) {
	s, err := c.Dynamic.Resource(secrets).Namespace(namespace).Get(ctx, manifest.CertName, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	text, _, _ := unstructured.NestedString(s.Object, "data", "ca.crt")
	ca, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(ca) == 0 {
		return nil, fmt.Errorf("the Secret %s/%s has no ca.crt", namespace, manifest.CertName)
	}
	return ca, nil
}

// Manifests are all objects of the installation as they are applied: the definitions first.
func (i *Installation) Manifests(only bool) (out []map[string]any) {
	for _, d := range i.Definitions() {
		out = append(out, adopt.Plain(d))
	}
	if only {
		return out
	}
	return append(out, manifest.Objects(i.Values)...)
}
