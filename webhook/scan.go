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

// fields reads an object: for each field a function is called, which reads its value.
func (s *scan) fields(value func(name []byte) error) error {
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
		return value(name[1 : len(name)-1])
	})
}

// items reads a list, or null for an empty one: for each item a function is called, which reads it.
func (s *scan) items(value func() error) error {
	switch s.space() {
	case '[':
		return s.list(']', value)
	case 'n':
		return s.skip()
	}
	return errEnvelope
}

// skip steps over a value.
func (s *scan) skip() error {
	_, err := s.value()
	return err
}

// into reads a text; null is an empty one.
func (s *scan) into(text *string) error {
	value, err := s.value()
	if err != nil {
		return err
	}
	return json.Unmarshal(value, text)
}

// request reads a review down to the fields of its request.
func request(body []byte, value func(s *scan, name []byte) error) error {
	s, found := scan{text: body}, false
	err := s.fields(func(name []byte) error {
		if string(name) != "request" || s.space() != '{' {
			return s.skip()
		}
		found = true
		return s.fields(func(name []byte) error { return value(&s, name) })
	})
	if err == nil && !found {
		err = errors.New("there is no request")
	}
	return err
}

// list steps over a bracket, and reads up to its end.
func (s *scan) list(end byte, one func() error) error {
	if s.at++; s.space() == end {
		s.at++
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
			s.at++
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

// slim is an object without what nobody here looks at and most of its text is made of: its status, which comes back beside it, and the
// managedFields, which an API server keeps to itself whatever a conversion answers. A text that is no object comes back as it is.
func slim(raw []byte) (rest, status []byte) {
	rest = make([]byte, 0, len(raw))
	s := scan{text: raw}
	err := s.fields(func(name []byte) (err error) {
		if string(name) == "metadata" && s.space() == '{' {
			rest = appendField(rest, name, nil)
			return s.slimMetadata(&rest)
		}
		value, err := s.value()
		if string(name) == "status" {
			status = value
		} else {
			rest = appendField(rest, name, value)
		}
		return err
	})
	if err != nil || len(rest) == 0 {
		return raw, nil
	}
	return append(rest, '}'), status
}

func (s *scan) slimMetadata(rest *[]byte) error {
	before := len(*rest)
	err := s.fields(func(name []byte) error {
		value, err := s.value()
		if string(name) != "managedFields" {
			*rest = appendField(*rest, name, value)
		}
		return err
	})
	if len(*rest) == before {
		*rest = append(*rest, '{')
	}
	*rest = append(*rest, '}')
	return err
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
