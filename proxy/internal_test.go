// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"strings"
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// FuzzTarget holds that a request target that is taken is written as it was read, and judged as it is written.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{"/", "*", "/a?b", "/a?", "//a", "//a%2f", "//a|b", "/%zz", "/a#b", "http://h", "http://h?x", "http://h/a//b",
		"a://", "/\x00", "//%", "//h:80/a", "/a b", "", "?", "http://h//x", "///", "/:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		path, u, err := target(raw)
		if err != nil {
			return
		}
		u.Scheme, u.Host = "https", "10.0.0.1:80"
		written := u.RequestURI()
		if before, _, _ := strings.Cut(written, "?"); before != path {
			t.Errorf("%q: judged as %q, written as %q", raw, path, written)
		}
		if strings.HasPrefix(raw, "/") && written != raw {
			t.Errorf("%q is written as %q", raw, written)
		}
		if path != "*" && !strings.HasPrefix(path, "/") {
			t.Errorf("%q: path %q", raw, path)
		}
	})
}

func TestService(t *testing.T) {
	n := Node{Namespace: "ns", ClusterDomain: "c.test"}
	for in, want := range map[string]string{
		"a": "a.ns.svc.c.test:80", "a:1": "a.ns.svc.c.test:1", "A.b": "a.b.svc.c.test:80", "a.b.svc": "a.b.svc.c.test:80",
		"a.b.svc.c.test.:9": "a.b.svc.c.test:9", "a.b.com": "a.b.com:80", "www.a.b.com": "www.a.b.com:80",
		"": "", ":80": "", "a:0": "", "a:99999": "", "a:x": "", "1.2.3.4": "", "1.2.3.4:80": "", "[::1]:80": "", "[::1]": "", "a/b": "", "*": "",
	} {
		got, err := n.service(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
}

func TestAccount(t *testing.T) {
	home := spiffeid.RequireTrustDomainFromString("t")
	for in, want := range map[string]string{"spiffe://t/ns/a/sa/b": "a/b", "spiffe://u/ns/a/sa/b": "spiffe://u/ns/a/sa/b", "spiffe://t/x": "spiffe://t/x"} {
		if got := account(spiffeid.RequireFromString(in), home); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}
