// SPDX-License-Identifier: Apache-2.0

// Package keys keeps the CA of the built-in mesh in a Secret, which all replicas of the control plane share.
package keys

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/kube"
)

// Name is the Secret's, in the namespace of the installation.
const Name = "anymesh-ca"

const (
	field    = "ca.json"
	patience = 10 * time.Second // for the API server
)

// Secret is an identity.Keeper.
type Secret struct {
	Client    kubernetes.Interface
	Namespace string
	last      *corev1.Secret // as it was read or written last
}

// Load implements identity.Keeper.
func (s *Secret) Load() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := s.Client.CoreV1().Secrets(s.Namespace).Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.last = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, ours := got.Data[field]
	if !ours {
		return nil, fmt.Errorf("the Secret %s/%s holds no %s: it is someone else's", s.Namespace, Name, field)
	}
	s.last = got
	return data, nil
}

// Save implements identity.Keeper.
func (s *Secret) Save(data []byte) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	of := s.Client.CoreV1().Secrets(s.Namespace)
	next := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: map[string]string{"app.kubernetes.io/part-of": "anymesh"}}, Type: "anymesh.dev/ca"}
	if s.last != nil {
		next = s.last.DeepCopy()
	}
	next.Data = map[string][]byte{field: data}
	if s.last == nil {
		next, err = of.Create(ctx, next, metav1.CreateOptions{FieldManager: kube.Manager})
	} else {
		next, err = of.Update(ctx, next, metav1.UpdateOptions{FieldManager: kube.Manager})
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return fmt.Errorf("the Secret %s/%s: %w", s.Namespace, Name, identity.ErrTaken)
	}
	if err == nil {
		s.last = next
	}
	return err
}
