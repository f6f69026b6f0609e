// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/anymesh/anymesh/test/kubetest"
)

// rights are what RBAC says of three readers.
const rights = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader, namespace: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: grapher, namespace: shop}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody, namespace: shop}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: reader, namespace: shop}, rules: [{apiGroups: [metrics.smi-spec.io], resources: [deployments], verbs: [get, list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: reader, namespace: shop}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}, subjects: [{kind: ServiceAccount, name: reader}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: grapher, namespace: shop}, rules: [{apiGroups: [metrics.smi-spec.io], resources: [deployments/edges], verbs: [get]}, {apiGroups: [metrics.smi-spec.io], resources: [edges], verbs: [list]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: grapher, namespace: shop}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: grapher}, subjects: [{kind: ServiceAccount, name: grapher}]}
`

// TestAccess asks as people with some permissions, through the cluster's API server and past it: both are to say the same.
func TestAccess(t *testing.T) {
	i := install(t)
	i.Apply(t, rights)
	admin, err := kubernetes.NewForConfig(i.Config)
	if err != nil {
		t.Fatal(err)
	}
	for account, may := range map[string]map[string]bool{
		"reader": {"/namespaces/shop/deployments": true, "/namespaces/shop/deployments/web": true, "/namespaces/shop/deployments/web/edges": false,
			"/namespaces/shop/edges": false, "/deployments": false, "/namespaces/other/deployments": false, "/namespaces/shop/pods": false, "/namespaces/shop": false},
		"grapher": {"/namespaces/shop/deployments": false, "/namespaces/shop/deployments/web/edges": true, "/namespaces/shop/edges": true, "/namespaces/other/edges": false},
		"nobody":  {"/namespaces/shop/deployments": false, "/namespaces/shop": false, "/nodes/local": false, "": true},
	} {
		token, err := admin.CoreV1().ServiceAccounts("shop").CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		through := client(t, &rest.Config{Host: i.Config.Host, TLSClientConfig: rest.TLSClientConfig{CAData: i.Config.CAData, CAFile: i.Config.CAFile}, BearerToken: token.Status.Token})
		past := client(t, &rest.Config{Host: "https://" + i.service, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, BearerToken: token.Status.Token})
		for path, want := range may {
			for how, c := range map[string]rest.Interface{"through": through, "past": past} {
				kubetest.Eventually(t, func() error { // permissions reach an API server a moment after they are written
					err := ask(t.Context(), c, path)
					if want == (err == nil) || !want && apierrors.IsForbidden(err) {
						return nil
					}
					return &answer{account, how, path, err}
				})
			}
		}
	}
	anonymous := client(t, &rest.Config{Host: "https://" + i.service, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err := ask(t.Context(), anonymous, "/namespaces/shop/deployments"); !apierrors.IsUnauthorized(err) {
		t.Errorf("nobody at all: %v", err)
	}
	forged := rest.CopyConfig(&rest.Config{Host: "https://" + i.service, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	c := client(t, forged)
	err = c.Get().RequestURI("/apis/metrics.smi-spec.io/v1alpha2/deployments").SetHeader("X-Remote-User", "admin").SetHeader("X-Remote-Group", "system:masters").Do(t.Context()).Error()
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("who says to be the API server and has no certificate: %v", err)
	}
}

type answer struct {
	account, how, path string
	err                error
}

func (a *answer) Error() string {
	if a.err == nil {
		return a.account + " may read " + a.path + " " + a.how + " the API server"
	}
	return a.account + " may not read " + a.path + " " + a.how + " the API server: " + a.err.Error()
}

func client(t *testing.T, c *rest.Config) rest.Interface {
	t.Helper()
	k, err := kubernetes.NewForConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	return k.CoreV1().RESTClient()
}

func ask(ctx context.Context, c rest.Interface, path string) error {
	return c.Get().RequestURI("/apis/metrics.smi-spec.io/v1alpha2" + path).Do(ctx).Error()
}
