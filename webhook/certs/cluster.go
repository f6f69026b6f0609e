// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
)

// manager is the name under which we write.
const manager = "anymesh-webhook"

var (
	secrets     = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	extensions  = schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	injections  = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validations = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// cluster is where the Secret is kept and the bundle made known.
type cluster struct {
	client  dynamic.Interface
	options *Options
}

// place is an object in which the API server looks for a bundle.
type place struct {
	resource schema.GroupVersionResource
	name     string
}

func (c *cluster) places() []place {
	var list []place
	for _, d := range c.options.Definitions {
		list = append(list, place{definitions, d})
	}
	for _, e := range c.options.Extensions {
		list = append(list, place{extensions, e})
	}
	if c.options.Validation != "" {
		list = append(list, place{validations, c.options.Validation})
	}
	if c.options.Injection != "" {
		list = append(list, place{injections, c.options.Injection})
	}
	return list
}

// contested says whether another replica was quicker.
func contested(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// secret reads the Secret. What was ours and cannot be read any more counts as empty: it is replaced. What was never ours is left alone.
func (c *cluster) secret(ctx context.Context) (kept *unstructured.Unstructured, s *state, err error) {
	o, err := c.client.Resource(secrets).Namespace(c.options.Namespace).Get(ctx, c.options.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the Secret %s/%s: %w", c.options.Namespace, c.options.Secret, err)
	}
	encoded, _, err := unstructured.NestedStringMap(o.Object, "data")
	data := map[string][]byte{}
	for k, v := range encoded {
		text, bad := base64.StdEncoding.DecodeString(v)
		data[k], err = text, errors.Join(err, bad)
	}
	if _, ours := data[activeCertKey]; !ours && len(data) > 0 {
		return nil, nil, fmt.Errorf("the Secret %s/%s is someone else's, for it has no %s: delete it, or give its files to the webhook", c.options.Namespace, c.options.Secret, activeCertKey)
	}
	if err == nil {
		s, err = read(data)
	}
	if err != nil {
		c.options.Logger.Warn("webhook certificates: the Secret is made anew", "secret", c.options.Secret, "error", err)
		return o, nil, nil
	}
	return o, s, nil
}

// keep writes the Secret, unless another replica has done so since it was read.
func (c *cluster) keep(ctx context.Context, kept *unstructured.Unstructured, s *state) error {
	data, err := s.data()
	if err != nil {
		return err
	}
	encoded := map[string]any{}
	for k, v := range data {
		encoded[k] = base64.StdEncoding.EncodeToString(v)
	}
	of := c.client.Resource(secrets).Namespace(c.options.Namespace)
	if kept == nil {
		_, err = of.Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": encoded,
			"metadata": map[string]any{"name": c.options.Secret, "labels": map[string]any{"app.kubernetes.io/part-of": "anymesh"}},
		}}, metav1.CreateOptions{FieldManager: manager})
		return err
	}
	kept = kept.DeepCopy()
	kept.Object["data"] = encoded
	_, err = of.Update(ctx, kept, metav1.UpdateOptions{FieldManager: manager})
	return err
}

// announce writes the bundle into one place, and returns what is there then. The place is read before the Secret and written with its own
// resourceVersion: so a bundle is never replaced by an earlier one.
func (c *cluster) announce(ctx context.Context, p place) ([]byte, error) {
	of := c.client.Resource(p.resource)
	for range attempts {
		o, err := of.Get(ctx, p.name, metav1.GetOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		_, s, failed := c.secret(ctx)
		if failed != nil {
			return nil, failed
		}
		if s == nil {
			return nil, errors.New("the Secret is gone")
		}
		bundle := s.bundle()
		if apierrors.IsNotFound(err) {
			return bundle, nil // when it comes, it is told
		}
		patch := c.patch(p, o, bundle)
		if patch == nil {
			return bundle, nil
		}
		raw, err := json.Marshal(patch)
		if err != nil {
			return nil, err
		}
		if _, err = of.Patch(ctx, p.name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: manager}); err == nil {
			return bundle, nil
		}
		if !contested(err) {
			return nil, err
		}
	}
	return nil, errors.New("others write it all the time")
}

// patch is what has to change in a place; nil where nothing has.
func (c *cluster) patch(p place, o *unstructured.Unstructured, bundle []byte) map[string]any {
	encoded := base64.StdEncoding.EncodeToString(bundle)
	meta := map[string]any{"resourceVersion": o.GetResourceVersion()}
	if p.resource == definitions {
		client, ok, _ := unstructured.NestedMap(o.Object, "spec", "conversion", "webhook", "clientConfig")
		if !ok || !c.ours(client) || c.same(client, bundle) {
			return nil
		}
		conversion := map[string]any{"webhook": map[string]any{"clientConfig": map[string]any{"caBundle": encoded}}}
		return map[string]any{"metadata": meta, "spec": map[string]any{"conversion": conversion}}
	}
	if p.resource == extensions { // whose spec is itself such a configuration
		client, ok, _ := unstructured.NestedMap(o.Object, "spec")
		if !ok || !c.ours(client) || c.same(client, bundle) {
			return nil
		}
		return map[string]any{"metadata": meta, "spec": map[string]any{"caBundle": encoded}}
	}
	changed := false
	hooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks") // a copy
	for _, h := range hooks {
		hook, _ := h.(map[string]any)
		if client, _ := hook["clientConfig"].(map[string]any); client != nil && c.ours(client) && !c.same(client, bundle) {
			client["caBundle"] = encoded
			changed = true
		}
	}
	if !changed {
		return nil
	}
	return map[string]any{"metadata": meta, "webhooks": hooks}
}

// ours says whether a client configuration calls our Service.
func (c *cluster) ours(client map[string]any) bool {
	namespace, _, _ := unstructured.NestedString(client, "service", "namespace")
	name, _, _ := unstructured.NestedString(client, "service", "name")
	return namespace == c.options.Namespace && name == c.options.Service
}

func (c *cluster) same(client map[string]any, bundle []byte) bool {
	text, _ := client["caBundle"].(string)
	there, err := base64.StdEncoding.DecodeString(text)
	return err == nil && bytes.Equal(there, bundle)
}
