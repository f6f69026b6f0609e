// SPDX-License-Identifier: Apache-2.0

package model

import "slices"

// Access is all that decides who may call the workloads of one identity: the unit of access. The unit of a namespace whose
// Identity has no account holds the permissions of that namespace that name nobody; it only has faults.
type Access struct {
	Settings  *Settings
	Identity  Identity
	Workloads []Member // by kind and name
	Grants    []Grant  // by name of the permission; one that grants nothing still closes
}

// Member is a workload of an identity, with the ports on which its proxy sees traffic.
type Member struct {
	*Workload
	Listens   []MemberPort // by number; TCP alone
	Datagrams []uint16     // UDP ports, sorted
	Doors     []Door       // in the order of the Services' names; TCP alone
	Ambiguous bool         // its selector also finds pods of another account in the namespace
	Shared    []Name       // Services before it that also lead to workloads of another account
}

// Door is a port of a Service that leads to a workload.
type Door struct {
	Service Name
	Port    *ServicePort
	Target  uint16 // on the workload
}

// MemberPort is a port of a workload, with what the Services before it say that it carries.
type MemberPort struct {
	Number   uint16
	Protocol Protocol // Auto where no Service says, or two disagree
	Called   []uint16 // numbers of the Services' ports that lead to it, sorted
}

// Grant is one permission, resolved.
type Grant struct {
	Permission *Permission
	Subset     []*Workload // that it names as destination; nil: all of the identity
	Sources    []Source
	Stream     Ports // raw TCP, and with it every request
	HTTP       []GrantMatch
	HTTPPorts  Ports // on which HTTP holds
	Datagram   Ports // UDP
	Carriers   []Carrier
}

// Carrier is a port route that a grant's ports come from.
type Carrier struct {
	Route Ref
	Ports Ports // as the workload's proxy sees them
	Rule  int   // in the permission's rules
}

// GrantMatch is a match with the place it was written at.
type GrantMatch struct {
	*Match
	Group *RouteGroup
	Index int // in the group
	Rule  int // in the permission's rules
}

// Source is one caller of a grant: exactly one of Identity, SPIFFE and Pods says who.
type Source struct {
	Identity  Identity          // of our own trust domain
	SPIFFE    string            // an ID of another domain, or of ours in another form than a service account's
	Pods      map[string]string // pods of Namespace, apart from others of their account
	Namespace string
	Index     int // in the permission's sources
}

// Closed says whether a caller that no grant admits is refused at a workload.
func (a *Access) Closed(w *Workload) bool {
	switch a.Settings.Access {
	case AccessDeny:
		return true
	case AccessAllow:
		return false
	}
	return slices.ContainsFunc(a.Grants, func(g Grant) bool { return g.Covers(w) })
}

// Covers says whether the grant's permission names a workload of the identity as destination.
func (g *Grant) Covers(w *Workload) bool {
	return g.Subset == nil || slices.ContainsFunc(g.Subset, func(o *Workload) bool { return o.Ref() == w.Ref() })
}

// Empty says whether the grant admits nobody to anything.
func (g *Grant) Empty() bool {
	return len(g.Sources) == 0 || g.Stream.Empty() && g.Datagram.Empty() && (len(g.HTTP) == 0 || g.HTTPPorts.Empty())
}

// Destinations lists the identities that a permission names as destination: none where it is refused, or names nobody.
func (p *Permission) Destinations(w World) []Identity {
	d := p.Destination
	if d.Namespace != p.Name.Namespace && !w.Settings().CrossNamespace {
		return nil
	}
	switch d.Kind {
	case KindServiceAccount:
		return []Identity{{d.Namespace, d.Name}}
	case KindBinding:
		if b := w.Binding(Name{d.Namespace, d.Name}); b != nil {
			return b.identities(w)
		}
	}
	return nil
}

// identities lists the accounts behind a binding, in any of its schemes, of the binding's own namespace.
func (b *Binding) identities(w World) []Identity {
	if b.Broken {
		return nil
	}
	var ids []Identity
	if b.Account != "" {
		ids = append(ids, Identity{b.Name.Namespace, b.Account})
	}
	for _, s := range b.SPIFFE {
		if id, ok := ParseSPIFFE(s, w.Settings().TrustDomain); ok && id.Namespace == b.Name.Namespace {
			ids = append(ids, id)
		}
	}
	if len(b.Pods) > 0 {
		for _, o := range w.Labelled(b.Name.Namespace, b.Pods) {
			ids = append(ids, o.Identity())
		}
	}
	slices.SortFunc(ids, Identity.Compare)
	return slices.Compact(ids)
}

// JoinAccess joins what is known of one identity. Faults are what no mesh could help.
func JoinAccess(w World, id Identity) (*Access, []Finding) {
	a := &Access{Settings: w.Settings(), Identity: id}
	if id.ServiceAccount != "" {
		for _, o := range w.Workloads(id) {
			a.Workloads = append(a.Workloads, member(w, o))
		}
		slices.SortFunc(a.Workloads, func(x, y Member) int { return x.Ref().Compare(y.Ref()) })
	}
	perms := slices.Clone(w.Permissions(id))
	slices.SortFunc(perms, func(x, y *Permission) int { return x.Name.Compare(y.Name) })
	var faults []Finding
	for _, p := range perms {
		j := grantJoin{w: w, a: a, p: p}
		if j.destination() {
			a.Grants = append(a.Grants, j.grant())
		}
		faults = append(faults, j.faults...)
	}
	return a, faults
}

// Selects says whether labels meet a selector by equality. An empty selector selects nothing here.
func Selects(selector, labels map[string]string) bool {
	if len(selector) == 0 {
		return false
	}
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
