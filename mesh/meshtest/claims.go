// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// Claims changes every wish of every case in turn, in its own text. One that the driver says it grants must change what the unit that asks
// becomes; one that it says it cannot grant must not.
func Claims(d *mesh.Driver, cases []Case) (problems []string) {
	for _, c := range cases {
		w, _ := c.World()
		base := translate(d, w)
		for _, u := range slices.SortedFunc(maps.Keys(base.outputs), store.Unit.Compare) {
			o := base.outputs[u]
			for _, f := range append(o.Granted(), o.Findings...) {
				if p := claim(d, &c, u, o, f); p != "" {
					problems = append(problems, p)
				}
			}
		}
	}
	return problems
}

// claim changes one wish of one unit.
func claim(d *mesh.Driver, c *Case, u store.Unit, before *mesh.Output, f model.Finding) string {
	asks := func(path string) bool {
		at := func(g model.Finding) bool {
			return g.Wish && g.Feature == f.Feature && g.Object == f.Object && g.Path == path
		}
		return slices.ContainsFunc(before.Granted(), at) || slices.ContainsFunc(before.Findings, at)
	}
	text, ok := bump(c.Text, model.Intent{Feature: f.Feature, Object: f.Object, Path: f.Path}, asks)
	if !f.Wish || !ok {
		return ""
	}
	w, _ := (&Case{Name: c.Name, Text: text}).World()
	after, _ := one(d, w, u)
	// A weight may be rounded to the same as its neighbour, before or after.
	rounded := f.Feature == model.SplitWeight && (f.Level == model.Approximate || says(after, f, model.Approximate))
	switch same := objects(before) == objects(after); {
	case same && f.Level < model.Unsupported && !rounded:
		return fmt.Sprintf("case %s: %s says that %s of %s %s is %s, yet its output does not depend on it", c.Name, d.Name, f.Feature, f.Object, f.Path, f.Level)
	case !same && f.Level == model.Unsupported && !other(f) && !shared(before, f):
		return fmt.Sprintf("case %s: %s says that %s of %s %s is unsupported, yet its output depends on it", c.Name, d.Name, f.Feature, f.Object, f.Path)
	}
	return ""
}

// other says whether a wish that is changed in its text becomes another one: a split without its matches takes all requests, and one with a
// backend of another name may be what the mesh can say.
func other(f model.Finding) bool {
	return f.Feature == model.SplitMatch || f.Feature == model.SplitWeight && strings.HasSuffix(f.Path, ".service")
}

// says whether an output says of a wish that it is of some level.
func says(o *mesh.Output, f model.Finding, l model.Level) bool {
	return slices.ContainsFunc(o.Findings, func(g model.Finding) bool {
		return g.Level == l && g.Feature == f.Feature && g.Object == f.Object && g.Path == f.Path
	})
}

// shared says whether another wish stands at the same place and is granted, as where one binding names an account and foreign IDs.
func shared(o *mesh.Output, f model.Finding) bool {
	return slices.ContainsFunc(o.Granted(), func(g model.Finding) bool { return g.Object == f.Object && g.Path == f.Path })
}

func objects(o *mesh.Output) string {
	var b strings.Builder
	for i := range o.Objects {
		text, err := json.Marshal(&o.Objects[i])
		if err != nil {
			panic(err)
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String()
}

// bump changes the text where an intent was written; false where that place has no one meaning to change (what is wished there is a
// relation between objects, which the safe and meaning suites look at). With a rule go those of its kind of which nothing is asked, for
// others carry what they say.
func bump(text []byte, in model.Intent, asks func(path string) bool) ([]byte, bool) {
	if in.Feature == model.AccessSubset || in.Feature == model.AccessPods || in.Feature == model.AccessClosed {
		return nil, false
	}
	var out bytes.Buffer
	enc, dec := yaml.NewEncoder(&out), yaml.NewDecoder(bytes.NewReader(text))
	if line, _, _ := bytes.Cut(text, []byte("\n")); bytes.HasPrefix(line, []byte(settingsComment)) {
		fmt.Fprintf(&out, "%s\n", line)
	}
	found := false
	for {
		var doc map[string]any
		if err := dec.Decode(&doc); err == io.EOF {
			break
		} else if err != nil {
			return nil, false // a case that is not YAML on purpose
		}
		if is(doc, in.Object) {
			found = change(doc, steps(in.Path)) || found
			carried(doc, in, asks)
		}
		if err := enc.Encode(doc); err != nil {
			panic(err)
		}
	}
	return out.Bytes(), found
}

// carried changes the rules beside one that carries bytes or datagrams, of the same kind, of which nothing is asked.
func carried(doc map[string]any, in model.Intent, asks func(path string) bool) {
	spec, _ := doc["spec"].(map[string]any)
	rules, _ := spec["rules"].([]any)
	at := steps(in.Path)
	if len(at) != 3 || at[1] != "rules" {
		return
	}
	i, _ := strconv.Atoi(at[2])
	for k := range rules {
		one, _ := rules[i].(map[string]any)
		other, _ := rules[k].(map[string]any)
		if k != i && one["kind"] == other["kind"] && !asks(fmt.Sprintf("spec.rules[%d]", k)) {
			set(other, "name")
		}
	}
}

func is(doc map[string]any, r model.Ref) bool {
	meta, _ := doc["metadata"].(map[string]any)
	ns, _ := meta["namespace"].(string)
	if ns == "" {
		ns = "default"
	}
	return doc["kind"] == string(r.Kind) && meta["name"] == r.Name.Name && ns == r.Namespace
}

var step = regexp.MustCompile(`[^.\[\]]+`)

func steps(path string) []string { return step.FindAllString(path, -1) }

// change walks to the place and changes what stands there by its kind.
func change(at any, path []string) bool {
	if len(path) > 1 {
		switch v := at.(type) {
		case map[string]any:
			if path[0] == "headers" {
				return header(v["headers"], path[1])
			}
			return change(v[path[0]], path[1:])
		case []any:
			i, err := strconv.Atoi(path[0])
			return err == nil && i < len(v) && change(v[i], path[1:])
		}
		return false
	}
	switch v := at.(type) {
	case map[string]any:
		return set(v, path[0])
	case []any: // the element itself: an object with a name
		if i, err := strconv.Atoi(path[0]); err == nil && i < len(v) {
			if m, ok := v[i].(map[string]any); ok {
				return set(m, "name")
			}
		}
	}
	return false
}

func set(m map[string]any, key string) bool {
	switch v := m[key].(type) {
	case int:
		m[key] = v + 1
	case string:
		m[key] = v + "x"
	case []any:
		switch {
		case key == "methods":
			m[key] = []any{"PURGE"}
		case key == "ports":
			m[key] = append([]any{7001}, v[min(1, len(v)):]...)
		case key == "matches":
			delete(m, key)
		default:
			return false
		}
	default:
		return false
	}
	return true
}

// header changes a header's expression, in either of the two shapes.
func header(at any, name string) bool {
	switch v := at.(type) {
	case map[string]any:
		for k, old := range v {
			if strings.EqualFold(k, name) {
				v[k] = fmt.Sprint(old) + "x"
				return true
			}
		}
	case []any:
		for _, e := range v {
			if header(e, name) {
				return true
			}
		}
	}
	return false
}
