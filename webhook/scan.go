// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
)

// A review is an envelope around objects, which are read strictly by themselves. Taking the envelope apart without reading what is in it
// costs a tenth of decoding it.

var errEnvelope = errors.New("not JSON")

// scan is a place in a text of JSON.
type scan struct {
	text []byte
	at   int
}

func (s *scan) space() byte {
	for ; s.at < len(s.text); s.at++ {
		if c := s.text[s.at]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

// fields calls a function for each field of an object, with the text of its value.
func fields(text []byte, each func(name, value []byte) error) error {
	s := scan{text: text}
	if s.space() != '{' {
		return errEnvelope
	}
	return s.list('}', func() error {
		if s.space() != '"' {
			return errEnvelope
		}
		name, err := s.value()
		if err != nil || s.space() != ':' {
			return errEnvelope
		}
		s.at++
		value, err := s.value()
		if err != nil {
			return err
		}
		return each(name[1:len(name)-1], value)
	})
}

// items calls a function for the text of each item of a list.
func items(text []byte, each func(value []byte) error) error {
	s := scan{text: text}
	if s.space() != '[' {
		return errEnvelope
	}
	return s.list(']', func() error {
		value, err := s.value()
		if err != nil {
			return err
		}
		return each(value)
	})
}

// list steps over a bracket, and reads up to its end.
func (s *scan) list(end byte, one func() error) error {
	if s.at++; s.space() == end {
		return nil
	}
	for {
		if err := one(); err != nil {
			return err
		}
		switch s.space() {
		case ',':
			s.at++
		case end:
			return nil
		default:
			return errEnvelope
		}
	}
}

// value is the text of the value that begins here. Only quotes and brackets are looked at.
func (s *scan) value() ([]byte, error) {
	s.space()
	from, depth := s.at, 0
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			if !s.quoted() {
				return nil, errEnvelope
			}
			if depth == 0 {
				return s.text[from:s.at], nil
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.text[from:s.at], nil
			}
			if depth--; depth == 0 {
				s.at++
				return s.text[from:s.at], nil
			}
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return s.text[from:s.at], nil
			}
		}
		s.at++
	}
	return nil, errEnvelope
}

// quoted steps over a text in quotes.
func (s *scan) quoted() bool {
	for s.at++; ; s.at++ {
		end := bytes.IndexByte(s.text[s.at:], '"')
		if end < 0 {
			return false
		}
		s.at += end
		back := 0
		for s.text[s.at-1-back] == '\\' {
			back++
		}
		if back%2 == 0 {
			s.at++
			return true
		}
	}
}

// str is the text that a value says; empty for null and where there is none.
func str(value []byte) (s string, err error) {
	if len(value) > 0 {
		err = json.Unmarshal(value, &s)
	}
	return s, err
}

// slim is an object without what nobody here looks at and most of its text is made of: its status, which comes back beside it, and the
// managedFields, which an API server keeps to itself whatever a conversion answers. A text that is no object comes back as it is.
func slim(raw []byte) (rest, status []byte) {
	rest = make([]byte, 0, len(raw))
	err := fields(raw, func(name, value []byte) error {
		switch string(name) {
		case "status":
			status = value
			return nil
		case "metadata":
			rest = appendField(rest, name, nil)
			meta := len(rest)
			err := fields(value, func(name, value []byte) error {
				if string(name) != "managedFields" {
					rest = appendField(rest, name, value)
				}
				return nil
			})
			if err != nil {
				rest = append(rest[:meta], value...) // null, or no object at all
				return nil
			}
			if len(rest) == meta {
				rest = append(rest, '{')
			}
			rest = append(rest, '}')
			return nil
		}
		rest = appendField(rest, name, value)
		return nil
	})
	if err != nil || len(rest) == 0 {
		return raw, nil
	}
	return append(rest, '}'), status
}

// appendField adds a field to an object, which it begins where nothing or another field's name stands before.
func appendField(dst, name, value []byte) []byte {
	between := byte(',')
	if len(dst) == 0 || dst[len(dst)-1] == ':' {
		between = '{'
	}
	dst = append(append(append(dst, between, '"'), name...), '"', ':')
	return append(dst, value...)
}
