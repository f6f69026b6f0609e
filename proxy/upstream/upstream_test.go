// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"crypto/x509"
	"errors"
	"math/big"
	"net/http"
	"net/netip"
	"testing"

	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/anymesh/anymesh/proxy/policy"
)

// serial is a certificate source of which only the serial number is looked at.
type serial int64

func (s *serial) GetX509SVID() (*x509svid.SVID, error) {
	return &x509svid.SVID{Certificates: []*x509.Certificate{{SerialNumber: big.NewInt(int64(*s))}}}, nil
}

func addrs(s ...string) *policy.Endpoints {
	e := &policy.Endpoints{}
	for _, a := range s {
		e.Addrs = append(e.Addrs, netip.MustParseAddrPort(a))
	}
	return e
}

func TestPools(t *testing.T) {
	now := serial(1)
	b := New("a:1", &Dialer{SVID: &now})
	if _, _, err := b.Do(&http.Request{}, false); !errors.Is(err, ErrNoEndpoint) {
		t.Errorf("nothing known: %v", err)
	}
	spec := &policy.Cluster{Name: "a:1", IDs: []string{"x"}}
	b.Apply(spec, addrs("10.0.0.1:1", "10.0.0.2:1"))
	first := b.now.Load()
	b.Apply(&policy.Cluster{Name: "a:1", IDs: []string{"x"}}, addrs("10.0.0.2:1"))
	second := b.now.Load()
	if second.pools != first.pools || second.ends[0] != first.ends[1] {
		t.Error("what stayed the same was made anew")
	}
	b.Renew()
	if b.now.Load() != second {
		t.Error("renewed without a reason")
	}
	now = 2
	b.Renew()
	third := b.now.Load()
	if third.pools == second.pools {
		t.Error("connections go on showing an old certificate")
	}
	b.Apply(&policy.Cluster{Name: "a:1", IDs: []string{"y"}}, addrs("10.0.0.2:1"))
	if b.now.Load().pools == third.pools {
		t.Error("connections to an identity that is not the cluster's any more are still used")
	}
}

func TestPick(t *testing.T) {
	b := New("a:1", &Dialer{SVID: new(serial)})
	b.Apply(&policy.Cluster{}, addrs("10.0.0.1:1", "10.0.0.2:1"))
	k := b.now.Load()
	k.ends[0].active.Store(5)
	for range 20 {
		if k.pick(nil) != k.ends[1] {
			t.Fatal("the busier endpoint was taken")
		}
		if k.pick(k.ends[1]) != k.ends[0] {
			t.Fatal("the endpoint to avoid was taken")
		}
	}
}
