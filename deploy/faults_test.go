// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/anymesh/anymesh/object"
)

// fault is one entry of testdata/faults.yaml.
type fault struct {
	Number int        `json:"fault"`
	By     string     `json:"by"`
	Answer string     `json:"answer,omitempty"`
	Object object.Raw `json:"object"`
}

// TestFaults asks first the schema and then what admission asks. Nothing is dropped on the way from one to the other.
func TestFaults(t *testing.T) {
	text, err := os.ReadFile("../testdata/faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var faults []fault
	if problems := object.Unmarshal(root.Content[0], &faults); len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	s, seen := schemas(t), map[int]bool{}
	for _, f := range faults {
		seen[f.Number] = true
		o, problems := object.Of("", f.Object.Node)
		if o == nil || len(problems) > 0 {
			t.Fatalf("line %d: %+v", f.Object.Line, problems)
		}
		raw, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		by, answer := "schema", strings.Join(s.Check(raw), "; ")
		if answer == "" {
			by, answer = "admission", invalid(o)
		}
		if answer == "" {
			by = "accepted"
		}
		if by != f.By || !strings.Contains(answer, f.Answer) {
			t.Errorf("fault %d, line %d: answered by %s: %s; it should be by %s: %s", f.Number, f.Object.Line, by, answer, f.By, f.Answer)
		}
	}
	for n := 1; n <= 20; n++ {
		if !seen[n] {
			t.Errorf("fault %d is not asked", n)
		}
	}
}
