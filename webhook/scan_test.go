// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzSlim takes status and managedFields out of an object, and nothing else.
func FuzzSlim(f *testing.F) {
	for _, s := range []string{
		`{"metadata":{"managedFields":[{"a":"}"}],"name":"x"},"spec":{"a":1},"status":{"b":[2]}}`, `{"metadata":{"managedFields":[]}}`, `{"status":1}`,
		`{"metadata":null,"status":null}`, `{"metadata":{"name":"x","managedFields":null},"kind":"a"}`, `{}`, `{"metadata":{}}`, `[]`, ` { "a" : { } } `,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want map[string]any
		if json.Unmarshal([]byte(text), &want) != nil || want == nil || strings.Contains(text, `\u`) || strings.Count(text, "metadata") > 1 || strings.Count(text, "managedFields") > 1 || strings.Count(text, "status") > 1 {
			return
		}
		rest, status := slim([]byte(text))
		var got map[string]any
		if err := json.Unmarshal(rest, &got); err != nil {
			t.Fatalf("%s became %s: %v", text, rest, err)
		}
		if was, ok := want["status"]; ok && len(want) > 1 {
			var is any
			if json.Unmarshal(status, &is) != nil || !reflect.DeepEqual(is, was) {
				t.Errorf("%s: the status is %s", text, status)
			}
			delete(want, "status")
		}
		if meta, ok := want["metadata"].(map[string]any); ok {
			delete(meta, "managedFields")
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %s", text, rest)
		}
	})
}

// FuzzEnvelope compares what is taken out of an envelope with what the decoder of the standard library takes out of it.
func FuzzEnvelope(f *testing.F) {
	for _, s := range []string{
		`{"request":{"uid":"a","desiredAPIVersion":"b","objects":[{"x":"]}\\\""}, 1 , "y", [[]], {} ]}}`,
		` { "kind" : null , "request" : { "objects" : [ ] , "uid" : "a\"b" } } `,
		`{"request":{"uid":"\\"}}`, `{"request":{}}`, `{"request":null}`, `{"request":{"uid":}}`, `[]`, `{"request":{"objects":[1 2]}}`, `{"request"`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var names map[string]json.RawMessage
		var request map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &names) != nil || json.Unmarshal(names["request"], &request) != nil || strings.Contains(text, `\u`) {
			return // of what is no review nothing is asked but an end
		}
		var uid, to string
		var objects []json.RawMessage
		for name, into := range map[string]any{"uid": &uid, "desiredAPIVersion": &to, "objects": &objects} {
			if raw, ok := request[name]; ok && json.Unmarshal(raw, into) != nil {
				return
			}
		}
		got, err := readConversion([]byte(text))
		if request == nil && err != nil {
			return
		}
		if err != nil || got.uid != uid || got.to != to || len(got.objects) != len(objects) {
			t.Fatalf("%s is read as %+v, %v", text, got, err)
		}
		for i, o := range got.objects {
			var a, b any
			if json.Unmarshal(o, &a) != nil || json.Unmarshal(objects[i], &b) != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%s: object %d is %s and not %s", text, i, o, objects[i])
			}
		}
	})
}
