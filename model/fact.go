// SPDX-License-Identifier: Apache-2.0

package model

import "time"

// Fact is one known object in neutral form. Facts are immutable once they are handed on.
type Fact interface{ Ref() Ref }

// Settings are what an installation decides for the whole mesh.
type Settings struct {
	TrustDomain    string // of our own identities
	ClusterDomain  string // the DNS suffix of services
	Access         AccessDefault
	CrossNamespace bool    // a TrafficTarget may name a destination in another namespace
	Helpers        Helpers // that drivers may use
}

// Defaults are the settings of an installation that decided nothing.
func Defaults() *Settings {
	return &Settings{TrustDomain: "cluster.local", ClusterDomain: "cluster.local"}
}

// AccessDefault says which identities are closed to callers that no permission admits.
type AccessDefault uint8

// The access defaults.
const (
	AccessTargeted AccessDefault = iota // those that some TrafficTarget names as destination
	AccessDeny                          // all of the mesh: the letter of SMI
	AccessAllow                         // none: verdicts are reported and not enforced
)

// String is the word by which the setting is written.
func (a AccessDefault) String() string { return [...]string{"targeted", "deny", "allow"}[a] }

// Service is a name that clients call.
type Service struct {
	Name     Name
	Ports    []ServicePort
	Selector map[string]string
	Headless bool // without a cluster IP: its name leads straight to pods
	Assumed  bool // named by a split, in an input that holds no Services: its ports are not known
	Traffic  Traffic
}

// Traffic is how a Service's owner wants its requests to be spread and bounded, beyond what SMI can say. The zero value says nothing. The built-in
// mesh does it.
type Traffic struct {
	Balance     Balance
	Key         string        // the header by which Hash chooses, in lower case
	Timeout     time.Duration // of a request with its answer; 0: none
	TryTimeout  time.Duration // until an endpoint answers; 0: none
	Retries     uint32        // of requests that may be repeated
	Requests    uint32        // at once, from one caller's proxy; 0: no bound
	Waiting     uint32        // for one of those to end
	Connections uint32        // of bytes at once, from one caller's proxy; 0: no bound
	Outliers    Outliers
}

// Balance is how an endpoint is chosen.
type Balance uint8

// The ways to choose. Hash sends what has the same key to the same endpoint.
const (
	LeastRequest Balance = iota
	RoundRobin
	Random
	Hash
)

// Outliers say when an endpoint that fails is set aside. The zero value is what the mesh does by itself.
type Outliers struct {
	Off      bool
	Failures uint32        // in a row; 0: as the mesh does
	Time     time.Duration // for how long at first; 0: as the mesh does
	Percent  uint32        // of the endpoints at most; 0: as the mesh does
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Name       string
	Number     uint16 // 0 on an assumed service: any port
	Target     uint16 // the port on the workload, 0 where TargetName says it
	TargetName string
	Protocol   Protocol
}

// Port is the service's port of that number, or nil. An assumed service has every port; number 0 asks for the only port, or for
// the first that carries HTTP.
func (s *Service) Port(number uint16) *ServicePort {
	for i := range s.Ports {
		if p := &s.Ports[i]; p.Number == number || s.Assumed || number == 0 && (len(s.Ports) == 1 || p.Protocol.CarriesHTTP()) {
			return p
		}
	}
	return nil
}

// Like is the service's port that takes part where a root has the port p: of the same number, and carried alike.
func (s *Service) Like(p *ServicePort) *ServicePort {
	for i := range s.Ports {
		if o := &s.Ports[i]; s.Assumed || o.Number == p.Number && (o.Protocol == UDP) == (p.Protocol == UDP) {
			return o
		}
	}
	if p.Number == 0 {
		return s.Port(0)
	}
	return nil
}

// Workload is what answers: a controller with its pod template, or a pod of its own.
type Workload struct {
	Kind     Kind
	Name     Name
	Labels   map[string]string // of its pods
	Selector map[string]string // that the controller finds its pods by; the labels of a bare pod
	Account  string            // service account
	Ports    []ContainerPort
	Probes   []Probe
}

// ContainerPort is a port that a workload declares.
type ContainerPort struct {
	Name     string
	Number   uint16
	Protocol Protocol // TCP or UDP
}

// Probe is a health check of the kubelet: it is admitted whatever the permissions say.
type Probe struct {
	Path string // of an HTTP check; empty for TCP
	Port uint16
}

// Identity is who the workload's pods are.
func (w *Workload) Identity() Identity { return Identity{w.Name.Namespace, w.Account} }

// Finder is the set of labels by which a mesh that selects by label finds the workload's pods.
func (w *Workload) Finder() map[string]string {
	if len(w.Selector) > 0 {
		return w.Selector
	}
	return w.Labels
}

// TargetPort is the port on the workload to which a service port leads, 0 when the workload declares no port of that name.
func (w *Workload) TargetPort(p *ServicePort) uint16 {
	if p.TargetName == "" {
		return p.Target
	}
	for _, c := range w.Ports {
		if c.Name == p.TargetName {
			return c.Number
		}
	}
	return 0
}

// Pod is one running instance.
type Pod struct {
	Name     Name
	Address  string // IP
	Labels   map[string]string
	Account  string
	Workload Ref // its controller, or itself
	Ports    []ContainerPort
	Ready    bool
	// Datagrams are UDP ports of its proxy, each with the service and port that is reached there, as "dns.shop:53".
	Datagrams map[uint16]string
}

// Identity is who the pod is.
func (p *Pod) Identity() Identity { return Identity{p.Name.Namespace, p.Account} }

// EndpointSlice is a part of a service's addresses, as Kubernetes keeps them.
type EndpointSlice struct {
	Name      Name
	Service   Name
	Ports     []EndpointPort
	Endpoints []Endpoint
}

// EndpointPort is a target port that all addresses of a slice share.
type EndpointPort struct {
	Name   string // of the service port
	Number uint16
}

// Endpoint is one address of a service.
type Endpoint struct {
	Address string // IP
	Ready   bool
	Pod     string // in the service's namespace; empty where none is known
}

// ServiceAccount is an identity that exists, whether a workload runs as it or not.
type ServiceAccount struct{ Name Name }

// Split shares out the traffic of a root service (TrafficSplit).
type Split struct {
	Name     Name
	Created  int64  // seconds since 1970; 0 in files
	Root     string // as written: see ParseServiceName
	Backends []Backend
	Groups   []string // route groups of spec.matches; none: every request
	Broken   bool     // refused by its own syntax: it has no effect
}

// Backend is one receiver of a split.
type Backend struct {
	Service string // as written
	Weight  int64  // relative to the other backends, 0 or more
}

// RouteGroup names sets of requests (HTTPRouteGroup).
type RouteGroup struct {
	Name     Name
	FullPath bool // path expressions cover the whole path and not only its beginning
	Matches  []Match
}

// Match is one set of requests: those that meet all of its conditions. One without conditions is every request.
type Match struct {
	Name    string
	Path    string   // RE2; empty: any path
	Methods []string // empty: any method
	Headers []Header // all must match
	Never   bool     // refused by its own syntax: no request is in it
}

// Header is a condition on one header of a request.
type Header struct {
	Name  string // in lower case; "host" and ":authority" mean the authority
	Value string // RE2 over the whole value
}

// Authority says whether the condition is on the host that the client called and not on a header.
func (h *Header) Authority() bool { return h.Name == "host" || h.Name == ":authority" }

// PortRoute names ports (TCPRoute, UDPRoute).
type PortRoute struct {
	Kind  Kind // KindTCPRoute or KindUDPRoute
	Name  Name
	Ports Ports
}

// Permission lets sources call a destination (TrafficTarget).
type Permission struct {
	Name        Name
	Destination Subject
	Port        uint16 // the extra restriction of v1alpha1 and v1alpha2; 0: none
	Sources     []Subject
	Rules       []Rule
	Broken      bool // refused by its own syntax: it closes its destination and grants nothing
}

// Subject names a caller or a destination of a permission.
type Subject struct {
	Kind      Kind // KindServiceAccount or KindBinding; anything else grants nothing
	Namespace string
	Name      string
}

// Rule points a permission at routes in its own namespace.
type Rule struct {
	Kind    Kind // KindGroup, KindTCPRoute or KindUDPRoute; anything else grants nothing
	Name    string
	Matches []string // entries of the group
	All     bool     // `matches` was absent: every entry
}

// Binding names a set of workloads of its own namespace as one identity (IdentityBinding, access v1alpha4). Its schemes are
// alternatives.
type Binding struct {
	Name    Name
	Account string
	SPIFFE  []string // with scheme
	Pods    map[string]string
	Broken  bool // refused by its own syntax: it is nobody
}

// Ref of each fact.
func (s *Settings) Ref() Ref       { return Ref{Kind: KindSettings} }
func (s *Service) Ref() Ref        { return Ref{KindService, s.Name} }
func (w *Workload) Ref() Ref       { return Ref{w.Kind, w.Name} }
func (p *Pod) Ref() Ref            { return Ref{KindPod, p.Name} }
func (e *EndpointSlice) Ref() Ref  { return Ref{KindEndpointSlice, e.Name} }
func (a *ServiceAccount) Ref() Ref { return Ref{KindServiceAccount, a.Name} }
func (s *Split) Ref() Ref          { return Ref{KindSplit, s.Name} }
func (g *RouteGroup) Ref() Ref     { return Ref{KindGroup, g.Name} }
func (r *PortRoute) Ref() Ref      { return Ref{r.Kind, r.Name} }
func (p *Permission) Ref() Ref     { return Ref{KindPermission, p.Name} }
func (b *Binding) Ref() Ref        { return Ref{KindBinding, b.Name} }
