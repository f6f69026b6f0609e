// SPDX-License-Identifier: Apache-2.0

package mutate

import (
	"encoding/json"
	"slices"
	"testing"
)

const policy = `{"action":"ALLOW","rules":[{"paths":["/api*","/web"],"port":80}],"selector":{"app":"web"}}`

func parse(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestAll holds that the mistakes which matter are made, that each changes the tree, and that none changes the tree that it was made of.
func TestAll(t *testing.T) {
	t.Parallel()
	tree := parse(t, policy)
	var said []string
	for _, m := range All(tree) {
		said = append(said, m.String())
		if got, _ := json.Marshal(m.Apply(tree)); string(got) == policy {
			t.Errorf("%s changes nothing", m)
		}
	}
	for _, want := range []string{"delete rules[0]", "delete rules[0].paths", "delete rules[0].paths[1]", "swap 0 and 1 of rules[0].paths", `write "DENY" at action`,
		`write "/api" at rules[0].paths[0]`, `write "/web*" at rules[0].paths[1]`, "write 81 at rules[0].port", "empty selector", "delete selector.app"} {
		if !slices.Contains(said, want) {
			t.Errorf("nobody makes the mistake %s; there are %q", want, said)
		}
	}
	if got, _ := json.Marshal(tree); string(got) != policy {
		t.Errorf("the tree became %s", got)
	}
}

// TestHolders holds that the parts around a change come from the innermost.
func TestHolders(t *testing.T) {
	t.Parallel()
	tree := parse(t, policy)
	all := All(tree)
	i := slices.IndexFunc(all, func(m Mutation) bool { return m.String() == "delete rules[0].paths[1]" })
	var got []string
	for _, h := range all[i].Holders() {
		for _, m := range []Mutation{h.Gone, h.Alone, h.None} {
			text, _ := json.Marshal(m.Apply(tree).(map[string]any)["rules"])
			got = append(got, string(text))
		}
	}
	want := []string{`[{"paths":["/api*"],"port":80}]`, `[{"paths":["/web"],"port":80}]`, `[{"paths":[],"port":80}]`, `[]`, `[{"paths":["/api*","/web"],"port":80}]`, `[]`}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
