// SPDX-License-Identifier: Apache-2.0

package head

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/anymesh/anymesh/proxy/message"
)

// FuzzHead holds that a header block which we take is one that the framer of x/net takes too, with the same target: nobody behind us reads
// another request than we did.
func FuzzHead(f *testing.F) {
	add := func(nv ...string) {
		var b bytes.Buffer
		e := hpack.NewEncoder(&b)
		for i := 0; i < len(nv); i += 2 {
			if err := e.WriteField(hpack.HeaderField{Name: nv[i], Value: nv[i+1]}); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b.Bytes())
	}
	add(":method", "GET", ":scheme", "http", ":path", "/a?b", ":authority", "a", "cookie", "a", "cookie", "b")
	add(":method", "POST", ":scheme", "https", ":path", "*", "host", "a", "content-length", "1", "te", "trailers")
	add(":method", "CONNECT", ":authority", "a:1")
	add(":status", "200", "content-length", "1")
	add(":method", "GET", ":path", "/", "X", "y", ":scheme", "http")
	add("a", "b\r\nc")
	f.Add([]byte{0x82, 0x86, 0x84, 0x3f, 0xe1, 0x1f, 0x41, 0x01, 'a'})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 16<<10 {
			return
		}
		b := New(1<<16, 1<<18)
		b.Begin(1, true)
		var h message.Head
		if b.Write(p, true) != nil || b.TooLarge() {
			return
		}
		asked := b.Request(&h) == nil
		var back message.Head
		answered := b.Response(&back) == nil
		if !asked && !answered {
			return
		}
		var wire bytes.Buffer
		fr := http2.NewFramer(&wire, &wire)
		fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		fr.MaxHeaderListSize = 1 << 20
		if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p, EndHeaders: true, EndStream: true}); err != nil {
			t.Fatal(err)
		}
		got, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("we take %q, x/net does not: %v", b.fields, err)
		}
		m := got.(*http2.MetaHeadersFrame)
		if asked && (m.PseudoValue("method") != h.Method || m.PseudoValue("path") != h.Path+h.Query) {
			t.Errorf("we read %s %s%s, x/net %q", h.Method, h.Path, h.Query, m.Fields)
		}
		if asked && answered {
			t.Error("a request is a response too")
		}
		for _, f := range h.Fields {
			switch f.Name {
			case "connection", "transfer-encoding", "upgrade", "host", "":
				t.Errorf("%q came through", f.Name)
			}
		}
	})
}
