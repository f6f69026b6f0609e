// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	httprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcprbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	templatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/path/match/uri_template/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
)

// view is what Istio tells one proxy, read as Envoy reads it.
type view struct {
	listeners []*listenerv3.Listener
	routes    []*routev3.RouteConfiguration
	compiled  map[string]*regexp.Regexp
}

func newView(t *testing.T, s *xds.FakeDiscoveryServer, p *model.Proxy) *view {
	t.Helper()
	return &view{s.Listeners(p), s.Routes(p), map[string]*regexp.Regexp{}}
}

func as[T proto.Message](a *anypb.Any, into T) (T, bool) {
	if !a.MessageIs(into) {
		return into, false
	}
	if err := a.UnmarshalTo(into); err != nil {
		panic(err)
	}
	return into, true
}

// shares says where the proxy sends a request, by the cluster's Service and port.
func (v *view) shares(w *world, a *ask) map[string]float64 {
	out := map[string]float64{}
	if a.Request.Layer == 0 {
		v.http(a, out)
	} else {
		v.stream(w, a, out)
	}
	return out
}

func cluster(name string, part float64, out map[string]float64) {
	f := strings.Split(name, "|")
	if len(f) != 4 {
		out[name] += part
		return
	}
	host := strings.SplitN(f[3], ".", 3)
	out[host[1]+"/"+host[0]+":"+f[1]] += part
}

func (v *view) http(a *ask, out map[string]float64) {
	full := fmt.Sprintf("%s:%d", a.Request.Host, a.Port.Number)
	for _, rc := range v.routes {
		if rc.Name != fmt.Sprint(a.Port.Number) && rc.Name != full {
			continue
		}
		for _, vh := range rc.VirtualHosts {
			if !slices.Contains(vh.Domains, a.Request.Host) && !slices.Contains(vh.Domains, full) && !(rc.Name == full && slices.Contains(vh.Domains, "*")) {
				continue
			}
			for _, r := range vh.Routes {
				if !v.routeMatches(r.Match, a) {
					continue
				}
				if one := r.GetRoute().GetCluster(); one != "" {
					cluster(one, 1, out)
					return
				}
				total := 0.0
				for _, c := range r.GetRoute().GetWeightedClusters().GetClusters() {
					total += float64(c.Weight.GetValue())
				}
				for _, c := range r.GetRoute().GetWeightedClusters().GetClusters() {
					cluster(c.Name, float64(c.Weight.GetValue())/total, out)
				}
				return
			}
			return
		}
	}
}

func (v *view) stream(w *world, a *ask, out map[string]float64) {
	i := slices.IndexFunc(w.Services, func(s service) bool { return s.Name == a.Request.Service })
	for _, l := range v.listeners {
		if l.Name != fmt.Sprintf("%s_%d", virtual(i), a.Port.Number) {
			continue
		}
		for _, fc := range append(l.FilterChains, l.DefaultFilterChain) {
			if names := fc.GetFilterChainMatch().GetServerNames(); len(names) > 0 && (a.Port.Protocol != tls || !slices.Contains(names, a.Request.Host)) {
				continue
			}
			for _, f := range fc.GetFilters() {
				p, ok := as(f.GetTypedConfig(), &tcpv3.TcpProxy{})
				if !ok {
					continue
				}
				if one := p.GetCluster(); one != "" {
					cluster(one, 1, out)
					return
				}
				total := 0.0
				for _, c := range p.GetWeightedClusters().GetClusters() {
					total += float64(c.Weight)
				}
				for _, c := range p.GetWeightedClusters().GetClusters() {
					cluster(c.Name, float64(c.Weight)/total, out)
				}
				return
			}
		}
	}
}

func (a *ask) path() string {
	path, _, _ := strings.Cut(a.Request.Path, "?")
	return path
}

// header is the value of a header as Envoy joins it; pseudo headers are headers to it.
func (a *ask) header(name string) (string, bool) {
	switch name {
	case ":authority":
		return a.Request.Host, true
	case ":method":
		return a.Request.Method, true
	}
	values, ok := a.Request.Headers[name]
	return strings.Join(values, ","), ok
}

func (v *view) routeMatches(m *routev3.RouteMatch, a *ask) bool {
	switch p := m.PathSpecifier.(type) {
	case *routev3.RouteMatch_Prefix:
		if !strings.HasPrefix(a.path(), p.Prefix) && !(p.Prefix == "/" && a.path() == "*") {
			return false
		}
	case *routev3.RouteMatch_PathSeparatedPrefix:
		rest, ok := strings.CutPrefix(a.path(), p.PathSeparatedPrefix)
		if !ok || rest != "" && rest[0] != '/' {
			return false
		}
	case *routev3.RouteMatch_Path:
		if a.path() != p.Path {
			return false
		}
	case *routev3.RouteMatch_SafeRegex:
		if !v.regex(p.SafeRegex.Regex, a.path()) {
			return false
		}
	default:
		panic(fmt.Sprintf("a path by %T", p))
	}
	return !slices.ContainsFunc(m.Headers, func(h *routev3.HeaderMatcher) bool { return !v.headerMatches(h, a) })
}

func (v *view) regex(expression, text string) bool {
	re := v.compiled[expression]
	if re == nil {
		re = regexp.MustCompile(`\A(?:` + expression + `)\z`)
		v.compiled[expression] = re
	}
	return re.MatchString(text)
}

func (v *view) headerMatches(h *routev3.HeaderMatcher, a *ask) bool {
	text, ok := a.header(h.Name)
	switch m := h.HeaderMatchSpecifier.(type) {
	case *routev3.HeaderMatcher_PresentMatch:
		return ok == m.PresentMatch
	case *routev3.HeaderMatcher_StringMatch:
		return ok && v.text(m.StringMatch, text)
	}
	panic(fmt.Sprintf("a header by %T", h.HeaderMatchSpecifier))
}

func (v *view) text(m *matcherv3.StringMatcher, text string) bool {
	fold := func(s string) string {
		if m.IgnoreCase {
			return strings.ToLower(s)
		}
		return s
	}
	switch p := m.MatchPattern.(type) {
	case *matcherv3.StringMatcher_Exact:
		return fold(text) == fold(p.Exact)
	case *matcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(fold(text), fold(p.Prefix))
	case *matcherv3.StringMatcher_Suffix:
		return strings.HasSuffix(fold(text), fold(p.Suffix))
	case *matcherv3.StringMatcher_SafeRegex:
		return v.regex(p.SafeRegex.Regex, text)
	}
	panic(fmt.Sprintf("a text by %T", m.MatchPattern))
}

// admits says whether the proxy's RBAC filters let a request through to a port: those of the filter chain for it, of HTTP or of bytes.
func (v *view) admits(a *ask, port uint16) bool {
	for _, l := range v.listeners {
		if l.Name != model.VirtualInboundListenerName {
			continue
		}
		for _, exactly := range []bool{true, false} {
			for _, fc := range append(l.FilterChains, l.DefaultFilterChain) {
				n := fc.GetFilterChainMatch().GetDestinationPort()
				if exactly && (n == nil || n.Value != uint32(port)) || !exactly && n != nil {
					continue
				}
				if ok, fits := v.chain(fc, a, port); fits {
					return ok
				}
			}
		}
	}
	panic("no inbound filter chain fits")
}

// chain says what a filter chain lets through, and whether it carries what is asked.
func (v *view) chain(fc *listenerv3.FilterChain, a *ask, port uint16) (ok, fits bool) {
	ok = true
	for _, f := range fc.GetFilters() {
		if r, is := as(f.GetTypedConfig(), &tcprbacv3.RBAC{}); is {
			ok = ok && v.allowed(r.Rules, a, port)
		}
		if _, is := as(f.GetTypedConfig(), &tcpv3.TcpProxy{}); is {
			return ok, a.Request.Layer != 0
		}
		if h, is := as(f.GetTypedConfig(), &hcmv3.HttpConnectionManager{}); is {
			for _, hf := range h.HttpFilters {
				if r, is := as(hf.GetTypedConfig(), &httprbacv3.RBAC{}); is {
					ok = ok && v.allowed(r.Rules, a, port)
				}
			}
			return ok, a.Request.Layer == 0
		}
	}
	return false, false
}

func (v *view) allowed(r *rbacv3.RBAC, a *ask, port uint16) bool {
	if r == nil {
		return true
	}
	if r.Action != rbacv3.RBAC_ALLOW {
		panic("the driver writes ALLOW alone")
	}
	for _, p := range r.Policies {
		if slices.ContainsFunc(p.Permissions, func(p *rbacv3.Permission) bool { return v.permission(p, a, port) }) &&
			slices.ContainsFunc(p.Principals, func(p *rbacv3.Principal) bool { return v.principal(p, a) }) {
			return true
		}
	}
	return false
}

func (v *view) permission(p *rbacv3.Permission, a *ask, port uint16) bool {
	has := func(p *rbacv3.Permission) bool { return v.permission(p, a, port) }
	switch r := p.Rule.(type) {
	case *rbacv3.Permission_Any:
		return r.Any
	case *rbacv3.Permission_AndRules:
		return !slices.ContainsFunc(r.AndRules.Rules, func(p *rbacv3.Permission) bool { return !has(p) })
	case *rbacv3.Permission_OrRules:
		return slices.ContainsFunc(r.OrRules.Rules, has)
	case *rbacv3.Permission_NotRule:
		return !has(r.NotRule)
	case *rbacv3.Permission_DestinationPort:
		return r.DestinationPort == uint32(port)
	case *rbacv3.Permission_Header:
		return v.headerMatches(r.Header, a)
	case *rbacv3.Permission_UrlPath:
		return v.text(r.UrlPath.GetPath(), a.path())
	case *rbacv3.Permission_UriTemplate:
		return v.template(r.UriTemplate, a.path())
	}
	panic(fmt.Sprintf("a permission by %T", p.Rule))
}

// template is Envoy's own way: letters of a path segment, one or more for *, any number and the slash too for **.
func (v *view) template(c *corev3.TypedExtensionConfig, path string) bool {
	m, ok := as(c.TypedConfig, &templatev3.UriTemplateMatchConfig{})
	if !ok {
		panic("not a URI template")
	}
	const letters = `a-zA-Z0-9\-._~%!$&'()+,;:@=`
	var b strings.Builder
	for i, s := range strings.Split(m.PathTemplate, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		switch s {
		case "*":
			b.WriteString("[" + letters + "]+")
		case "**":
			b.WriteString("[" + letters + "/]*")
		default:
			b.WriteString(regexp.QuoteMeta(s))
		}
	}
	return v.regex(b.String(), path)
}

func (v *view) principal(p *rbacv3.Principal, a *ask) bool {
	has := func(p *rbacv3.Principal) bool { return v.principal(p, a) }
	switch r := p.Identifier.(type) {
	case *rbacv3.Principal_Any:
		return r.Any
	case *rbacv3.Principal_AndIds:
		return !slices.ContainsFunc(r.AndIds.Ids, func(p *rbacv3.Principal) bool { return !has(p) })
	case *rbacv3.Principal_OrIds:
		return slices.ContainsFunc(r.OrIds.Ids, has)
	case *rbacv3.Principal_NotId:
		return !has(r.NotId)
	case *rbacv3.Principal_Authenticated_:
		return a.Caller != "" && v.text(r.Authenticated.PrincipalName, a.Caller)
	case *rbacv3.Principal_Header:
		return v.headerMatches(r.Header, a)
	}
	panic(fmt.Sprintf("a principal by %T", p.Identifier))
}
