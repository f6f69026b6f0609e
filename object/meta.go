// SPDX-License-Identifier: Apache-2.0

package object

import (
	"strings"

	"github.com/anymesh/anymesh/model"
	"go.yaml.in/yaml/v3"
)

// object reads a tree as one object, or as a list of them. The items of a typed list may leave out what the list says.
func (r *reader) object(n *yaml.Node, apiVersion, kind string) {
	if n.Kind != yaml.MappingNode {
		r.problem(model.CodeNoKind, n, "", "not an object: it has no fields", "Begin with apiVersion and kind.")
		return
	}
	o := &Object{APIVersion: apiVersion, Kind: kind, File: r.file, Line: n.Line, node: n, origin: r.origin}
	before := len(r.problems)
	var meta, items *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		switch k, v := n.Content[i].Value, n.Content[i+1]; k {
		case "apiVersion":
			o.APIVersion = r.text(v, k)
		case "kind":
			o.Kind = r.text(v, k)
		case "metadata":
			meta = v
		case "items":
			items = v
		}
	}
	if o.APIVersion == "" || o.Kind == "" {
		what := "kind"
		if o.APIVersion == "" {
			what = "apiVersion"
		}
		r.problem(model.CodeNoKind, n, what, "an object without "+what, "Say what it is: apiVersion and kind stand at the left margin.")
		return
	}
	if of, ok := strings.CutSuffix(o.Kind, "List"); ok && items != nil && (items.Kind == yaml.SequenceNode || null(items)) {
		r.list(items, o.APIVersion, of)
		return
	}
	r.metadata(o, meta)
	if o.Name == "" {
		return
	}
	o.Faulty = len(r.problems) > before
	o.index = len(r.objects) - r.first
	r.objects = append(r.objects, o)
}

func (r *reader) list(items *yaml.Node, apiVersion, kind string) {
	if kind == "" {
		apiVersion = ""
	}
	for _, item := range items.Content {
		r.object(item, apiVersion, kind)
	}
}

func null(n *yaml.Node) bool { return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// text reads a scalar that must be text; null reads as empty.
func (r *reader) text(n *yaml.Node, path string) string {
	if null(n) {
		return ""
	}
	if s, ok := Text(n); ok {
		return s
	}
	r.problem(model.CodeType, n, path, "text is wanted here, not "+describe(n), quoteHint(n))
	return ""
}

// Text is the value of a node that YAML takes for text; a date is text too.
func Text(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.ScalarNode && (n.Tag == "!!str" || n.Tag == "!!timestamp") {
		return n.Value, true
	}
	return "", false
}

func (r *reader) metadata(o *Object, meta *yaml.Node) {
	if !null(meta) && meta.Kind != yaml.MappingNode {
		r.problem(model.CodeType, meta, "metadata", "fields are wanted here, not "+describe(meta), "")
		meta = nil
	}
	if meta != nil {
		for i := 0; i+1 < len(meta.Content); i += 2 {
			switch k, v := meta.Content[i].Value, meta.Content[i+1]; k {
			case "name":
				o.Name = r.text(v, "metadata.name")
			case "namespace":
				o.Namespace = r.text(v, "metadata.namespace")
			case "labels":
				o.Labels = r.texts(v, "metadata.labels")
			case "annotations":
				o.Annotations = r.texts(v, "metadata.annotations")
			case "creationTimestamp":
				o.created = r.text(v, "metadata.creationTimestamp")
			}
		}
	}
	r.names(o, meta)
}

func (r *reader) names(o *Object, meta *yaml.Node) {
	at := meta
	if at == nil {
		at = o.node
	}
	if o.Name == "" {
		r.problem(model.CodeNoName, at, "metadata.name", "a "+o.Kind+" without a name", "Write metadata.name; a generated name is only known to the cluster.")
		return
	}
	// Roles may be called nearly anything; every other name must be one of DNS.
	if free := strings.HasPrefix(o.APIVersion, "rbac.authorization.k8s.io/"); !free && !subdomain(o.Name) {
		r.problem(model.CodeNoName, Field(meta, "name"), "metadata.name", "the name "+o.Name+" is refused by Kubernetes", "Use lower-case letters, digits, '-' and '.', and begin and end with a letter or a digit.")
	}
	if o.Namespace != "" && !label(o.Namespace) {
		r.problem(model.CodeNoName, Field(meta, "namespace"), "metadata.namespace", "the namespace "+o.Namespace+" is refused by Kubernetes", "Use lower-case letters, digits and '-', and begin and end with a letter or a digit.")
	}
}

func (r *reader) texts(n *yaml.Node, path string) map[string]string {
	if null(n) {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		r.problem(model.CodeType, n, path, "names with values are wanted here, not "+describe(n), "")
		return nil
	}
	out := make(map[string]string, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := n.Content[i+1]
		if s, ok := Text(v); ok {
			out[n.Content[i].Value] = s
			continue
		}
		if !null(v) {
			r.text(v, Join(path, n.Content[i].Value))
		}
	}
	return out
}

// label says whether a name is a label of DNS (RFC 1123).
func label(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// subdomain says whether a name is one of DNS (RFC 1123) as Kubernetes takes it: its parts may each be longer than a label.
func subdomain(s string) bool {
	if len(s) == 0 || len(s) > 253 {
		return false
	}
	edge := true // the next character begins a part
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			edge = false
		case edge, c == '-' && (i+1 == len(s) || s[i+1] == '.'), c != '-' && c != '.':
			return false
		default:
			edge = c == '.'
		}
	}
	return !edge
}
