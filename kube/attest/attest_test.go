// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/anymesh/anymesh/identity/issue"
	"github.com/anymesh/anymesh/kube/attest"
	"github.com/anymesh/anymesh/test/kubetest"
)

var shared kubetest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token asks for one of the namespace's default account, bound to a pod where one is named.
func token(t testing.TB, c kubernetes.Interface, ns string, pod *corev1.Pod, audiences ...string) []byte {
	t.Helper()
	r := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{Audiences: audiences}}
	if pod != nil {
		r.Spec.BoundObjectRef = &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
	}
	out, err := c.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "default", r, metav1.CreateOptions{})
	check(t, err)
	return []byte(out.Status.Token)
}

// TestTokens asks a real API server whose tokens are.
func TestTokens(t *testing.T) {
	k := shared.Cluster(t)
	c, err := kubernetes.NewForConfig(k.Config)
	check(t, err)
	ns := k.Namespace(t)
	pod, err := c.CoreV1().Pods(ns).Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "none"}}}}, metav1.CreateOptions{})
	check(t, err)
	a := attest.Tokens{Client: c, Domain: spiffeid.RequireTrustDomainFromString("cluster.local")}
	good := token(t, c, ns, pod, issue.Audience)
	id, err := a.Attest(t.Context(), issue.Evidence{Proof: good})
	check(t, err)
	if want := "spiffe://cluster.local/ns/" + ns + "/sa/default"; id.String() != want {
		t.Errorf("%s, not %s", id, want)
	}
	for what, proof := range map[string][]byte{
		"nothing": nil, "noise": []byte("noise"), "of another audience": token(t, c, ns, pod, "vault"), "for the API itself": token(t, c, ns, pod),
		"bound to no pod": token(t, c, ns, nil, issue.Audience), "altered": append([]byte(nil), append(good[:len(good)-4:len(good)-4], "AAAA"...)...),
	} {
		if id, err := a.Attest(t.Context(), issue.Evidence{Proof: proof}); err == nil || errors.Is(err, issue.ErrAway) {
			t.Errorf("%s: %s %v", what, id, err)
		}
	}
	zero := int64(0)
	check(t, c.CoreV1().Pods(ns).Delete(t.Context(), "web", metav1.DeleteOptions{GracePeriodSeconds: &zero}))
	kubetest.Eventually(t, func() error {
		if id, err := a.Attest(t.Context(), issue.Evidence{Proof: good}); err == nil {
			return errors.New(id.String() + " is attested by the token of a pod that is gone")
		}
		return nil
	})
	away := rest.CopyConfig(k.Config)
	away.Host = "https://127.0.0.1:1"
	a.Client, err = kubernetes.NewForConfig(away)
	check(t, err)
	if _, err := a.Attest(t.Context(), issue.Evidence{Proof: good}); !errors.Is(err, issue.ErrAway) || !strings.Contains(err.Error(), "API server") {
		t.Errorf("without an API server: %v", err)
	}
}
