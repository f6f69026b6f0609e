// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/anymesh/anymesh/object"
)

// writer writes a tree as a Helm template.
type writer struct{ bytes.Buffer }

func (w *writer) line(depth int, format string, args ...any) {
	w.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

// object writes a whole object.
func (w *writer) object(o *Object) {
	if o.when != nil {
		w.line(0, "{{- if %s }}", o.when.text)
	}
	w.line(0, "---")
	w.dict(0, o.body)
	if o.when != nil {
		w.line(0, "{{- end }}")
	}
}

func (w *writer) dict(depth int, d dict) {
	for _, x := range d {
		if x.when != nil {
			w.line(depth, "{{- if %s }}", x.when.text)
		}
		w.field(depth, x.key, x.value)
		if x.when != nil {
			w.line(depth, "{{- end }}")
		}
	}
}

func (w *writer) field(depth int, key string, value any) {
	switch n := value.(type) {
	case dict:
		w.line(depth, "%s:", quoted(key))
		w.dict(depth+1, n)
	case merged:
		w.line(depth, "%s:", quoted(key))
		w.dict(depth+1, n.dict)
		w.with(depth+1, n.path)
	case list:
		w.line(depth, "%s:", quoted(key))
		w.list(depth, n)
	case block:
		w.line(depth, "{{- with .Values.%s }}", n.path)
		w.line(depth, "%s:", quoted(key))
		w.line(depth+1, "{{- toYaml . | nindent %d }}", 2*(depth+1))
		w.line(depth, "{{- end }}")
	default:
		w.line(depth, "%s: %s", quoted(key), inline(n))
	}
}

// with writes a tree of the user's among others.
func (w *writer) with(depth int, path string) {
	w.line(depth, "{{- with .Values.%s }}", path)
	w.line(depth, "{{- toYaml . | nindent %d }}", 2*depth)
	w.line(depth, "{{- end }}")
}

// list writes items at the depth of the list's key.
func (w *writer) list(depth int, l list) {
	for _, x := range l {
		i, conditional := x.(item)
		if conditional {
			w.line(depth, "{{- if %s }}", i.when.text)
			x = i.value
		}
		switch n := x.(type) {
		case dict:
			var inner writer
			inner.dict(depth+1, n)
			text := inner.String()
			w.WriteString(strings.Repeat("  ", depth) + "- " + text[2*(depth+1):])
		case spliced:
			w.with(depth, n.path)
		default:
			w.line(depth, "- %s", inline(n))
		}
		if conditional {
			w.line(depth, "{{- end }}")
		}
	}
}

// inline is a scalar on its line.
func inline(n any) string {
	switch n := n.(type) {
	case expr:
		return "{{ " + n.text + " }}"
	case string:
		return quoted(n)
	}
	return fmt.Sprint(n)
}

// quoted is a text as YAML needs it.
func quoted(s string) string {
	var n yaml.Node
	if plain := yaml.Unmarshal([]byte(s), &n) == nil && n.Kind == yaml.DocumentNode && n.Content[0].Kind == yaml.ScalarNode && n.Content[0].Tag == "!!str" &&
		n.Content[0].Value == s && !strings.ContainsAny(s, "#:*{}[]&!|>'\"%@`,"); plain {
		return s
	}
	if strings.HasPrefix(s, "--") || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-./_") == "" && !boolean(s) {
		return s
	}
	return strconv.Quote(s)
}

// boolean says whether YAML reads a text as something else.
func boolean(s string) bool {
	var v any
	return yaml.Unmarshal([]byte(s), &v) != nil || func() bool { _, is := v.(string); return !is }()
}

// yamlText is a tree as YAML.
func yamlText(v any) string { return strings.TrimSuffix(string(object.AppendYAML(nil, v)), "\n") }

// valuesText is the chart's values.yaml.
func valuesText() []byte {
	var w writer
	w.options(0, options())
	return w.Bytes()
}

func (w *writer) options(depth int, list []option) {
	for _, o := range list {
		if o.comment != "" {
			w.line(depth, "# %s", o.comment)
		}
		switch x := o.value.(type) {
		case []option:
			w.line(depth, "%s:", o.key)
			w.options(depth+1, x)
		case string:
			w.line(depth, "%s: %s", o.key, strconv.Quote(x))
		case map[string]any:
			if len(x) == 0 {
				w.line(depth, "%s: {}", o.key)
				continue
			}
			w.line(depth, "%s:", o.key)
			w.tree(depth+1, x)
		case []any:
			if len(x) == 0 {
				w.line(depth, "%s: []", o.key)
				continue
			}
			w.line(depth, "%s:", o.key)
			w.tree(depth+1, x)
		default:
			w.line(depth, "%s: %v", o.key, x)
		}
	}
}

func (w *writer) tree(depth int, v any) {
	for _, l := range strings.Split(yamlText(v), "\n") {
		w.line(depth, "%s", l)
	}
}
