// SPDX-License-Identifier: Apache-2.0

package istio

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/meshtest"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// judgeFiltered is judgeAdmit for worlds with EnvoyFilters: what a filter adds is asked where Istio has made rules of a policy that allows, for
// requests alone (RBAC of Envoy; EnvoyFilter, MERGE).
func judgeFiltered(objs []mesh.Object, w model.World, wl *model.Workload, port uint16, q *model.Request) bool {
	policies := slices.DeleteFunc(slices.Clone(objs), func(o mesh.Object) bool { return o.Kind == kindFilter })
	if judgeAdmit(policies, w, wl, port, q) {
		return true
	}
	if q.Layer != model.LayerHTTP {
		return false
	}
	f := filterJudge{q: q, port: port, host: q.Host, caller: q.SPIFFE}
	if f.host == "" {
		f.host = w.Settings().Host(q.Service)
	}
	if q.From.ServiceAccount != "" {
		f.caller = q.From.SPIFFE(w.Settings().TrustDomain)
	}
	for _, o := range read(objs) {
		if o.kind != "EnvoyFilter" || o.namespace != wl.Name.Namespace {
			continue
		}
		labels, _ := o.spec.at("workloadSelector").at("labels").v.(map[string]any)
		for k, v := range labels {
			if wl.Labels[k] != v {
				labels = nil
			}
		}
		p := o.spec.at("configPatches").list()[0]
		if len(labels) > 0 && p.at("match").at("context").text() == "SIDECAR_INBOUND" && p.at("patch").at("operation").text() == "MERGE" {
			all, _ := p.at("patch").at("value").at("typed_config").at("rules").at("policies").v.(map[string]any)
			for _, one := range all {
				if f.admits(tree{one}) {
					return true
				}
			}
		}
	}
	return false
}

type filterJudge struct {
	q            *model.Request
	port         uint16
	host, caller string
}

func (f *filterJudge) admits(p tree) bool {
	p.knows("permissions", "principals")
	return slices.ContainsFunc(p.at("permissions").list(), f.permits) && slices.ContainsFunc(p.at("principals").list(), func(who tree) bool {
		return f.caller != "" && who.at("authenticated").at("principal_name").at("exact").text() == f.caller
	})
}

func (f *filterJudge) permits(p tree) bool {
	p.knows("and_rules", "or_rules", "any", "destination_port", "header", "url_path")
	switch {
	case p.at("and_rules").set():
		return !slices.ContainsFunc(p.at("and_rules").at("rules").list(), func(t tree) bool { return !f.permits(t) })
	case p.at("or_rules").set():
		return slices.ContainsFunc(p.at("or_rules").at("rules").list(), f.permits)
	case p.at("destination_port").set():
		return p.at("destination_port").number(0) == int(f.port)
	case p.at("url_path").set():
		path, _, _ := strings.Cut(f.q.Path, "?")
		return f.text(p.at("url_path").at("path"), path)
	case p.at("header").set():
		name := p.at("header").at("name").text()
		values, ok := f.q.Headers[name]
		switch name {
		case ":method":
			values, ok = []string{f.q.Method}, true
		case ":authority":
			values, ok = []string{f.host}, true
		}
		return ok && f.text(p.at("header").at("string_match"), strings.Join(values, ","))
	}
	return p.at("any").v == true
}

func (f *filterJudge) text(m tree, text string) bool {
	if m.at("exact").set() {
		return m.at("exact").text() == text
	}
	return regexp.MustCompile(`\A(?:` + m.at("safe_regex").at("regex").text() + `)\z`).MatchString(text)
}

// helped is a world whose settings name the helper.
func helped(w *store.Store) *store.Store {
	s := *w.Settings()
	s.Helpers |= model.HelperExpressions
	w.Set(store.Event{Object: s.Ref(), Facts: []model.Fact{&s}})
	return w
}

// TestHelper holds that with the helper everything means what SMI means, also what no policy can say, and that without it nothing is written.
func TestHelper(t *testing.T) {
	filters, notices := 0, 0
	worlds := meshtest.Worlds(meshtest.Cases(t))
	for _, w := range worlds {
		if slices.ContainsFunc(translate(w.Store).objects, func(o mesh.Object) bool { return o.Kind == kindFilter }) {
			t.Errorf("world %s has a filter, and nobody asked for one", w.Name)
		}
		out := translate(helped(w.Store))
		for _, o := range out.objects {
			if o.Kind == kindFilter {
				filters++
				if !slices.ContainsFunc(out.objects, func(p mesh.Object) bool { return p.Kind == "AuthorizationPolicy" && p.Name == o.Name }) {
					t.Errorf("world %s: %s stands alone", w.Name, o.Key())
				}
			}
		}
		for _, f := range out.findings {
			if f.Level == model.Notice && strings.Contains(f.Message, "EnvoyFilter") {
				notices++
			}
			if f.Level >= model.Approximate && (f.Feature == model.AccessPath || f.Feature == model.AccessHeader) && strings.Contains(f.Message, "without expressions") {
				t.Errorf("world %s: %+v", w.Name, f)
			}
		}
	}
	if filters < 20 || notices < filters {
		t.Errorf("%d filters, reported %d times", filters, notices)
	}
	var asked []meshtest.World
	for i := 0; i < len(worlds); i += 3 {
		asked = append(asked, worlds[i])
	}
	wider, wrong := meshtest.Ask(meshtest.Subject{Driver: Driver, Judge: meshtest.Judge{Route: judgeRoute, Admit: judgeFiltered}}, asked)
	for _, p := range append(wider, wrong...) {
		t.Error(p)
	}
}
