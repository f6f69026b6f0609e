// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendYAML writes a value as one YAML document, in the words and the order in which it would be written as JSON. Where dst holds
// something already, a line of --- comes between. It panics for a value that JSON cannot say.
func AppendYAML(dst []byte, v any) []byte {
	in, err := json.Marshal(v)
	if err != nil {
		panic("text: " + err.Error())
	}
	if len(dst) > 0 {
		dst = append(dst, "---\n"...)
	}
	w := writer{in: in, out: dst}
	if w.nested() {
		w.block(0)
	} else {
		w.scalar(2)
		w.out = append(w.out, '\n')
	}
	return w.out
}

// writer turns JSON without spaces into YAML, in one pass and without a tree.
type writer struct {
	in  []byte
	pos int
	out []byte
}

// nested says whether an object or a list with something in it comes next.
func (w *writer) nested() bool {
	c := w.in[w.pos]
	return (c == '{' || c == '[') && w.in[w.pos+1] != c+2
}

func (w *writer) indent(n int) {
	for range n {
		w.out = append(w.out, ' ')
	}
}

// block writes the fields or items that come next. The first is written where the output stands.
func (w *writer) block(indent int) {
	open := w.in[w.pos]
	for {
		w.pos++ // the bracket or the comma
		if open == '{' {
			w.key(indent)
			w.pos++
			w.value(indent, false)
		} else {
			w.out = append(w.out, '-')
			w.value(indent, true)
		}
		if w.in[w.pos] != ',' {
			w.pos++
			return
		}
		w.indent(indent)
	}
}

// key writes the name of a field. A long one needs a mark of its own: YAML does not look further for the colon.
func (w *writer) key(indent int) {
	s := w.text()
	long := len(s) > 120
	if long {
		w.out = append(w.out, "? "...)
	}
	w.quoted(s)
	if long {
		w.out = append(w.out, '\n')
		w.indent(indent)
	}
	w.out = append(w.out, ':')
}

// value writes what follows a colon or a dash. The items of a list stand under the name of their field, as everywhere in Kubernetes.
func (w *writer) value(indent int, dash bool) {
	if !w.nested() {
		w.out = append(w.out, ' ')
		w.scalar(indent + 2)
		w.out = append(w.out, '\n')
		return
	}
	if dash || w.in[w.pos] == '{' {
		indent += 2
	}
	if dash {
		w.out = append(w.out, ' ')
	} else {
		w.out = append(w.out, '\n')
		w.indent(indent)
	}
	w.block(indent)
}

func (w *writer) scalar(indent int) {
	switch w.in[w.pos] {
	case '"':
		if s := w.text(); literal(s) {
			w.literal(s, indent)
		} else {
			w.quoted(s)
		}
		return
	case '{', '[':
		w.out = append(w.out, w.in[w.pos:w.pos+2]...)
		w.pos += 2
		return
	}
	from := w.pos
	for w.pos < len(w.in) && strings.IndexByte(",]}", w.in[w.pos]) < 0 {
		w.pos++
	}
	w.out = append(w.out, w.in[from:w.pos]...)
}

// text reads the string that comes next.
func (w *writer) text() []byte {
	from := w.pos + 1
	end := from + bytes.IndexByte(w.in[from:], '"')
	if s := w.in[from:end]; bytes.IndexByte(s, '\\') < 0 {
		w.pos = end + 1
		return s
	}
	s, end, err := unquote(w.in, from)
	if err != nil {
		panic("text: " + err.Error())
	}
	w.pos = end
	return []byte(s)
}

// literal says whether a text reads best as a block of lines, and YAML would give back the same.
func literal(s []byte) bool {
	if i := bytes.IndexByte(s, '\n'); i <= 0 || s[0] == ' ' {
		return false
	}
	for line := range bytes.Lines(s) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) > 0 && line[len(line)-1] == ' ' || !printable(line) {
			return false
		}
	}
	return true
}

func (w *writer) literal(s []byte, indent int) {
	w.out = append(w.out, '|')
	switch {
	case bytes.HasSuffix(s, []byte("\n\n")):
		w.out = append(w.out, '+')
	case s[len(s)-1] != '\n':
		w.out = append(w.out, '-')
	default:
	}
	for line := range bytes.Lines(bytes.TrimSuffix(s, []byte("\n"))) {
		w.out = append(w.out, '\n')
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			w.indent(indent)
			w.out = append(w.out, line...)
		}
	}
	if bytes.HasSuffix(s, []byte("\n\n")) {
		w.out = append(w.out, '\n') // Lines does not give the empty line after the last break
	}
}

// quoted writes a text on one line, in quotes where it needs them.
func (w *writer) quoted(s []byte) {
	if plain(s) {
		w.out = append(w.out, s...)
		return
	}
	w.out = append(w.out, '"')
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		switch {
		case r == '"' || r == '\\':
			w.out = append(w.out, '\\', byte(r))
		case r == '\n':
			w.out = append(w.out, '\\', 'n')
		case r == '\t':
			w.out = append(w.out, '\\', 't')
		case visible(r):
			w.out = append(w.out, s[:size]...)
		default:
			w.out = append(w.out, '\\', 'u')
			for shift := 12; shift >= 0; shift -= 4 {
				w.out = append(w.out, "0123456789abcdef"[r>>shift&15])
			}
		}
		s = s[size:]
	}
	w.out = append(w.out, '"')
}

// visible says whether a character may stand in YAML as it is, and means itself: some are breaks or invisible.
func visible(r rune) bool {
	return r >= ' ' && r <= '~' || r >= 0xa0 && r <= 0xfffd && r != 0xfeff && r != 0x2028 && r != 0x2029 || r >= 0x10000
}

func printable(s []byte) bool {
	for i := 0; i < len(s); {
		if s[i] >= ' ' && s[i] <= '~' {
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if !visible(r) {
			return false
		}
		i += size
	}
	return true
}

// plain says whether YAML reads the bare text as itself: as text, whole, and in version 1.1 as in 1.2.
func plain(s []byte) bool {
	if len(s) == 0 || !printable(s) {
		return false
	}
	switch first := s[0]; {
	case strings.IndexByte(" ?:,[]{}#&*!|>'\"%@`=<~", first) >= 0:
		return false
	case first == '-' && (len(s) == 1 || s[1] == ' ' || bytes.HasPrefix(s, []byte("---"))):
		return false
	case first == '.' && bytes.HasPrefix(s, []byte("...")):
		return false
	case first >= '0' && first <= '9' || first == '-' || first == '+' || first == '.':
		if number(string(s)) {
			return false
		}
	}
	if last := s[len(s)-1]; last == ' ' || last == ':' || word(s) {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] == ' ' && s[i-1] == ':' || s[i] == '#' && s[i-1] == ' ' {
			return false
		}
	}
	return true
}

// word says whether a text is one of those that YAML takes for something else.
func word(s []byte) bool {
	if len(s) > 5 {
		return false
	}
	switch strings.ToLower(string(s)) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		return true
	}
	return false
}

// number says whether some version of YAML could take a text for a number or a date.
func number(s string) bool {
	bare := strings.ReplaceAll(s, "_", "")
	if _, err := strconv.ParseInt(bare, 0, 64); err == nil {
		return true
	}
	if _, err := strconv.ParseFloat(bare, 64); err == nil || err.(*strconv.NumError).Err == strconv.ErrRange {
		return true
	}
	switch strings.ToLower(strings.TrimLeft(s, "+-")) {
	case ".inf", ".nan":
		return true
	}
	if strings.HasPrefix(bare, "0x") || strings.HasPrefix(bare, "0b") || strings.HasPrefix(bare, "0o") {
		return true
	}
	if len(s) > 4 && s[4] == '-' && strings.Trim(s[:4], "0123456789") == "" {
		return true
	}
	return strings.Contains(s, ":") && strings.Trim(s, "+-0123456789:_.") == ""
}
