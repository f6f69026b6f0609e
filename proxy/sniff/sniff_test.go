// SPDX-License-Identifier: Apache-2.0

package sniff

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestTell(t *testing.T) {
	for _, c := range []struct {
		first string
		want  Protocol
	}{
		{"GET / HTTP/1.1\r\n", HTTP},
		{"PROPFIND /a HTTP/1.0\r\n", HTTP},
		{"X.Y * HTTP/1.1\r\n", HTTP},
		{"get / HTTP/1.1\r\n", HTTP}, // a method is case-sensitive, and this is one
		{"GET http://a/b HTTP/1.1\r\n", HTTP},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP},
		{"GET /a\x80 HTTP/1.1", HTTP},
		{"\x16\x03\x01\x02\x00", TLS},
		{"EHLO mail.example\r\n", Bytes},
		{"get a-key\r\n", Bytes},
		{"GET a key\r\n", Bytes},
		{"PING\r\n", Bytes},
		{"*1\r\n$4\r\nPING\r\n", Bytes},
		{" GET / HTTP/1.1", Bytes},
		{"GET  / HTTP/1.1", Bytes},
		{"\x00\x00\x00\x08\x04\xd2\x16\x2f", Bytes},
		{"GET / HTTP/2.0", HTTP}, // which no codec takes
		{"\r\nGET / HTTP/1.1\r\n", HTTP},
		{"\r\n", Unclear},
		{"GET /\r\n", Bytes},
		{"G", Unclear},
		{"GET", Unclear},
		{"GET /some", Unclear},
		{"GET / HT", Unclear},
		{"PRI * HTT", Unclear},
		{"", Unclear},
	} {
		if got := tell([]byte(c.first)); got != c.want {
			t.Errorf("%q is taken for %d, not %d", c.first, got, c.want)
		}
	}
}

// FuzzTell holds that what net/http reads as a request is never taken for bytes, and that a judgement never changes with what comes later.
func FuzzTell(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "X-Y http://a/ HTTP/1.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "EHLO a\r\n", "\x16\x03\x01", "G\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		whole := tell([]byte(s))
		if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(s))); err == nil && whole != HTTP {
			t.Errorf("net/http reads a request in %q, which is taken for %d", s, whole)
		}
		for n := range min(len(s), 64) {
			if early := tell([]byte(s[:n])); early != Unclear && early != whole {
				t.Errorf("%q is taken for %d after %d bytes, and for %d in the end", s, early, n, whole)
			}
		}
	})
}

// TestServerName holds that the name is read and nothing is taken.
func TestServerName(t *testing.T) {
	for _, name := range []string{"catalog.shop", "", strings.Repeat("a.", 120) + "b"} {
		a, b := net.Pipe()
		client := make(chan error, 1)
		go func() {
			client <- tls.Client(a, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
		}()
		r := bufio.NewReaderSize(b, maxHello)
		got, err := ServerName(b, r)
		if got != name || (err == nil) != (name != "") {
			t.Errorf("%q: %q %v", name, got, err)
		}
		if first, err := r.Peek(3); err != nil || first[0] != 0x16 || first[1] != 3 {
			t.Errorf("the first bytes are gone: %x %v", first, err)
		}
		b.Close()
		if <-client == nil {
			t.Error("a handshake with nobody succeeded")
		}
	}
	a, b := net.Pipe()
	go func() { io.WriteString(a, "\x16\x03\x01\x00\x05hello"); a.Close() }()
	if name, err := ServerName(b, bufio.NewReaderSize(b, maxHello)); err == nil {
		t.Errorf("a server name in what is no ClientHello: %q", name)
	}
}
