// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/anymesh/anymesh/proxy/policy"
)

// TestContract holds the other end of the contract: every resource that the built-in mesh is known to write is understood.
func TestContract(t *testing.T) {
	files, err := filepath.Glob("../../mesh/builtin/testdata/wire/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	kinds := map[string]int{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		// Each resource is a line "--- <kind> <name>" and its JSON.
		for part := range strings.SplitSeq("\n"+string(b), "\n--- ") {
			head, text, _ := strings.Cut(part, "\n")
			kind, what, _ := strings.Cut(head, " ")
			if !strings.HasPrefix(text, "{") {
				continue
			}
			kinds[kind]++
			if err := understand(t, kind, text); err != nil {
				t.Errorf("%s: %s %s: %v", filepath.Base(name), kind, what, err)
			}
		}
	}
	if len(kinds) != 4 {
		t.Errorf("kinds seen: %v", kinds)
	}
}

func understand(t *testing.T, kind, text string) (err error) {
	t.Helper()
	c := new(policy.Compiler)
	switch kind {
	case "Listener":
		m := &listenerv3.Listener{}
		parse(t, m, text)
		if strings.HasPrefix(m.Name, "inbound/") {
			_, err = c.Inbound(m)
		} else {
			_, err = c.Listener(m)
		}
	case "RouteConfiguration":
		m := &routev3.RouteConfiguration{}
		parse(t, m, text)
		_, err = c.Routes(m)
	case "Cluster":
		m := &clusterv3.Cluster{}
		parse(t, m, text)
		if m.Name == policy.Own {
			err = c.OwnCluster(m)
		} else {
			_, err = c.Cluster(m)
		}
	case "ClusterLoadAssignment":
		m := &endpointv3.ClusterLoadAssignment{}
		parse(t, m, text)
		_, err = c.Endpoints(m)
	default:
		t.Errorf("kind %q", kind)
	}
	return err
}
