// SPDX-License-Identifier: Apache-2.0

package object_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

const small = `apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata:
  name: canary
  namespace: shop
  labels:
    team: web
spec:
  service: website
  matches:
  - kind: HTTPRouteGroup
    name: ab-test
  backends:
  - service: website-v1
    weight: 90
  - service: website-v2
    weight: 10
`

func parse(t *testing.T, text string) []*object.Object {
	t.Helper()
	list, problems := object.Parse("in.yaml", []byte(text))
	for _, p := range problems {
		t.Errorf("line %d, %s: %s", p.Line, p.Path, p.Message)
	}
	return list
}

func TestParseReadsWhatEveryObjectHas(t *testing.T) {
	o := parse(t, "# first\n---\n"+small+"---\n# nothing\n---\nnull\n...\n")[0]
	if o.APIVersion != "split.smi-spec.io/v1alpha4" || o.Kind != "TrafficSplit" || o.Name != "canary" || o.Namespace != "shop" || o.Labels["team"] != "web" || o.File != "in.yaml" {
		t.Errorf("got %+v", o)
	}
	if o.Line != 3 || o.Created() != 0 || o.Faulty {
		t.Errorf("line %d, created %d, faulty %v", o.Line, o.Created(), o.Faulty)
	}
	o = parse(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","creationTimestamp":"1970-01-01T00:01:00Z"}}`)[0]
	if o.Created() != 60 {
		t.Errorf("created %d", o.Created())
	}
}

func TestPositionPointsAtTheField(t *testing.T) {
	text := `{"apiVersion":"v1","kind":"A","metadata":{"name":"a"},
"spec":{"headers":[{"User-Agent":"x"},
 {"cookie":"y"}]}}`
	inline := parse(t, text)[0]
	o := parse(t, "---\n"+small)[0]
	for _, c := range []struct {
		o            *object.Object
		path         string
		line, column int
	}{
		{o, "", 2, 1},
		{o, "spec", 9, 1},
		{o, "spec.backends[1].weight", 18, 5},
		{o, "spec.backends[0]", 15, 5},
		{o, "spec.backends[7].weight", 14, 3},
		{o, "spec.backends[0].nothing.at.all", 15, 5},
		{o, "metadata.labels[team]", 8, 5},
		{inline, "spec.headers[user-agent]", 2, 21},
		{inline, "spec.headers[cookie]", 3, 3},
		{inline, "metadata.name", 1, 43},
	} {
		if l, col := c.o.Position(c.path); l != c.line || col != c.column {
			t.Errorf("%s: %d:%d, want %d:%d", c.path, l, col, c.line, c.column)
		}
	}
}

func TestParseUnwrapsLists(t *testing.T) {
	list := parse(t, `apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: a}
- apiVersion: split.smi-spec.io/v1alpha4
  kind: TrafficSplitList
  items:
  - metadata: {name: b}
    spec: {service: s}
---
apiVersion: v1
kind: PodList
items: null
`)
	if len(list) != 2 || list[0].Kind != "Service" || list[1].Kind != "TrafficSplit" || list[1].APIVersion != "split.smi-spec.io/v1alpha4" {
		t.Fatalf("got %+v", list)
	}
	if l, _ := list[1].Position("spec.service"); l != 11 {
		t.Errorf("line %d", l)
	}
}

// head is an object that lacks nothing; faults are added to it.
const head = "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\n"

func TestParseFindsFaults(t *testing.T) {
	bomb := head + "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'j'; c++ {
		p := "*" + string(c-1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat(p+",", 9) + p + "]\n"
	}
	for _, c := range []struct {
		name, text string
		code       model.Code
		line       int
		message    string
		objects    int
	}{
		{"tab", head + "spec:\n\ta: 1\n", model.CodeSyntax, 5, "not YAML", 0},
		{"bracket", head + "spec: [1\n", model.CodeSyntax, 4, "not YAML", 0},
		{"broken document among good ones", head + "---\n" + "a: b: c\n---\n" + head, model.CodeSyntax, 5, "not YAML", 2},
		{"twice", head + "spec:\n  a: 1\n  a: 2\n", model.CodeSyntax, 6, "occurs twice: first on line 5", 1},
		{"twice in JSON", `{"apiVersion":"v1","kind":"A","metadata":{"name":"a"},` + "\n" + `"kind":"A"}`, model.CodeSyntax, 2, "occurs twice", 1},
		{"bomb", bomb, model.CodeSyntax, 9, "too many values", 0},
		{"alias within itself", head + "a: &a\n- *a\n", model.CodeSyntax, 5, "too many values", 0},
		{"deep", head + "a: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), model.CodeSyntax, 4, "too deep", 0},
		{"number for a key", head + "1: x\n", model.CodeSyntax, 4, "is not text", 1},
		{"list for a key", head + "[a]: x\n", model.CodeSyntax, 1, "a key is not text", 1},
		{"two values", "{a: 1}\n{b: 1}\n", model.CodeSyntax, 2, "not YAML", 0},
		{"no kind", "apiVersion: v1\nmetadata: {name: a}\n", model.CodeNoKind, 1, "without kind", 0},
		{"no version", "kind: A\nmetadata: {name: a}\n", model.CodeNoKind, 1, "without apiVersion", 0},
		{"text alone", "hello\n", model.CodeNoKind, 1, "not an object", 0},
		{"no name", "apiVersion: v1\nkind: A\n", model.CodeNoName, 1, "without a name", 0},
		{"bad name", "apiVersion: v1\nkind: A\nmetadata:\n  name: A_b\n", model.CodeNoName, 4, "refused", 1},
		{"bad name at a dot", "apiVersion: v1\nkind: A\nmetadata:\n  name: a-.b\n", model.CodeNoName, 4, "refused", 1},
		{"bad namespace", "apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  namespace: a.b\n", model.CodeNoName, 5, "refused", 1},
		{"number for a name", "apiVersion: v1\nkind: A\nmetadata:\n  name: 7\n", model.CodeType, 4, "text is wanted", 0},
		{"number for a label", "apiVersion: v1\nkind: A\nmetadata:\n  name: a\n  labels:\n    a.b/c: 7\n", model.CodeType, 6, "text is wanted", 1},
		{"metadata a list", "apiVersion: v1\nkind: A\nmetadata: []\n", model.CodeType, 3, "fields are wanted", 0},
		{"merge of a list", head + "a: {<<: 1}\n", model.CodeSyntax, 4, "<< takes a mapping", 1},
	} {
		list, problems := object.Parse("x", []byte(c.text))
		if len(list) != c.objects || len(problems) == 0 {
			t.Errorf("%s: %d objects, problems %+v", c.name, len(list), problems)
			continue
		}
		if p := problems[0]; p.Code != c.code || p.Line != c.line || !strings.Contains(p.Message, c.message) {
			t.Errorf("%s: got %+v", c.name, p)
		}
		if c.objects == 1 && !list[0].Faulty {
			t.Errorf("%s: the object is not marked", c.name)
		}
	}
}

func TestParseResolvesAliasesAndMerges(t *testing.T) {
	o := parse(t, head+"base: &b {x: 1, y: 2}\nspec:\n  <<: *b\n  y: 3\n  z: *b\n")[0]
	var got struct {
		Base any `json:"base"`
		Spec any `json:"spec"`
	}
	if p := o.Decode(&got); len(p) > 0 {
		t.Fatal(p)
	}
	base := map[string]any{"x": int64(1), "y": int64(2)}
	if want := map[string]any{"x": int64(1), "y": int64(3), "z": base}; !reflect.DeepEqual(got.Spec, want) {
		t.Errorf("got %v, want %v", got.Spec, want)
	}
}

type part struct {
	Text string            `json:"text"`
	Port uint16            `json:"port,omitempty"`
	Yes  *bool             `json:"yes"`
	F    float64           `json:"f"`
	Map  map[string]string `json:"map"`
	List []part            `json:"list"`
	Any  any               `json:"any"`
	Raw  object.Raw        `json:"raw"`
	Own  upper             `json:"own"`
	JSON json.Number       `json:"-"`
	inner
}

type inner struct {
	Deep int8 `json:"deep"`
}

type upper string

func (u *upper) UnmarshalNode(n *yaml.Node) []object.Problem {
	if n.Kind != yaml.ScalarNode {
		return []object.Problem{{Code: model.CodeType, Path: ".x", Line: n.Line, Message: "not a word"}}
	}
	*u = upper(strings.ToUpper(n.Value))
	return nil
}

func TestDecodeFillsWhatFits(t *testing.T) {
	o := parse(t, head+`status: {}
spec:
  text: a
  port: 80
  yes: true
  f: 1.5
  map: {a: b, c: 2020-01-01}
  list: [{text: x}, {text: null}]
  any: [1, 0x10, 1.5, true, null, {a: "1"}]
  raw: {z: 1, a: 2}
  own: word
  deep: -128
`)[0]
	var got struct {
		Spec part `json:"spec"`
	}
	if p := o.Decode(&got); len(p) > 0 {
		t.Fatal(p)
	}
	s, yes := got.Spec, true
	raw, _ := json.Marshal(s.Raw)
	if s.Text != "a" || s.Port != 80 || *s.Yes != yes || s.F != 1.5 || s.Map["c"] != "2020-01-01" || s.Own != "WORD" || s.Deep != -128 || string(raw) != `{"z":1,"a":2}` {
		t.Errorf("got %+v", s)
	}
	if want := []any{int64(1), int64(16), 1.5, true, nil, map[string]any{"a": "1"}}; !reflect.DeepEqual(s.Any, want) {
		t.Errorf("got %v", s.Any)
	}
	if len(s.List) != 2 || s.List[0].Text != "x" {
		t.Errorf("got %+v", s.List)
	}
}

func TestDecodeReportsWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		yaml, path, message, hint string
		code                      model.Code
	}{
		{"txet: a", "spec.txet", "no field txet", "Did you mean text?", model.CodeUnknownField},
		{"quite-different: a", "spec.quite-different", "no field", "The fields here are text, port", model.CodeUnknownField},
		{"text: 1", "spec.text", "not the number 1", `"1"`, model.CodeType},
		{"text: [a]", "spec.text", "not a list", "", model.CodeType},
		{"port: 70000", "spec.port", "out of range: 0 to 65535", "", model.CodeType},
		{"deep: -129", "spec.deep", "out of range: -128 to 127", "", model.CodeType},
		{"port: -1", "spec.port", "out of range", "", model.CodeType},
		{`port: "80"`, "spec.port", `not the text "80"`, "without quotes", model.CodeType},
		{"port: 1.5", "spec.port", "whole number", "", model.CodeType},
		{"yes: maybe", "spec.yes", "true or false is wanted", "", model.CodeType},
		{"f: x", "spec.f", "a number is wanted", "", model.CodeType},
		{"map: {a.b: 1}", "spec.map[a.b]", "not the number", "", model.CodeType},
		{"map: x", "spec.map", "with fields is wanted", "", model.CodeType},
		{"list: x", "spec.list", "a list is wanted", "", model.CodeType},
		{"list: [{}, {text: {}}]", "spec.list[1].text", "not fields", "", model.CodeType},
		{"list: [null]", "spec.list[0]", "is empty", "", model.CodeType},
		{"own: []", "spec.own.x", "not a word", "", model.CodeType},
		{"text: !Ref x", "spec.text", "with the tag !Ref", "", model.CodeType},
	} {
		o := parse(t, head+"spec:\n  "+c.yaml+"\n")[0]
		var got struct {
			Spec part `json:"spec"`
		}
		problems := o.Decode(&got)
		if len(problems) != 1 {
			t.Errorf("%s: %+v", c.yaml, problems)
			continue
		}
		p := problems[0]
		if p.Path != c.path || p.Code != c.code || p.Line != 5 || !strings.Contains(p.Message, c.message) || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%s: %+v", c.yaml, p)
		}
		if lax := o.DecodeLax(&got); (len(lax) == 0) != (c.code == model.CodeUnknownField) {
			t.Errorf("%s: lax: %+v", c.yaml, lax)
		}
	}
}

func TestAppendYAMLReadsWell(t *testing.T) {
	type item struct {
		Name string            `json:"name"`
		Args []any             `json:"args,omitempty"`
		Map  map[string]string `json:"map,omitempty"`
	}
	got := string(object.AppendYAML([]byte("a: 1\n"), struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       any    `json:"spec"`
	}{"v1", "Thing", map[string]any{
		"empty": []int{}, "none": map[string]int{}, "nil": nil, "on": "on", "n": 80, "s": "80", "ip": "10.0.0.1", "regex": `^a.*\.b$`, "text": "one\n\n  two\n",
		"items": []item{{Name: "a", Args: []any{"--x=1", "-", "- y", []string{"p", "q"}, map[string]int{"k": 1}}}, {Name: "b", Map: map[string]string{"c": "d: e", "f": "g#h"}}},
	}}))
	want := `a: 1
---
apiVersion: v1
kind: Thing
spec:
  empty: []
  ip: 10.0.0.1
  items:
  - name: a
    args:
    - --x=1
    - "-"
    - "- y"
    - - p
      - q
    - k: 1
  - name: b
    map:
      c: "d: e"
      f: g#h
  "n": 80
  nil: null
  none: {}
  "on": "on"
  regex: ^a.*\.b$
  s: "80"
  text: |
    one

      two
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestMarshalKeepsOrderAndNumbers(t *testing.T) {
	o := parse(t, head+"spec: {z: 1.50, a: 0x10, t: True, s: 'a\"b', n: ~, inf: .inf, f: .5}\n")[0]
	got, _ := o.MarshalJSON()
	if want := `{"apiVersion":"v1","kind":"Thing","metadata":{"name":"a"},"spec":{"z":1.50,"a":16,"t":true,"s":"a\"b","n":null,"inf":".inf","f":0.5}}`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOfTakesAnyTree(t *testing.T) {
	n, err := object.ReadJSON([]byte(`{"apiVersion":"v1","kind":"A","metadata":{"name":"a"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if o, p := object.Of("f", n); len(p) > 0 || o.Name != "a" {
		t.Errorf("got %+v, %v", o, p)
	}
	if _, err := object.ReadJSON([]byte("{}\n x")); err == nil || !strings.Contains(err.Error(), "line 2, column 2") {
		t.Errorf("got %v", err)
	}
	if o, p := object.Of("f", &yaml.Node{Kind: yaml.MappingNode}); o != nil || len(p) != 1 {
		t.Errorf("got %+v, %v", o, p)
	}
}

// FuzzParse asserts that nothing panics, that JSON is read the same by both readers, and that what was read survives a way through JSON.
func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(head + "a: &a {x: 1}\nb: {<<: *a}\n"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"A","metadata":{"name":"a"},"x":[1,-2.5e3,"\u00e9\ud83d\ude00\n"]}`))
	f.Add([]byte("--- {a: 1}\n--- 'x'\n...\n%YAML 1.1\n---\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _ := object.Parse("f", data)
		for _, o := range list {
			text, err := o.MarshalJSON()
			if err != nil || !json.Valid(text) {
				t.Fatalf("not JSON: %s", text)
			}
			n, err := object.ReadJSON(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if again := object.AppendJSON(nil, n); string(again) != string(text) {
				t.Fatalf("%s\n%s", text, again)
			}
			var into struct{ Spec part }
			o.Decode(&into)
			o.Position("spec[0].x[y]")
		}
	})
}

// FuzzAppendYAML asserts that every value reads back as what it was.
func FuzzAppendYAML(f *testing.F) {
	for _, s := range []string{"a", "1", "- x", "a\nb", " a\n", "a\n\n", "\n", "yes", "\u0085\u2028\ufeff", "---", "...", "a: b", "# c", "1:30", "2020-01-01", "0x_1", "+.inf", "\t", "a ", "%x", strings.Repeat("k", 2000), "\U0001f600", "\u007f", "<<"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		a, b = strings.ToValidUTF8(a, "?"), strings.ToValidUTF8(b, "!")
		text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "A", "metadata": map[string]any{"name": "a"},
			"spec": []any{a, map[string]any{a: b, b: []any{a, []any{b, map[string]string{b: a}}}, "": a}}})
		if err != nil {
			t.Skip()
		}
		doc := object.AppendYAML(nil, json.RawMessage(text))
		list, problems := object.Parse("f", object.AppendYAML(doc, json.RawMessage(text)))
		if len(problems) > 0 || len(list) != 2 {
			t.Fatalf("%+v\n%s", problems, doc)
		}
		for _, o := range list {
			if got, _ := o.MarshalJSON(); string(got) != string(object.AppendJSON(nil, must(object.ReadJSON(text)))) {
				t.Fatalf("got  %s\nwant %s\n%s", got, text, doc)
			}
		}
	})
}

func must(n *yaml.Node, err error) *yaml.Node {
	if err != nil {
		panic(err)
	}
	return n
}

func BenchmarkParseYAML(b *testing.B) {
	b.Run("object", func(b *testing.B) {
		for b.Loop() {
			object.Parse("f", []byte(small))
		}
	})
	b.Run("yaml", func(b *testing.B) {
		for b.Loop() {
			var n yaml.Node
			_ = yaml.Unmarshal([]byte(small), &n)
		}
	})
}

func BenchmarkParseJSON(b *testing.B) {
	list, _ := object.Parse("f", []byte(small))
	text, _ := list[0].MarshalJSON()
	for b.Loop() {
		object.Parse("f", text)
	}
}

type split struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Service string `json:"service"`
		Matches []struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"matches"`
		Backends []struct {
			Service string `json:"service"`
			Weight  int64  `json:"weight"`
		} `json:"backends"`
	} `json:"spec"`
}

func BenchmarkDecode(b *testing.B) {
	list, _ := object.Parse("f", []byte(small))
	for b.Loop() {
		var s split
		if p := list[0].Decode(&s); len(p) > 0 {
			b.Fatal(p)
		}
	}
}

func BenchmarkAppendYAML(b *testing.B) {
	list, _ := object.Parse("f", []byte(small))
	var s split
	list[0].Decode(&s)
	var buf []byte
	for b.Loop() {
		buf = object.AppendYAML(buf[:0], &s)
	}
	if string(buf) != small {
		b.Fatal(string(buf))
	}
}

// An object that rests knows all that it knew: its places, its fields and its text, whoever asks first.
func TestRest(t *testing.T) {
	const doc = "kind: A\napiVersion: v1\nmetadata: {name: a}\nspec:\n  x: 1\n"
	for name, text := range map[string]string{
		"documents": doc + "---\n# B\n" + strings.ReplaceAll(doc, "name: a", "name: b"),
		"list":      "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}, spec: {x: 1}}\n- {apiVersion: v1, kind: A, metadata: {name: b}, spec: {x: 2}}\n",
		"JSON":      `{"apiVersion":"v1","kind":"A","metadata":{"name":"a"},"spec":{"x":1}}` + "\n" + `{"apiVersion":"v1","kind":"A","metadata":{"name":"b"},"spec":{"x":2}}`,
	} {
		t.Run(name, func(t *testing.T) {
			awake, _ := object.Parse("f", []byte(text))
			rest, _ := object.Parse("f", []byte(text))
			if len(rest) != 2 {
				t.Fatalf("%d objects", len(rest))
			}
			for _, o := range rest {
				o.Rest()
			}
			var wg sync.WaitGroup
			for i, o := range rest {
				for range 2 {
					wg.Go(func() {
						line, column := o.Position("spec.x")
						if l, c := awake[i].Position("spec.x"); line != l || column != c || line == 0 {
							t.Errorf("%s: spec.x stands at %d:%d, and not at %d:%d", o.Name, line, column, l, c)
						}
						got, _ := o.MarshalJSON()
						if want, _ := awake[i].MarshalJSON(); string(got) != string(want) {
							t.Errorf("%s says %s, and not %s", o.Name, got, want)
						}
					})
				}
			}
			wg.Wait()
		})
	}
}
