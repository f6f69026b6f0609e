// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/anymesh/anymesh/kube/connect"
)

// Release is how a definition is let go: it stays with every object, and nothing of ours is asked any more.
type Release struct {
	Name    string         `json:"name"`
	Objects int            `json:"objects"`
	Keeps   []string       `json:"keeps"`             // versions that stay served
	Loses   []string       `json:"loses,omitempty"`   // versions that only conversion can serve
	Writers map[string]int `json:"writers,omitempty"` // objects by who last wrote them, in a version that goes: v1alpha1 by flagger
	Faults  []Fault        `json:"faults,omitempty"`

	live *CRD
}

// Releases says how each definition can be let go. A version whose schema is that of the stored one needs no conversion. Every other
// would show and take objects of another shape than it says.
func (a *Adoption) Releases(ctx context.Context) (out []*Release, err error) {
	for _, want := range a.Wanted {
		live, err := a.Read(ctx, want.Name)
		if apierrors.IsNotFound(err) {
			continue
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", want.Name, err)
		}
		r := &Release{Name: want.Name, live: live, Writers: map[string]int{}}
		all := map[string]int{}
		err = a.each(ctx, want, readable(live), func(page []unstructured.Unstructured, first bool) error {
			if first {
				r.Objects = 0
				clear(all)
			}
			r.Objects += len(page)
			writers(page, all)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", want.Name, err)
		}
		if out = append(out, r); !Converts(live) || !sameService(live, want) {
			r.Keeps = Served(live)
			continue
		}
		r.split()
		for who, n := range all {
			if slices.ContainsFunc(r.Loses, func(v string) bool { return len(who) > len(v) && who[:len(v)+1] == v+" " }) {
				r.Writers[who] = n
			}
		}
		if s := live.Status.StoredVersions; !slices.Equal(s, []string{storage(live)}) {
			r.Faults = append(r.Faults, Fault{Path: "status.storedVersions", What: fmt.Sprintf("objects are stored as %v, which only conversion can read as one", s),
				Do: "Run anymesh install once more: it writes them anew."})
		}
	}
	return out, nil
}

// split tells the versions that need no conversion from those that do.
func (r *Release) split() {
	stored := shape(version(r.live, storage(r.live)))
	for _, v := range r.live.Spec.Versions {
		switch {
		case v.Storage || v.Served && shape(&v) == stored:
			r.Keeps = append(r.Keeps, v.Name)
		case v.Served:
			r.Loses = append(r.Loses, v.Name)
		}
	}
}

// shape is a version's schema without its prose.
func shape(v *v1.CustomResourceDefinitionVersion) string {
	text, err := json.Marshal(v.Schema)
	var tree any
	if err == nil {
		err = json.Unmarshal(text, &tree)
	}
	if err != nil {
		panic("adopt: a schema does not marshal: " + err.Error())
	}
	text, _ = json.Marshal(bare(tree)) // it was JSON just now
	return string(text)
}

// bare drops the descriptions of a schema. A property of that name is an object and stays.
func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if _, prose := x.(string); k == "description" && prose {
				delete(v, k)
				continue
			}
			v[k] = bare(x)
		}
	case []any:
		for i := range v {
			v[i] = bare(v[i])
		}
	}
	return v
}

// Let lets definitions go. Where a version would go with its conversion it does nothing, unless that is agreed to.
func (a *Adoption) Let(ctx context.Context, list []*Release, agreed bool) error {
	var refused Refused
	for _, r := range list {
		faults := r.Faults
		if len(r.Loses) > 0 && !agreed {
			faults = append(slices.Clone(faults), Fault{Path: "spec.versions", What: fmt.Sprintf("%v are served by conversion alone, and would go; %d objects stay, as %s%s",
				r.Loses, r.Objects, storage(r.live), r.wrote()), Do: "Move the clients of these versions to " + storage(r.live) + "; then say --drop-versions."})
		}
		if len(faults) > 0 {
			refused.Definitions = append(refused.Definitions, &Definition{Name: r.Name, Faults: faults})
		}
	}
	if len(refused.Definitions) > 0 {
		return &refused
	}
	for _, r := range list {
		if !Converts(r.live) {
			continue
		}
		err := a.edit(ctx, &Definition{Name: r.Name}, func(c *CRD) *CRD {
			if sameService(c, r.live) {
				c.Spec.Conversion = &v1.CustomResourceConversion{Strategy: v1.NoneConverter}
				for i := range c.Spec.Versions {
					v := &c.Spec.Versions[i]
					v.Served = v.Served && !slices.Contains(r.Loses, v.Name)
				}
			}
			return c
		})
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
	}
	return nil
}

// wrote says who would miss the versions.
func (r *Release) wrote() string {
	s := ""
	for _, who := range sorted(r.Writers) {
		s += fmt.Sprintf("; %d written as %s", r.Writers[who], who)
	}
	return s
}

// Delete deletes definitions, and with them every object.
func (a *Adoption) Delete(ctx context.Context, list []*Release) error {
	r := a.Cluster.Dynamic.Resource(connect.CRDs)
	for _, d := range list {
		if err := r.Delete(ctx, d.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	a.Cluster.Renew()
	return nil
}
