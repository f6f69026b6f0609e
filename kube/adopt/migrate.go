// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/smi"
)

// samples are sound objects, in the newest version, by kind: what the webhook is asked to convert before it is relied on.
var samples = map[string]string{
	"TrafficTarget": `{"rules":[{"kind":"TCPRoute","name":"anymesh-probe"}],"destination":{"kind":"ServiceAccount","name":"anymesh-probe"},` +
		`"sources":[{"kind":"ServiceAccount","name":"anymesh-probe"}]}`,
	"HTTPRouteGroup": `{"matches":[{"name":"probe","pathRegex":"/","methods":["GET"]}]}`,
	"TCPRoute":       `{"matches":{"ports":[1]}}`,
	"TrafficSplit":   `{"service":"anymesh-probe","backends":[{"service":"anymesh-probe","weight":1}]}`,
}

// answer waits until the API server gets an object converted: it is asked to create one, without effect, in another version than
// the one that it stores.
func (a *Adoption) answer(ctx context.Context, d *Definition) error {
	limit := a.Limit
	if limit == 0 {
		limit = time.Minute
	}
	return connect.Until(ctx, limit, "the conversion webhook does not answer", func() error { return a.Probe(ctx, d.live) })
}

// Probe asks the API server once to convert an object of a definition. No error: it can. A definition without conversion has none.
func (a *Adoption) Probe(ctx context.Context, c *CRD) error {
	sample, ok := samples[c.Spec.Names.Kind]
	if !ok || !Converts(c) {
		return nil
	}
	i := slices.IndexFunc(Served(c), func(v string) bool { return v != storage(c) })
	if i < 0 {
		return nil
	}
	to := Served(c)[i]
	text, _, err := smi.ConvertJSON([]byte(fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"anymesh-probe","namespace":"default"},"spec":%s}`,
		smi.Newest(model.Kind(c.Spec.Names.Kind)), c.Spec.Names.Kind, sample)), c.Spec.Group+"/"+to)
	if err != nil {
		return err
	}
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal(text, &o.Object); err != nil {
		return err
	}
	_, err = a.objects(c, to).Namespace("default").Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// verify tries every object: it must be readable in the newest version, and acceptable as it is.
func (a *Adoption) verify(ctx context.Context, d *Definition) error {
	j, err := newJudge(d.want)
	if err != nil {
		return err
	}
	refused := &Definition{Name: d.Name, want: d.want}
	seen := 0
	err = a.each(ctx, d.want, storage(d.want), func(page []unstructured.Unstructured, first bool) error {
		if first {
			seen, refused.Faults = 0, nil
		}
		seen += len(page)
		for i := range page {
			if f := j.kept(page[i].Object, written(d.live, storage(d.live))); f != nil {
				refused.Faults = append(refused.Faults, *f)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := refusal([]*Definition{refused}); err != nil {
		return err
	}
	via := a.via(d)
	err = a.each(ctx, d.want, via, func(page []unstructured.Unstructured, first bool) error {
		if first {
			refused.Faults = nil
		}
		return a.rewrite(ctx, refused, via, page, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	})
	if err != nil {
		return err
	}
	a.tell(d, fmt.Sprintf("%d objects can be read as %s and written as they are", seen, storage(d.want)))
	return refusal([]*Definition{refused})
}

// via is the version in which objects are written anew: the one in which they were stored, so that they are judged as what they are.
func (a *Adoption) via(d *Definition) string {
	newest := storage(d.want)
	if s := storage(d.live); s != newest && version(d.want, s) != nil {
		return s
	}
	for _, s := range slices.Backward(d.live.Status.StoredVersions) {
		if v := version(d.want, s); v != nil && s != newest && v.Served {
			return s
		}
	}
	return newest
}

// rewrite writes objects as they are, in one version, and adds those that are refused to the faults of a definition. What somebody else
// changed or removed meanwhile is done already.
func (a *Adoption) rewrite(ctx context.Context, d *Definition, via string, page []unstructured.Unstructured, o metav1.UpdateOptions) error {
	for i := range page {
		u := &page[i]
		_, err := a.objects(d.want, via).Namespace(u.GetNamespace()).Update(ctx, u, o)
		switch {
		case err == nil, apierrors.IsConflict(err), apierrors.IsNotFound(err):
		case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
			d.Faults = append(d.Faults, Fault{Object: model.Name{Namespace: u.GetNamespace(), Name: u.GetName()}, What: err.Error(),
				Do: "Correct the object, or remove it; then install again."})
		default:
			return fmt.Errorf("write %s/%s: %w", u.GetNamespace(), u.GetName(), err)
		}
	}
	return nil
}

// progress is the content of the annotation Progress.
type progress struct {
	To   string `json:"to"`
	Last string `json:"last"` // namespace/name; all before it in order are done
	Done int    `json:"done"`
}

// migrate writes every object anew, page by page, and notes after each how far it came.
func (a *Adoption) migrate(ctx context.Context, d *Definition) error {
	p := progress{To: storage(d.want)}
	live, err := a.Read(ctx, d.Name)
	if err != nil {
		return err
	}
	d.live = live
	var was progress
	if json.Unmarshal([]byte(live.Annotations[Progress]), &was) == nil && was.To == p.To {
		p = was
		a.tell(d, fmt.Sprintf("going on after %s: %d objects are done", p.Last, p.Done))
	}
	via := a.via(d)
	refused := &Definition{Name: d.Name, want: d.want}
	err = a.each(ctx, d.want, via, func(page []unstructured.Unstructured, _ bool) error {
		page = slices.DeleteFunc(page, func(u unstructured.Unstructured) bool { return key(&u) <= p.Last })
		if len(page) == 0 {
			return nil
		}
		if err := a.rewrite(ctx, refused, via, page, metav1.UpdateOptions{}); err != nil {
			return err
		}
		p.Done += len(page)
		a.tell(d, fmt.Sprintf("%d objects are written anew", p.Done))
		if len(refused.Faults) > 0 { // what is noted as done must be
			return nil
		}
		p.Last = key(&page[len(page)-1])
		return a.note(ctx, d, p)
	})
	if err != nil {
		return err
	}
	return refusal([]*Definition{refused})
}

// key is the place of an object in the order in which it is listed.
func key(u *unstructured.Unstructured) string { return u.GetNamespace() + "/" + u.GetName() }

func (a *Adoption) note(ctx context.Context, d *Definition, p progress) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return a.edit(ctx, d, func(c *CRD) *CRD {
		set(&c.Annotations, Progress, string(text))
		return c
	})
}

// writers says who wrote the objects of a definition in which versions, as the API server remembers it: v1alpha1 by flagger.
func writers(page []unstructured.Unstructured, into map[string]int) {
	for i := range page {
		seen := map[string]bool{}
		for _, m := range page[i].GetManagedFields() {
			_, v, _ := strings.Cut(m.APIVersion, "/")
			if who := v + " by " + m.Manager; m.Subresource == "" && !seen[who] {
				seen[who] = true
				into[who]++
			}
		}
	}
}
