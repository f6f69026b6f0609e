// SPDX-License-Identifier: Apache-2.0

package text

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxDepth is how deep a value may be nested.
const MaxDepth = 200

// ReadJSON reads one JSON value as a tree that keeps the order of fields and the text of numbers.
func ReadJSON(data []byte) (*yaml.Node, error) {
	s := scanner{data: data}
	s.space()
	n, err := s.value(0)
	if err != nil {
		return nil, err
	}
	if s.space(); s.pos < len(data) {
		return nil, s.wrong("a second value follows the first")
	}
	return n, nil
}

// ReadStream reads JSON values that follow each other.
func ReadStream(data []byte) ([]*yaml.Node, error) {
	s := scanner{data: data}
	var list []*yaml.Node
	for s.space(); s.pos < len(data); s.space() {
		n, err := s.value(0)
		if err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, nil
}

// scanner reads JSON. It is an order of magnitude quicker than reading JSON as the YAML that it is.
type scanner struct {
	data  []byte
	pos   int
	line  int // from 0
	start int // of the line
	nodes []yaml.Node
}

func (s *scanner) wrong(message string) error {
	return fmt.Errorf("not JSON: line %d, column %d: %s", s.line+1, s.pos-s.start+1, message)
}

func (s *scanner) space() {
	for ; s.pos < len(s.data); s.pos++ {
		switch s.data[s.pos] {
		case '\n':
			s.line, s.start = s.line+1, s.pos+1
		case ' ', '\t', '\r':
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

// node makes a node at the present position. Nodes are made by the dozen: they are large, and an object has many.
func (s *scanner) node(kind yaml.Kind, tag string) *yaml.Node {
	if len(s.nodes) == 0 {
		s.nodes = make([]yaml.Node, min(24, 1+(len(s.data)-s.pos)/8))
	}
	n := &s.nodes[0]
	s.nodes = s.nodes[1:]
	n.Kind, n.Tag, n.Line, n.Column = kind, tag, s.line+1, s.pos-s.start+1
	return n
}

func (s *scanner) value(depth int) (*yaml.Node, error) {
	if depth > MaxDepth {
		return nil, s.wrong("nested too deep")
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth)
	case c == '[':
		return s.array(depth)
	case c == '"':
		return s.text()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, w := range [...]struct{ word, tag string }{{"true", "!!bool"}, {"false", "!!bool"}, {"null", "!!null"}} {
		if strings.HasPrefix(string(s.data[s.pos:min(len(s.data), s.pos+5)]), w.word) {
			n := s.node(yaml.ScalarNode, w.tag)
			n.Value = w.word
			s.pos += len(w.word)
			return n, nil
		}
	}
	return nil, s.wrong("a value is wanted here")
}

func (s *scanner) object(depth int) (*yaml.Node, error) {
	n := s.node(yaml.MappingNode, "!!map")
	n.Style = yaml.FlowStyle
	for s.pos++; ; s.pos++ {
		if s.space(); s.peek() == '}' && len(n.Content) == 0 {
			break
		}
		if s.peek() != '"' {
			return nil, s.wrong("the name of a field is wanted here, in quotes")
		}
		k, err := s.text()
		if err != nil {
			return nil, err
		}
		if s.space(); s.peek() != ':' {
			return nil, s.wrong("a colon is wanted here")
		}
		s.pos++
		s.space()
		v, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		if n.Content == nil {
			n.Content = make([]*yaml.Node, 0, 8)
		}
		n.Content = append(n.Content, k, v)
		if s.space(); s.peek() == '}' {
			break
		} else if s.peek() != ',' {
			return nil, s.wrong("a comma or the end of the object is wanted here")
		}
	}
	s.pos++
	return n, nil
}

func (s *scanner) array(depth int) (*yaml.Node, error) {
	n := s.node(yaml.SequenceNode, "!!seq")
	n.Style = yaml.FlowStyle
	for s.pos++; ; s.pos++ {
		if s.space(); s.peek() == ']' && len(n.Content) == 0 {
			break
		}
		v, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		n.Content = append(n.Content, v)
		if s.space(); s.peek() == ']' {
			break
		} else if s.peek() != ',' {
			return nil, s.wrong("a comma or the end of the list is wanted here")
		}
	}
	s.pos++
	return n, nil
}

func (s *scanner) number() (*yaml.Node, error) {
	n := s.node(yaml.ScalarNode, "!!int")
	from := s.pos
	for ; s.pos < len(s.data); s.pos++ {
		switch c := s.data[s.pos]; {
		case c >= '0' && c <= '9':
			continue
		case c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E':
			if s.pos > from {
				n.Tag = "!!float"
			}
			continue
		}
		break
	}
	n.Value = string(s.data[from:s.pos])
	if !jsonNumber(n.Value) {
		return nil, s.wrong("not a number: " + n.Value)
	}
	return n, nil
}

// jsonNumber says whether a text is a number of JSON (RFC 8259).
func jsonNumber(t string) bool {
	digits := func() bool {
		rest := strings.TrimLeft(t, "0123456789")
		ok := len(rest) < len(t)
		t = rest
		return ok
	}
	t = strings.TrimPrefix(t, "-")
	if zero := strings.HasPrefix(t, "0"); zero {
		t = t[1:]
	} else if !digits() {
		return false
	}
	if frac, ok := strings.CutPrefix(t, "."); ok {
		if t = frac; !digits() {
			return false
		}
	}
	if t != "" && (t[0] == 'e' || t[0] == 'E') {
		if t = t[1:]; t != "" && (t[0] == '+' || t[0] == '-') {
			t = t[1:]
		}
		if !digits() {
			return false
		}
	}
	return t == ""
}

func (s *scanner) text() (*yaml.Node, error) {
	n := s.node(yaml.ScalarNode, "!!str")
	n.Style = yaml.DoubleQuotedStyle
	from := s.pos + 1
	for i := from; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			n.Value, s.pos = string(s.data[from:i]), i+1
			return n, nil
		case c == '\\' || c >= utf8.RuneSelf:
			v, end, err := unquote(s.data, from)
			if err != nil {
				return nil, s.wrong(err.Error())
			}
			n.Value, s.pos = v, end
			return n, nil
		case c < ' ':
			return nil, s.wrong("text must not hold a bare line break or control character")
		}
	}
	return nil, s.wrong("text without an end")
}

// unquote reads the text that begins at a position, after its quote, and the position after its end. What is not UTF-8 is replaced.
func unquote(data []byte, i int) (string, int, error) {
	out := make([]byte, 0, 64)
	for i < len(data) {
		switch c := data[i]; {
		case c == '"':
			return string(out), i + 1, nil
		case c < ' ':
			return "", 0, errors.New("text must not hold a bare line break or control character")
		case c == '\\':
			r, next := escaped(data, i+1)
			if next == 0 {
				return "", 0, errors.New("an escape that JSON does not know")
			}
			out, i = utf8.AppendRune(out, r), next
		default:
			r, size := utf8.DecodeRune(data[i:])
			out, i = utf8.AppendRune(out, r), i+size
		}
	}
	return "", 0, errors.New("text without an end")
}

func escaped(data []byte, i int) (rune, int) {
	if i >= len(data) {
		return 0, 0
	}
	if k := strings.IndexByte(`"\/bfnrt`, data[i]); k >= 0 {
		return rune("\"\\/\b\f\n\r\t"[k]), i + 1
	}
	r, ok := hex(data, i)
	if !ok {
		return 0, 0
	}
	i += 5
	if utf16.IsSurrogate(r) {
		if i < len(data) && data[i] == '\\' {
			if low, ok := hex(data, i+1); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
				return utf16.DecodeRune(r, low), i + 6
			}
		}
		return utf8.RuneError, i
	}
	return r, i
}

// hex reads uXXXX.
func hex(data []byte, i int) (rune, bool) {
	if i+5 > len(data) || data[i] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(string(data[i+1:i+5]), 16, 16)
	return rune(v), err == nil
}

// AppendJSON writes a tree as JSON, in the order of the tree. Numbers keep their text where JSON has it too; what JSON cannot say
// (infinity) is written as text.
func AppendJSON(dst []byte, n *yaml.Node) []byte {
	if n == nil {
		return append(dst, "null"...)
	}
	switch n.Kind {
	case yaml.MappingNode:
		dst = append(dst, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(dst, n.Content[i].Value), ':')
			dst = AppendJSON(dst, n.Content[i+1])
		}
		return append(dst, '}')
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, c := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendJSON(dst, c)
		}
		return append(dst, ']')
	case yaml.AliasNode:
		return AppendJSON(dst, n.Alias)
	}
	return appendScalar(dst, n)
}

func appendScalar(dst []byte, n *yaml.Node) []byte {
	switch n.Tag {
	case "!!null":
		return append(dst, "null"...)
	case "!!bool":
		return strconv.AppendBool(dst, n.Value[0] == 't' || n.Value[0] == 'T')
	case "!!int", "!!float":
		if jsonNumber(n.Value) {
			return append(dst, n.Value...)
		}
		if i, ok := Integer(n.Value); ok {
			return strconv.AppendInt(dst, i, 10)
		}
		if f, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, "_", ""), 64); err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			return strconv.AppendFloat(dst, f, 'g', -1, 64)
		}
	}
	return AppendString(dst, n.Value)
}

// Integer reads a whole number as YAML writes it: 0x1f, 0o17, 1_000.
func Integer(s string) (int64, bool) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil && (len(s) < 2 || s[0] != '0') {
		return i, true
	}
	i, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, 64)
	return i, err == nil
}

// AppendString writes a text as JSON has it.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if c >= utf8.RuneSelf && !(r == utf8.RuneError && size == 1) {
			i += size
			continue
		}
		dst = append(dst, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			dst = append(dst, `\ufffd`...)
		}
		i += size
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}
