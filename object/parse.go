// SPDX-License-Identifier: Apache-2.0

package object

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object/text"
	"go.yaml.in/yaml/v3"
)

// Parse reads all objects of a stream of YAML or JSON documents. Lists are unwrapped. An object is returned although Problems speak of
// it wherever it has a kind and a name: it is then Faulty. The data must not be changed later: objects may be asked for places in it.
func Parse(file string, data []byte) ([]*Object, []Problem) {
	r := reader{file: file}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if first := bytes.TrimLeft(data, " \t\r\n"); len(first) > 0 && first[0] == '{' && r.json(data) {
		return r.objects, r.problems
	}
	line := 0
	for len(data) > 0 {
		doc, rest := cut(data)
		if !blank(doc) {
			r.document(doc, line)
		}
		line += bytes.Count(data[:len(data)-len(rest)], []byte("\n"))
		data = rest
	}
	return r.objects, r.problems
}

// reader collects the objects of one stream.
type reader struct {
	file     string
	objects  []*Object
	problems []Problem
	origin   *origin // of the document that is read; nil for a tree that came without a text
	first    int     // its first object
}

func (r *reader) problem(c model.Code, n *yaml.Node, path, message, hint string) {
	p := Problem{Code: c, Path: path, Message: message, Hint: hint}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	r.problems = append(r.problems, p)
}

// json reads a stream of JSON values; false where it is not one, and then it has taken nothing.
func (r *reader) json(data []byte) bool {
	docs, err := text.ReadStream(data)
	if err != nil {
		return false // it may be flow YAML, which begins alike
	}
	r.origin, r.first = &origin{file: r.file, text: data, json: true}, len(r.objects)
	for _, n := range docs {
		r.tree(n, 0)
	}
	return true
}

// document reads one YAML document that begins after a number of lines. Documents are cut apart before they are parsed, since the
// parser cannot go on after a fault.
func (r *reader) document(doc []byte, line int) {
	var n, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(doc))
	err := d.Decode(&n)
	if err == nil {
		if end := d.Decode(&more); end == nil {
			err = errors.New("yaml: line " + strconv.Itoa(more.Line) + ": a second value follows the first")
		} else if !errors.Is(end, io.EOF) {
			err = end
		}
	}
	if errors.Is(err, io.EOF) {
		return
	}
	if err != nil {
		r.problems = append(r.problems, syntaxProblem(err, doc, line))
		return
	}
	r.origin, r.first = &origin{file: r.file, text: doc, line: line}, len(r.objects)
	r.tree(n.Content[0], line)
}

// tree makes the tree of one document whole, and reads its objects.
func (r *reader) tree(n *yaml.Node, line int) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	t := resolver{line: line, left: maxNodes}
	n = t.resolve(n, place{}, 0)
	r.problems = append(r.problems, t.problems...)
	if t.left <= 0 {
		return
	}
	before := len(r.objects)
	r.object(n, "", "")
	if len(t.problems) > 0 {
		for _, o := range r.objects[before:] {
			o.Faulty = true
		}
	}
}

// cut returns the first document and what follows its end. A line that begins with --- or ... ends a document wherever it
// stands: YAML forbids it inside of any value.
func cut(data []byte) (doc, rest []byte) {
	for i := 0; i < len(data); {
		end := bytes.IndexByte(data[i:], '\n')
		next := len(data)
		if end >= 0 {
			next = i + end + 1
		}
		if line := data[i:next]; len(line) >= 3 && (string(line[:3]) == "---" || string(line[:3]) == "...") && (len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0) {
			if body := bytes.TrimSpace(line[3:]); line[0] == '-' && len(body) > 0 && body[0] != '#' {
				return opened(data, i, next)
			}
			return data[:i], data[next:]
		}
		i = next
	}
	return data, nil
}

// opened cuts where a value follows --- on the same line: the line then belongs to the document that it opens.
func opened(data []byte, i, next int) (doc, rest []byte) {
	if i > 0 {
		return data[:i], data[i:]
	}
	doc, _ = cut(data[next:])
	return data[:next+len(doc)], data[next+len(doc):]
}

// blank says whether a document holds nothing but comments and directives.
func blank(doc []byte) bool {
	for line := range bytes.Lines(doc) {
		if l := bytes.TrimSpace(line); len(l) > 0 && l[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// syntaxProblem puts the parser's error in the words and at the line of the file.
func syntaxProblem(err error, doc []byte, line int) Problem {
	p := Problem{Code: model.CodeSyntax, Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	at := 1
	if rest, ok := strings.CutPrefix(p.Message, "line "); ok {
		if number, fault, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				at, p.Message = n, fault
				if strings.HasPrefix(fault, "did not find expected") && strings.ContainsAny(fault, "<'-") || strings.HasSuffix(fault, "expected key") || strings.HasSuffix(fault, "node content") {
					at++ // faults of its grammar the parser counts from 0, those of its words from 1
				}
			}
		}
	}
	p.Message = "not YAML: " + p.Message
	for i, l := range bytes.Split(doc, []byte("\n")) {
		if i+2 >= at && bytes.HasPrefix(bytes.TrimLeft(l, " "), []byte("\t")) {
			at, p.Hint = i+1, "Indent with spaces: YAML takes no tabs."
			break
		}
	}
	if p.Hint == "" {
		p.Hint = "Look at this line and at the one before: indentation, colons, quotes."
	}
	p.Line = at + line
	return p
}
