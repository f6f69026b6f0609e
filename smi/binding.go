// SPDX-License-Identifier: Apache-2.0

package smi

import (
	"strings"

	"github.com/anymesh/anymesh/model"
)

// IdentityBinding names a set of workloads of its own namespace (group access, from v1alpha4). Its schemes are alternatives.
type IdentityBinding struct {
	Meta
	PodLabels      map[string]string
	SPIFFE         []string // as written: with or without scheme
	ServiceAccount string
}

type bindingSpec struct {
	Schemes schemes `json:"schemes"`
}

type schemes struct {
	PodLabelSelector *selector `json:"podLabelSelector,omitempty"`
	SPIFFE           []string  `json:"spiffeIdentities,omitempty"`
	ServiceAccount   string    `json:"serviceAccount,omitempty"`
}

type selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

func (d *decoder) binding() *IdentityBinding {
	var spec bindingSpec
	d.read(&spec)
	s := &spec.Schemes
	b := &IdentityBinding{SPIFFE: s.SPIFFE, ServiceAccount: s.ServiceAccount}
	if s.PodLabelSelector != nil {
		if b.PodLabels = s.PodLabelSelector.MatchLabels; len(b.PodLabels) == 0 {
			d.missing("matchLabels", "spec.schemes.podLabelSelector.matchLabels", "Name at least one label: a selector without any selects nobody.")
		}
		if s.ServiceAccount != "" {
			d.invalid(model.CodeScheme, "spec.schemes.serviceAccount", "podLabelSelector and serviceAccount exclude each other", "Keep one of the two.")
		}
	}
	if isMap(d.spec) && s.PodLabelSelector == nil && len(s.SPIFFE) == 0 && s.ServiceAccount == "" {
		d.missing("schemes", "spec.schemes", "Say who it is: serviceAccount, spiffeIdentities or podLabelSelector.")
	}
	for i, id := range s.SPIFFE {
		if !validSPIFFE(id) {
			d.invalid(model.CodeSPIFFE, at("schemes.spiffeIdentities", i, ""), "not a SPIFFE ID: "+id, "Write spiffe://trust-domain/path; the scheme may be left out.")
		}
	}
	b.Meta = d.meta
	return b
}

// validSPIFFE says whether an ID, with or without its scheme, is one of a workload (SPIFFE-ID, section 2).
func validSPIFFE(id string) bool {
	domain, path, ok := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/")
	if !ok || domain == "" || len(domain) > 255 || len(id) > 2048 || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
		for i := range len(part) {
			if c := part[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// Facts is one binding; its IDs have their scheme.
func (b *IdentityBinding) Facts(namespace string) []model.Fact {
	f := &model.Binding{Name: b.name(namespace), Account: b.ServiceAccount, Pods: b.PodLabels, Broken: b.Broken}
	for _, id := range b.SPIFFE {
		f.SPIFFE = append(f.SPIFFE, "spiffe://"+strings.TrimPrefix(id, "spiffe://"))
	}
	return []model.Fact{f}
}

func (b *IdentityBinding) spec() any {
	spec := bindingSpec{schemes{SPIFFE: b.SPIFFE, ServiceAccount: b.ServiceAccount}}
	if len(b.PodLabels) > 0 {
		spec.Schemes.PodLabelSelector = &selector{b.PodLabels}
	}
	return &spec
}
