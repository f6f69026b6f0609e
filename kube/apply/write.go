// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/ptr"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

// make makes one change, and says whether there was anything to write.
func (s *Sink) make(ctx context.Context, c mesh.Change) (wrote bool, f *engine.Failure) {
	i := of(c.Key)
	s.mu.Lock()
	st, there := s.there[i]
	where, served := s.known.Find(c.Key.APIVersion, c.Key.Kind)
	if c.Object != nil {
		s.wanted[i] = c.Key.APIVersion
	} else if other := s.wanted[i]; other != "" && other != c.Key.APIVersion {
		there = false // it is said in another version now
	} else {
		delete(s.wanted, i)
	}
	s.mu.Unlock()
	if !served {
		if c.Object == nil {
			return false, nil // with its kind went the object
		}
		return false, &engine.Failure{Change: c, Code: model.CodeNotServed, Err: errors.New("the API does not serve it"),
			Message: c.Key.Kind + " of " + c.Key.APIVersion + " is not served by the cluster", Hint: "Install the mesh's CustomResourceDefinitions."}
	}
	client := s.client(where, c.Key.Name.Namespace)
	if c.Object == nil {
		if !there || !st.ours {
			return false, nil
		}
		return true, s.remove(ctx, client, c, st)
	}
	body, wish, err := s.body(c.Object)
	if err != nil {
		panic(fmt.Sprintf("apply: %s does not marshal: %v", c.Key, err))
	}
	switch {
	case there && st.ours && st.wish == wish && st.touched == "":
		return false, nil
	case there && !st.ours && (!s.o.Adopt || st.marked):
		return false, foreign(c, st.marked)
	}
	return true, s.write(ctx, client, write{c, body, wish, st, there})
}

func (s *Sink) client(where kube.Resource, namespace string) dynamic.ResourceInterface {
	r := s.c.Dynamic.Resource(where.GroupVersionResource)
	if where.Namespaced {
		return r.Namespace(namespace)
	}
	return r
}

// body is what is sent of an object: as the driver says it, with its fingerprint and the target's name.
func (s *Sink) body(o *mesh.Object) (body *unstructured.Unstructured, wish string, err error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(text)
	wish = hex.EncodeToString(sum[:8])
	body = &unstructured.Unstructured{}
	if err = body.UnmarshalJSON(text); err != nil {
		return nil, "", err
	}
	labels, notes := body.GetLabels(), body.GetAnnotations()
	if notes == nil {
		notes = map[string]string{}
	}
	labels[Target], notes[Wish] = s.o.Target, wish
	body.SetLabels(labels)
	body.SetAnnotations(notes)
	return body, wish, nil
}

// write is one object on its way.
type write struct {
	c     mesh.Change
	body  *unstructured.Unstructured
	wish  string
	was   state
	there bool
}

// tries is how often an object is written where someone else writes it at the same time.
const tries = 3

// write applies an object. Where someone else has said a part of its content, all of the content is replaced, and what they said goes: also
// where they did so just before the object was applied, of which the answer tells.
func (s *Sink) write(ctx context.Context, client dynamic.ResourceInterface, w write) *engine.Failure {
	for range tries {
		if err := s.limit.Wait(ctx); err != nil {
			return &engine.Failure{Change: w.c, Err: err}
		}
		got, err := s.once(ctx, client, w)
		if err != nil {
			if !w.there && apierrors.IsConflict(err) { // someone was faster
				return foreign(w.c, false)
			}
			return refused(w.c, err)
		}
		st := s.state(got)
		s.mu.Lock()
		if now, ok := s.there[of(w.c.Key)]; !ok || !older(&st, &now) { // else more has happened to it meanwhile
			s.there[of(w.c.Key)] = st
		}
		s.mu.Unlock()
		if w.was, w.there = st, true; st.touched == "" {
			s.o.Logger.Debug("written", "object", w.c.Key.String())
			return nil
		}
	}
	return refused(w.c, fmt.Errorf("%s writes it at the same time", w.was.touched))
}

// once writes an object one time.
func (s *Sink) once(ctx context.Context, client dynamic.ResourceInterface, w write) (*unstructured.Unstructured, error) {
	how := metav1.ApplyOptions{FieldManager: kube.Manager, Force: w.there}
	if !w.there || w.was.touched == "" {
		return client.Apply(ctx, w.body.GetName(), w.body, how)
	}
	// Applying alone would leave what others added.
	replaced, err := patch(ctx, client, w.body.GetName(), "/metadata/uid", w.was.uid, "/spec", w.body.Object["spec"])
	if err != nil {
		return nil, err
	}
	got, err := client.Apply(ctx, w.body.GetName(), w.body, how)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(got.Object["spec"], replaced.Object["spec"]) { // to claim it now would make what they added look like ours
		return nil, fmt.Errorf("%s writes it at the same time", w.was.touched)
	}
	return s.claim(ctx, client, got)
}

// claim makes the content ours alone, so that whoever changes it from now on is seen.
func (s *Sink) claim(ctx context.Context, client dynamic.ResourceInterface, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	fields := slices.DeleteFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return others(&f) })
	return patch(ctx, client, o.GetName(), "/metadata/resourceVersion", o.GetResourceVersion(), "/metadata/managedFields", fields)
}

// patch replaces one field where another has a value.
//
// sizes: the two halves of a JSON patch
func patch(ctx context.Context, client dynamic.ResourceInterface, name, where string, is any, field string, becomes any) (*unstructured.Unstructured, error) {
	text, err := json.Marshal([]map[string]any{{"op": "test", "path": where, "value": is}, {"op": "replace", "path": field, "value": becomes}})
	if err != nil {
		return nil, err
	}
	return client.Patch(ctx, name, types.JSONPatchType, text, metav1.PatchOptions{FieldManager: kube.Manager})
}

// remove removes an object that is ours, and no other that has come in its place.
func (s *Sink) remove(ctx context.Context, client dynamic.ResourceInterface, c mesh.Change, st state) *engine.Failure {
	if err := s.limit.Wait(ctx); err != nil {
		return &engine.Failure{Change: c, Err: err}
	}
	err := client.Delete(ctx, c.Key.Name.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: ptr.To(st.uid)}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return refused(c, err)
	}
	s.mu.Lock()
	delete(s.there, of(c.Key))
	s.mu.Unlock()
	s.o.Logger.Debug("removed", "object", c.Key.String())
	return nil
}

// foreign is the failure to write over what is not ours.
func foreign(c mesh.Change, another bool) *engine.Failure {
	f := &engine.Failure{Change: c, Code: model.CodeForeignObject, Err: fmt.Errorf("it is there and not ours"),
		Message: c.Key.String() + " is there already and was not written by anymesh: it is left as it is, and what this object asks for is not in effect",
		Hint:    "Remove or rename it; or let anymesh take over such objects: --adopt, or spec.options.adopt of the Mesh."}
	if another {
		f.Message = c.Key.String() + " is written by anymesh for another Mesh: two Meshes of one kind must not have namespaces in common"
		f.Hint = "Let spec.namespaces of the two Meshes select different namespaces."
	}
	return f
}

// refused is the failure that the API server answers with.
func refused(c mesh.Change, err error) *engine.Failure {
	f := &engine.Failure{Change: c, Code: model.CodeRefused, Err: err, Message: "the cluster refused " + c.Key.String() + ": " + err.Error(),
		Hint: "It is tried again; the findings beside this one, and the log of the mesh's own webhook, may say more."}
	switch {
	case apierrors.IsForbidden(err):
		f.Hint = "Give anymesh's ServiceAccount the permission: `anymesh install` writes those that it needs."
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		f.Hint = "Install the mesh's CustomResourceDefinitions, or wait until they are served."
	}
	return f
}
