// SPDX-License-Identifier: Apache-2.0

package file

import (
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// assume adds the Services that splits name to an input that holds none in their namespace, and says so of each split. Someone who asks what
// a split means should not have to write a Service for it; their ports are not known then.
func assume(events []store.Event, domain string) []store.Event {
	has := map[string]bool{}
	for _, e := range events {
		for _, f := range e.Facts {
			if s, ok := f.(*model.Service); ok {
				has[s.Name.Namespace] = true
			}
		}
	}
	var added []store.Event
	seen := map[model.Name]bool{}
	for i := range events {
		for _, f := range events[i].Facts {
			s, ok := f.(*model.Split)
			if !ok || s.Broken || has[s.Name.Namespace] {
				continue
			}
			names := named(s, domain)
			for _, n := range names {
				if seen[n] {
					continue
				}
				seen[n] = true
				added = append(added, store.Event{Object: model.Ref{Kind: model.KindService, Name: n},
					Facts: []model.Fact{&model.Service{Name: n, Assumed: true, Ports: []model.ServicePort{{Protocol: model.Auto}}}}})
			}
			if len(names) > 0 {
				events[i].Findings = append(slices.Clone(events[i].Findings), assumed(s, names))
			}
		}
	}
	return append(events, added...)
}

// named lists the Services that a split names in its own namespace.
func named(s *model.Split, domain string) []model.Name {
	var names []model.Name
	add := func(written string) {
		n, ours := model.ParseServiceName(written, s.Name.Namespace, domain)
		if ours && n.Namespace == s.Name.Namespace && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	add(s.Root)
	for _, b := range s.Backends {
		add(b.Service)
	}
	return names
}

func assumed(s *model.Split, names []model.Name) model.Finding {
	var list []string
	for _, n := range names {
		list = append(list, n.Name)
	}
	return model.Finding{Level: model.Notice, Code: model.CodeAssumed, Object: s.Ref(), Path: "spec.service",
		Message: "the input holds no Service in " + s.Name.Namespace + ": assumed are " + strings.Join(list, ", ") + ", with unknown ports",
		Hint:    "Give the Services beside the split."}
}
