// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// TestAsks puts every question of the corpus to the evaluator, and compares what is found wrong with each case with what its
// comments say is wrong with it on purpose.
func TestAsks(t *testing.T) {
	t.Parallel()
	for _, c := range Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if !bytes.Contains(c.Text, []byte("\n# ask:")) {
				t.Error("the case asks nothing")
			}
			for _, p := range Asks(&c) {
				t.Error(p)
			}
			want, findings := expected(&c), faults(&c)
			var got []string
			for _, f := range findings {
				got = append(got, string(f.Code))
			}
			slices.Sort(got)
			if got = slices.Compact(got); slices.Equal(got, want) {
				return
			}
			for _, f := range findings {
				t.Log(line(f))
			}
			t.Errorf("the findings are %v; the case expects %v", got, want)
		})
	}
}

// expected lists the codes that the case's lines `# finding: AM0309` name, in order and each once.
func expected(c *Case) []string {
	var codes []string
	for l := range strings.Lines(string(c.Text)) {
		if code, ok := strings.CutPrefix(l, "# finding:"); ok {
			codes = append(codes, strings.TrimSpace(code))
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// faults lists all that is found before any mesh is asked: in the text, and where its objects meet.
func faults(c *Case) []model.Finding {
	s, findings := c.World()
	for _, u := range slices.Compact(slices.SortedFunc(s.Units, store.Unit.Compare)) {
		var more []model.Finding
		switch u.Kind {
		case store.UnitRoute:
			_, more = model.JoinRoute(s, u.Name)
		case store.UnitAccess:
			_, more = model.JoinAccess(s, model.Identity{Namespace: u.Name.Namespace, ServiceAccount: u.Name.Name})
		}
		findings = append(findings, more...)
	}
	return findings
}
