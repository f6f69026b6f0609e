// SPDX-License-Identifier: Apache-2.0

package keys_test

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"k8s.io/client-go/kubernetes"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/kube/keys"
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

// TestReplicas has several replicas begin at once, and one of them replace the root: all sign with what all trust.
func TestReplicas(t *testing.T) {
	c := shared.Cluster(t)
	client, err := kubernetes.NewForConfig(c.Config)
	check(t, err)
	ns := c.Namespace(t)
	var all [4]*identity.CA
	var began sync.WaitGroup
	for i := range all {
		began.Go(func() {
			ca, err := identity.NewCA(identity.Options{TrustDomain: spiffeid.RequireTrustDomainFromString("cluster.local"), Keep: &keys.Secret{Client: client, Namespace: ns}})
			if err != nil {
				t.Error(err)
			}
			all[i] = ca
		})
	}
	began.Wait()
	if t.Failed() {
		return
	}
	agree := func(when string) {
		t.Helper()
		for _, a := range all {
			svid, err := a.Issue(t.Context(), spiffeid.RequireFromString("spiffe://cluster.local/ns/shop/sa/web"))
			check(t, err)
			for _, b := range all {
				if _, _, err := x509svid.Verify(svid.Certificates, b); err != nil {
					t.Errorf("%s: %v", when, err)
				}
			}
		}
	}
	agree("at first")
	check(t, all[0].Prepare())
	if err := all[1].Prepare(); !errors.Is(err, identity.ErrTaken) {
		t.Errorf("two began a rotation at once: %v", err)
	}
	agree("while one has prepared")
	for _, a := range all[1:] {
		check(t, a.Reload())
	}
	check(t, all[0].Activate())
	agree("while one signs by the new root")
	for _, a := range all[1:] {
		changed := a.Changed()
		check(t, a.Reload())
		<-changed
	}
	agree("at the end")
}
