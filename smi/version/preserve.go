// SPDX-License-Identifier: Apache-2.0

package version

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
	"go.yaml.in/yaml/v3"
)

// Preserved is the annotation in which travels what the version of an object has no field for: JSON, with a fingerprint of the rest of
// the object. It is there only while something would be lost without it.
const Preserved = "anymesh.dev/preserved"

// preserved is the annotation's content.
type preserved struct {
	Hash    string   `json:"hash"` // of the spec beside which the pieces belong
	Pieces  []piece  `json:"pieces,omitempty"`
	Weights *weights `json:"weights,omitempty"`
	Strays  []stray  `json:"strays,omitempty"`
	Unread  string   `json:"unread,omitempty"` // an annotation of this name that nobody could read
}

// Carried is a field that an object's annotation carries, since the object's version has no place for it.
type Carried struct {
	In    string // the object or the list of the spec that it belongs to; empty: the spec itself
	Key   string // of the item of the list: the name of a match, the kind and the name of a subject
	Field string
}

// Carries lists what the annotation of an object carries; nothing where nobody can read it.
func Carries(root *yaml.Node) []Carried {
	note := object.Field(object.Field(object.Field(root, "metadata"), "annotations"), Preserved)
	if note == nil {
		return nil
	}
	var p preserved
	if content, ok := object.Text(note); !ok || json.Unmarshal([]byte(content), &p) != nil {
		return nil
	}
	var list []Carried
	for _, q := range p.Pieces {
		list = append(list, Carried{q.In, q.Key, q.Field})
	}
	return list
}

// piece is one field that was taken out.
type piece struct {
	In    string          `json:"in,omitempty"` // the object or the list it was in; empty: the spec
	At    int             `json:"at,omitempty"` // the item's place in the list
	Key   string          `json:"key,omitempty"`
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"`
}

// weights are those of split v1alpha1 as they were written, with the power of ten that made all of them whole.
type weights struct {
	Scale int      `json:"scale,omitempty"`
	List  []weight `json:"list"`
}

type weight struct {
	Key string          `json:"key"`
	Was json.RawMessage `json:"was"`
	Now int64           `json:"now"`
}

// fingerprint is the same for specs that mean the same.
func fingerprint(spec *yaml.Node) string {
	if spec == nil {
		return ""
	}
	sum := sha256.Sum256(appendCanonical(make([]byte, 0, 512), spec))
	return hex.EncodeToString(sum[:8])
}

// conversion is one object on its way between versions, in the newest version's shape.
type conversion struct {
	shape    *Shape
	from     int // version
	ref      model.Ref
	root     *yaml.Node
	strays   []stray
	unread   string
	weights  *weights // carried, since the present form of the object does not say them
	findings []model.Finding
}

func (c *conversion) find(code model.Code, path, message, hint string) {
	c.findings = append(c.findings, model.Finding{Level: model.Notice, Code: code, Object: c.ref, Path: path, Message: message, Hint: hint})
}

func (c *conversion) spec() *yaml.Node { return object.Field(c.root, "spec") }

// restore puts back what the annotation carries, and takes the annotation away. It reports false for an annotation that nobody can
// read, which stays. What is restored only ever adds conditions: it cannot widen what the object allows.
func (c *conversion) restore() bool {
	meta := object.Field(c.root, "metadata")
	notes := object.Field(meta, "annotations")
	note := object.Field(notes, Preserved)
	if note == nil {
		return true
	}
	var p preserved
	content, ok := object.Text(note)
	if !ok || json.Unmarshal([]byte(content), &p) != nil || p.Unread != "" {
		c.unread = content + p.Unread
		return false
	}
	c.strays = append(c.strays, p.Strays...)
	remove(notes, Preserved)
	if len(notes.Content) == 0 {
		remove(meta, "annotations")
	}
	if p.Weights != nil && c.shape.Kind == model.KindSplit && c.from > 1 && p.Weights.Scale >= 0 && p.Weights.Scale <= 24 {
		c.weights = p.Weights
	}
	spec := c.spec()
	same := spec != nil && p.Hash == fingerprint(spec)
	seen := map[[3]string]int{}
	for _, q := range p.Pieces {
		c.put(q, same, seen)
	}
	return true
}

// put puts one piece back. In an object that was changed its key tells its place; the second of two pieces with one key belongs to
// the second item with that key.
func (c *conversion) put(q piece, same bool, seen map[[3]string]int) {
	l := c.shape.lack(q.In, q.Field)
	value, err := object.ReadJSON(q.Value)
	if l == nil || err != nil {
		c.find(model.CodeDiscarded, "metadata.annotations["+Preserved+"]", "a carried field "+q.Field+" that the kind does not have is discarded", "")
		return
	}
	id := [3]string{q.In, q.Key, q.Field}
	nth := seen[id]
	seen[id]++
	for i, h := range l.holders(c.spec()) {
		if l.list && same && i != q.At || l.list && !same && h.key != q.Key {
			continue
		}
		if nth > 0 && l.list && !same {
			nth--
			continue
		}
		if !isMap(h.node) {
			break
		}
		if object.Field(h.node, q.Field) != nil {
			c.find(model.CodeDiscarded, h.path+"."+q.Field, "the object says "+q.Field+" itself: what was carried is discarded", "")
			return
		}
		set(h.node, q.Field, value)
		return
	}
	name := q.Field
	if q.Key != "" {
		name += " of " + q.Key
	}
	c.find(model.CodeDiscarded, "spec", "what was carried no longer has a place, and is discarded: "+name, "Write it again where it belongs.")
}

func (s *Shape) lack(in, field string) *lack {
	for i := range s.lacks {
		if l := &s.lacks[i]; l.in == in && l.field == field {
			return l
		}
	}
	return nil
}

// strip takes out what a version lacks, and leaves the annotation that carries it.
func (c *conversion) strip(to int) {
	p := preserved{Pieces: c.lacking(to)}
	if c.shape.Kind == model.KindSplit {
		p.Weights = c.scaleWeights(to)
	}
	for _, q := range c.strays {
		if q.Flat != (to <= c.shape.Flat) {
			p.Strays = append(p.Strays, q)
		}
	}
	if len(p.Pieces) == 0 && p.Weights == nil && len(p.Strays) == 0 {
		return
	}
	p.Hash, p.Unread = fingerprint(c.spec()), c.unread
	meta := object.Field(c.root, "metadata")
	if !isMap(meta) {
		meta = mapping()
		set(c.root, "metadata", meta)
	}
	notes := object.Field(meta, "annotations")
	if !isMap(notes) {
		notes = mapping()
		set(meta, "annotations", notes)
	}
	set(notes, Preserved, text(p.text()))
}

// lacking takes the fields out of the object that a version does not have.
func (c *conversion) lacking(to int) (pieces []piece) {
	spec := c.spec()
	for i := range c.shape.lacks {
		l := &c.shape.lacks[i]
		if l.has(to) {
			continue
		}
		for at, h := range l.holders(spec) {
			v := remove(h.node, l.field)
			if v == nil {
				continue
			}
			q := piece{In: l.in, Key: h.key, Field: l.field, Value: object.AppendJSON(nil, v)}
			if l.list {
				q.At = at
			}
			pieces = append(pieces, q)
			c.find(model.CodeCarried, h.path+"."+l.field, c.shape.APIVersion(to)+" has no field "+l.field+": the annotation "+Preserved+" carries it",
				"Keep the annotation: whoever reads this version alone does not see the field.")
		}
	}
	return pieces
}

func (p *preserved) text() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil {
		panic("version: " + err.Error()) // pieces are JSON that we wrote
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}

// scaleWeights writes the weights of a split as the version has them, and returns what has to be carried.
func (c *conversion) scaleWeights(to int) *weights {
	backends := items(object.Field(c.spec(), "backends"))
	if to == 1 {
		c.quantities(backends)
		return nil
	}
	var nodes []*yaml.Node
	var values []Decimal
	var keys []string
	plain := c.from > 1
	for _, b := range backends {
		w := object.Field(b, "weight")
		if isNull(w) {
			continue
		}
		d, ok := Quantity(w)
		if !ok {
			return c.weights // nobody can read it: it stays as it is
		}
		plain = plain && w.Tag == "!!int"
		nodes, values, keys = append(nodes, w), append(values, d), append(keys, key(b))
	}
	if plain {
		return c.weights
	}
	return c.whole(nodes, values, keys)
}

// whole makes the weights whole, in their place. What quantities look like when an API server wrote them is not worth carrying.
func (c *conversion) whole(nodes []*yaml.Node, values []Decimal, keys []string) *weights {
	power, now, ok := Scale(values)
	if !ok {
		return c.weights
	}
	w := &weights{Scale: power}
	lost := power > 0
	for i, n := range nodes {
		was := object.AppendJSON(nil, n)
		w.List = append(w.List, weight{keys[i], was, now[i]})
		*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: whole(now[i]).Value, Line: n.Line, Column: n.Column}
		lost = lost || string(was) != `"`+n.Value+`"`
	}
	if !lost {
		return nil
	}
	if power > 0 {
		c.find(model.CodeCarried, "spec.backends", "the weights are multiplied by a power of ten, to make all of them whole: the annotation "+Preserved+" carries what was written", "")
	}
	return w
}

// quantities writes whole weights as v1alpha1 has them: as they once were, or divided by what they once were multiplied with.
func (c *conversion) quantities(backends []*yaml.Node) {
	var was weights
	if c.weights != nil {
		was = *c.weights
	}
	used := make([]bool, len(was.List))
	for _, b := range backends {
		n := object.Field(b, "weight")
		if isNull(n) || n.Tag != "!!int" {
			continue
		}
		d, ok := Quantity(n)
		if !ok {
			continue
		}
		_, now, ok := Scale([]Decimal{d})
		if !ok {
			continue
		}
		set(b, "weight", text(unscale(now[0], was.Scale)))
		for i, w := range was.List {
			if !used[i] && w.Key == key(b) {
				used[i] = true
				if old, err := object.ReadJSON(w.Was); err == nil && w.Now == now[0] && sameWeight(old, now[0], was.Scale) {
					set(b, "weight", old)
				}
				break
			}
		}
	}
}

// sameWeight says whether a carried weight is worth what stands in the object: whoever may edit annotations may have changed it.
func sameWeight(old *yaml.Node, now int64, power int) bool {
	d, ok := Quantity(old)
	return ok && d == Decimal{now, -power}.trim()
}
