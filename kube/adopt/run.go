// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/kube/connect"
)

// Refused says that definitions cannot be taken over as things stand. Nothing of them was changed, or what was changed loses nothing.
type Refused struct{ Definitions []*Definition }

func (r *Refused) Error() string {
	var b strings.Builder
	b.WriteString("nothing was done, since something would be lost:")
	for _, d := range r.Definitions {
		fmt.Fprintf(&b, "\n%s", d.Name)
		for _, f := range d.Faults {
			fmt.Fprintf(&b, "\n  ‼ %s\n    → %s", f, f.Do)
		}
	}
	return b.String()
}

// refusal is the error of a plan with faults; nil without.
func refusal(plan []*Definition) error {
	var r Refused
	for _, d := range plan {
		if len(d.Faults) > 0 {
			r.Definitions = append(r.Definitions, d)
		}
	}
	if len(r.Definitions) == 0 {
		return nil
	}
	return &r
}

// Do does what a plan says. It begins with nothing where one of the definitions has a fault. After an error, or when it is interrupted,
// a new plan goes on where it ended.
func (a *Adoption) Do(ctx context.Context, plan []*Definition) error {
	if err := refusal(plan); err != nil {
		return err
	}
	if err := a.make(ctx, plan); err != nil {
		return err
	}
	for _, d := range plan {
		for _, s := range d.Steps {
			if s == Create {
				continue
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			a.tell(d, d.Say(s))
			if err := a.step(ctx, d, s); err != nil {
				return fmt.Errorf("%s: %s: %w", d.Name, s, err)
			}
		}
	}
	a.Cluster.Renew()
	return nil
}

func (a *Adoption) tell(d *Definition, what string) {
	if a.Tell != nil {
		a.Tell(d.Name, what)
	}
}

func (a *Adoption) step(ctx context.Context, d *Definition, s Step) error {
	switch s {
	case Extend:
		return a.extend(ctx, d)
	case Answer:
		return a.answer(ctx, d)
	case Verify:
		return a.verify(ctx, d)
	case Flip:
		return a.flip(ctx, d)
	case Migrate:
		return a.migrate(ctx, d)
	case Trim:
		return a.trim(ctx, d)
	}
	panic("adopt: no step " + string(s))
}

// bundle is the CA of the webhook; none where it writes that itself.
func (a *Adoption) bundle(ctx context.Context, c *CRD) ([]byte, error) {
	if a.Bundle == nil || !Converts(c) {
		return nil, nil
	}
	return a.Bundle(ctx)
}

// make creates the definitions that are not there, and then waits for all of them: an API server takes some seconds for each.
func (a *Adoption) make(ctx context.Context, plan []*Definition) error {
	var fresh []*Definition
	for _, d := range plan {
		if !slices.Contains(d.Steps, Create) {
			continue
		}
		fresh = append(fresh, d)
		a.tell(d, d.Say(Create))
		bundle, err := a.bundle(ctx, d.want)
		if err != nil {
			return err
		}
		c := d.want.DeepCopy()
		setBundle(c, bundle)
		_, err = a.crds().Create(ctx, loose(c), metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) { // made by another run: the next plan looks at it
			return fmt.Errorf("%s: %s: %w", d.Name, Create, err)
		}
	}
	for _, d := range fresh {
		if err := a.established(ctx, d); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}

// established waits until the cluster serves a definition.
func (a *Adoption) established(ctx context.Context, d *Definition) error {
	return connect.Until(ctx, time.Minute, "the definition is not served", func() error {
		c, err := a.Read(ctx, d.Name)
		if err != nil {
			return err
		}
		for _, x := range c.Status.Conditions {
			if x.Type == v1.NamesAccepted && x.Status == v1.ConditionFalse {
				return errors.New(x.Message)
			}
			if x.Type == v1.Established && x.Status == v1.ConditionTrue {
				return nil
			}
		}
		return errors.New("it is not established")
	})
}

// edit changes a definition, again where somebody else changed it meanwhile.
func (a *Adoption) edit(ctx context.Context, d *Definition, f func(*CRD) *CRD) error {
	for {
		live, err := a.Read(ctx, d.Name)
		if err != nil {
			return err
		}
		next := f(live.DeepCopy())
		if same(live, next) {
			return nil
		}
		u, err := a.crds().Update(ctx, loose(next), metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			continue
		} else if err != nil {
			return err
		}
		d.live, err = typed(u)
		return err
	}
}

func (a *Adoption) extend(ctx context.Context, d *Definition) error {
	bundle, err := a.bundle(ctx, d.want)
	if err != nil {
		return err
	}
	before := d.live
	err = a.edit(ctx, d, func(c *CRD) *CRD { return extended(c, d.want, bundle) })
	if err != nil {
		return err
	}
	if !Converts(d.want) || Converts(before) {
		return nil
	}
	if err = a.answer(ctx, d); err == nil {
		return nil
	}
	// Nothing is stored otherwise yet: the definition goes back to what it was.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	undo := a.edit(ctx, d, func(c *CRD) *CRD {
		c.Spec, c.Labels, c.Annotations = before.Spec, before.Labels, before.Annotations
		return c
	})
	return errors.Join(fmt.Errorf("%w; the definition is again what it was", err), undo)
}

func (a *Adoption) flip(ctx context.Context, d *Definition) error {
	err := a.edit(ctx, d, func(c *CRD) *CRD {
		delete(c.Annotations, Progress)
		for i := range c.Spec.Versions {
			v := &c.Spec.Versions[i]
			v.Storage = v.Name == storage(d.want)
		}
		return c
	})
	if err != nil {
		return err
	}
	select {
	case <-time.After(a.Settle):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *Adoption) trim(ctx context.Context, d *Definition) error {
	for {
		live, err := a.Read(ctx, d.Name)
		if err != nil {
			return err
		}
		if newest := storage(d.want); storage(live) != newest {
			return fmt.Errorf("somebody made the definition store %s again; install again", storage(live))
		}
		live.Status.StoredVersions = []string{storage(d.want)}
		_, err = a.crds().UpdateStatus(ctx, loose(live), metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			continue
		} else if err != nil {
			return err
		}
		return a.edit(ctx, d, func(c *CRD) *CRD {
			delete(c.Annotations, Progress)
			return c
		})
	}
}
