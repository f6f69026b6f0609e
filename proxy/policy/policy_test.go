// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	// Types that resources carry inside of Any have to be linked in to be read from JSON.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/anymesh/anymesh/proxy/policy"
)

const tls = `"transport_socket": {"name": "tls", "typed_config": {
	"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "require_client_certificate": true,
	"common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "default"}],
		"validation_context_sds_secret_config": {"name": "ROOTCA"}}}}`

// inbound is a listener with one HTTP chain for port 80; the JSON of the RBAC rules is to be filled in.
const inbound = `{"name": "inbound/a/b", "filter_chains": [{
	"filter_chain_match": {"destination_port": 80, "transport_protocol": "tls", "application_protocols": ["h2", "http/1.1"]}, ` + tls + `,
	"filters": [{"name": "hcm", "typed_config": {
		"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "x",
		"route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "inbound"}}]}]},
		"http_filters": [{"name": "rbac", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": %s}},
			{"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}`

func rules(permission, principal string) string {
	return fmt.Sprintf(inbound, `{"policies": {"p": {"permissions": [`+permission+`], "principals": [`+principal+`]}}}`)
}

const (
	anybody = `{"any": true}`
	ann     = `{"authenticated": {"principal_name": {"exact": "spiffe://t/ann"}}}`
)

func parse(t *testing.T, m proto.Message, text string) {
	t.Helper()
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

func compile(t *testing.T, text string) (*policy.Inbound, error) {
	t.Helper()
	m := &listenerv3.Listener{}
	parse(t, m, text)
	return new(policy.Compiler).Inbound(m)
}

func TestVerdicts(t *testing.T) {
	header := func(h string) string { return `{"header": {"name": "X-A", ` + h + `}}` }
	for _, x := range []struct {
		permission, principal, path, value string
		want                               bool
	}{
		{anybody, ann, "/", "", true},
		{anybody, `{"authenticated": {"principal_name": {"exact": "spiffe://t/bob"}}}`, "/", "", false},
		{anybody, `{"authenticated": {}}`, "/", "", true},
		{anybody, `{"not_id": ` + ann + `}`, "/", "", false},
		{anybody, `{"or_ids": {"ids": [{"not_id": {"any": true}}, ` + ann + `]}}`, "/", "", true},
		{anybody, `{"and_ids": {"ids": [{"any": true}, {"authenticated": {"principal_name": {"suffix": "/ann"}}}]}}`, "/", "", true},
		{`{"url_path": {"path": {"safe_regex": {"regex": "/a"}}}}`, ann, "/a", "", true},
		{`{"url_path": {"path": {"safe_regex": {"regex": "/a"}}}}`, ann, "/a/b", "", false},
		{`{"url_path": {"path": {"safe_regex": {"regex": "/a|/b"}}}}`, ann, "/x/b", "", false},
		{`{"url_path": {"path": {"safe_regex": {"regex": "/a.*"}}}}`, ann, "/a\nb", "", false},
		{`{"url_path": {"path": {"prefix": "/a"}}}`, ann, "/ab", "", true},
		{`{"destination_port": 80}`, ann, "/", "", true},
		{`{"destination_port": 81}`, ann, "/", "", false},
		{`{"not_rule": {"destination_port": 81}}`, ann, "/", "", true},
		{`{"and_rules": {"rules": [{"any": true}, {"destination_port": 81}]}}`, ann, "/", "", false},
		{`{"or_rules": {"rules": [{"destination_port": 80}, {"destination_port": 81}]}}`, ann, "/", "", true},
		{header(`"string_match": {"exact": "1"}`), ann, "/", "1", true},
		{header(`"string_match": {"exact": "1"}`), ann, "/", "", false},
		{header(`"string_match": {"exact": "1"}, "invert_match": true`), ann, "/", "2", true},
		{header(`"string_match": {"exact": "1"}, "invert_match": true`), ann, "/", "", false},
		{header(`"present_match": true`), ann, "/", "1", true},
		{header(`"present_match": false`), ann, "/", "", true},
		{header(`"present_match": true, "invert_match": true`), ann, "/", "1", false},
	} {
		in, err := compile(t, rules(x.permission, x.principal))
		if err != nil {
			t.Errorf("%s %s: %v", x.permission, x.principal, err)
			continue
		}
		h := http.Header{}
		if x.value != "" {
			h.Set("x-a", x.value)
		}
		q := &policy.Request{Peer: "spiffe://t/ann", Port: 80, Method: "GET", Path: x.path, Headers: policy.HTTP(h)}
		v := in.Admit(q)
		if v.Allowed != x.want || x.want && v.Policy != "p" {
			t.Errorf("%s %s %s %q: %+v, want %v", x.permission, x.principal, x.path, x.value, v, x.want)
		}
		if q.Port = 81; in.Admit(q).Allowed {
			t.Errorf("%s: a port without a chain is open", x.permission)
		}
		if q.Port = 80; in.AdmitTCP(q).Allowed {
			t.Errorf("%s: bytes got through an HTTP grant", x.permission)
		}
	}
	if new(policy.Inbound).Admit(&policy.Request{}).Allowed || (*policy.Inbound)(nil).Admit(&policy.Request{}).Allowed {
		t.Error("nothing said is not open")
	}
}

// TestRefused holds that what is not understood is refused with its name, in inbound listeners.
func TestRefused(t *testing.T) {
	good := rules(anybody, ann)
	if _, err := compile(t, good); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ text, want string }{
		{rules(`{"metadata": {"filter": "x"}}`, ann), "metadata"},
		{rules(`{"destination_ip": {"address_prefix": "10.0.0.0"}}`, ann), "destination_ip"},
		{rules(`{"requested_server_name": {"exact": "x"}}`, ann), "requested_server_name"},
		{rules(`{"and_rules": {}}`, ann), "empty"},
		{rules(`{}`, ann), "permission"},
		{rules(`{"any": false}`, ann), "any"},
		{rules(`{"url_path": {"path": {"exact": "/a", "ignore_case": true}}}`, ann), "ignore_case"},
		{rules(`{"url_path": {"path": {"contains": "a"}}}`, ann), "contains"},
		{rules(`{"url_path": {"path": {"safe_regex": {"regex": "a)(?:b"}}}}`, ann), "regex"},
		{rules(`{"url_path": {"path": {"safe_regex": {"regex": "(?=a)"}}}}`, ann), "regex"},
		{rules(`{"header": {"name": "a", "exact_match": "b"}}`, ann), "exact_match"},
		{rules(`{"header": {"name": "a", "string_match": {"exact": "b"}, "treat_missing_header_as_empty": true}}`, ann), "treat_missing"},
		{rules(`{"header": {"name": ":path", "string_match": {"exact": "b"}}}`, ann), ":path"},
		{rules(anybody, `{"remote_ip": {"address_prefix": "10.0.0.0"}}`), "remote_ip"},
		{rules(anybody, `{"header": {"name": "a"}}`), "header"},
		{rules(anybody, `{}`), "principal"},
		{rules(anybody, `{"authenticated": {"principal_name": {"exact": "a", "ignore_case": true}}}`), "ignore_case"},
		{fmt.Sprintf(inbound, `{"action": "DENY"}`), "DENY"},
		{fmt.Sprintf(inbound, `{"policies": {"p": {"permissions": [{"any": true}], "principals": [{"any": true}], "condition": {}}}}`), "condition"},
		{strings.Replace(fmt.Sprintf(inbound, `{}`), `"rules": {}`, `"rules_stat_prefix": "x"`, 1), "without rules"},
		{strings.Replace(fmt.Sprintf(inbound, `{}`), `"rules": {}`, `"rules": {}, "shadow_rules": {}`, 1), "shadow_rules"},
		{strings.Replace(good, `"require_client_certificate": true`, `"require_client_certificate": false`, 1), "require_client_certificate"},
		{strings.Replace(good, "ROOTCA", "other", 1), "ROOTCA"},
		{strings.Replace(good, `"transport_protocol": "tls", `, ``, 1), "transport_protocol"},
		{strings.Replace(good, `"destination_port": 80`, `"server_names": ["x"], "destination_port": 80`, 1), "server_names"},
		{strings.Replace(good, `"cluster": "inbound"`, `"cluster": "other"`, 1), "inbound"},
		{strings.Replace(good, `"prefix": "/"}`, `"prefix": "/x"}`, 1), "prefix"},
		{strings.Replace(good, `"stat_prefix": "x",`, `"stat_prefix": "x", "normalize_path": true,`, 1), "normalize_path"},
		{strings.Replace(good, `"stat_prefix": "x",`, `"stat_prefix": "x", "merge_slashes": true,`, 1), "merge_slashes"},
		{strings.Replace(good, `{"name": "router"`, `{"name": "f", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"}}, {"name": "router"`, 1), "HTTPFault"},
		{strings.Replace(good, `"name": "inbound/a/b",`, `"name": "inbound/a/b", "default_filter_chain": {},`, 1), "default_filter_chain"},
	} {
		if x.text == good {
			t.Fatalf("the case for %q changes nothing", x.want)
		}
		if _, err := compile(t, x.text); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("want a refusal that names %q, got %v", x.want, err)
		}
	}
}

func TestRoutesRefused(t *testing.T) {
	const frame = `{"name": "a:80", "virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [%s]}]}`
	c := new(policy.Compiler)
	for route, want := range map[string]string{
		`{"match": {"prefix": "/"}, "route": {"cluster": "c"}}`:                                                                              "",
		`{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "c", "weight": 0}, {"name": "d", "weight": 1}]}}}`: "",
		`{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "c", "weight": 0}]}}}`:                             "weight",
		`{"match": {"prefix": "/"}, "route": {"cluster_header": "c"}}`:                                                                       "cluster_header",
		`{"match": {"prefix": "/"}, "route": {"cluster": "c", "prefix_rewrite": "/x"}}`:                                                      "prefix_rewrite",
		`{"match": {"prefix": "/"}, "route": {"cluster": "c", "retry_policy": {}}}`:                                                          "retry_on",
		`{"match": {"prefix": "/"}, "route": {"cluster": "c", "retry_policy": {"retry_on": "connect-failure, gateway-error"}}}`:              "",
		`{"match": {"prefix": "/"}, "route": {"cluster": "c", "retry_policy": {"retry_on": "5xx"}}}`:                                         "5xx",
		`{"match": {"prefix": "/"}, "route": {"cluster": "c", "hash_policy": [{"header": {"header_name": "x"}}]}}`:                           "",
		`{"match": {"prefix": "/"}, "route": {"cluster": "c", "hash_policy": [{"connection_properties": {"source_ip": true}}]}}`:             "hash_policy",
		`{"match": {"prefix": "/"}, "direct_response": {"status": 200}}`:                                                                     "route action",
		`{"match": {"path_separated_prefix": "/a"}, "route": {"cluster": "c"}}`:                                                              "path_separated_prefix",
		`{"match": {"prefix": "/", "query_parameters": [{"name": "x"}]}, "route": {"cluster": "c"}}`:                                         "query_parameters",
		`{"match": {"prefix": "/", "case_sensitive": false}, "route": {"cluster": "c"}}`:                                                     "case_sensitive",
		`{"match": {}, "route": {"cluster": "c"}}`:                                                                                           "path condition",
		`{"match": {"prefix": "/"}, "route": {"cluster": "c"}, "request_headers_to_remove": ["x"]}`:                                          "request_headers_to_remove",
	} {
		m := &routev3.RouteConfiguration{}
		parse(t, m, fmt.Sprintf(frame, route))
		_, err := c.Routes(m)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", route, err, want)
		}
	}
}

func TestClusterRefused(t *testing.T) {
	const good = `{"name": "a:80", "type": "EDS", "eds_cluster_config": {"service_name": "a:80"}, "transport_socket": {"name": "t", "typed_config": {
		"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": {
		"tls_certificate_sds_secret_configs": [{"name": "default"}], "combined_validation_context": {
		"default_validation_context": {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "spiffe://t/a"}}]},
		"validation_context_sds_secret_config": {"name": "ROOTCA"}}}}}}`
	c := new(policy.Compiler)
	for _, x := range []struct{ old, new, want string }{
		{"", "", ""},
		{`"EDS"`, `"STATIC"`, "STATIC"},
		{`"URI"`, `"DNS"`, "exact URIs"},
		{`"exact": "spiffe://t/a"`, `"prefix": "spiffe://t/"`, "exact URIs"},
		{`"service_name": "a:80"`, `"service_name": "b"`, "service_name"},
		{`"default_validation_context": {`, `"default_validation_context": {"trust_chain_verification": "ACCEPT_UNTRUSTED", `, "trust_chain_verification"},
		{`"type": "EDS"`, `"type": "EDS", "lb_policy": "MAGLEV"`, ""},
		{`"type": "EDS"`, `"type": "EDS", "lb_policy": "CLUSTER_PROVIDED"`, "CLUSTER_PROVIDED"},
		{`"type": "EDS"`, `"type": "EDS", "outlier_detection": {}`, ""},
		{`"type": "EDS"`, `"type": "EDS", "outlier_detection": {"success_rate_minimum_hosts": 1}`, "success_rate_minimum_hosts"},
		{`"type": "EDS"`, `"type": "EDS", "circuit_breakers": {"thresholds": [{"max_requests": 5}]}`, ""},
		{`"type": "EDS"`, `"type": "EDS", "circuit_breakers": {"thresholds": [{"max_retries": 5}]}`, "max_retries"},
	} {
		m := &clusterv3.Cluster{}
		parse(t, m, strings.Replace(good, x.old, x.new, 1))
		_, err := c.Cluster(m)
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v, want %q", x.new, err, x.want)
		}
	}
	m := &clusterv3.Cluster{}
	parse(t, m, `{"name": "a:80", "type": "EDS"}`)
	if _, err := c.Cluster(m); err == nil {
		t.Error("a cluster without mTLS is understood")
	}
}

func TestEndpoints(t *testing.T) {
	end := func(ip, health string) string {
		return fmt.Sprintf(`{"health_status": %q, "endpoint": {"address": {"socket_address": {"address": %q, "port_value": 80}}}}`, health, ip)
	}
	m := &endpointv3.ClusterLoadAssignment{}
	parse(t, m, `{"cluster_name": "a", "endpoints": [{"lb_endpoints": [`+end("10.0.0.1", "HEALTHY")+`,`+end("10.0.0.2", "UNHEALTHY")+
		`,`+end("10.0.0.3", "DRAINING")+`,`+end("fd00::1", "UNKNOWN")+`]}]}`)
	e, err := new(policy.Compiler).Endpoints(m)
	if err != nil || fmt.Sprint(e.Addrs) != "[10.0.0.1:80 [fd00::1]:80]" {
		t.Errorf("%v %v", e, err)
	}
	parse(t, m, `{"cluster_name": "a", "endpoints": [{"priority": 1}]}`)
	if _, err := new(policy.Compiler).Endpoints(m); err == nil {
		t.Error("priorities are understood")
	}
}
