// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestHost reads the host of a first request, and takes nothing.
func TestHost(t *testing.T) {
	for sent, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: api:8080\r\n\r\nbody":      "api:8080",
		"POST /x HTTP/1.1\r\nA: b\r\nhost:  api \r\n\r\n":   "api",
		"GET / HTTP/1.1\r\nA: b\r\n\r\n":                    "",
		"GET / HTTP/1.1\r\nA: " + strings.Repeat("x", 8192): "",
		"GET / HTTP/1.1\r\nHost: half":                      "",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                  "",
	} {
		client, server := net.Pipe()
		go func() { _, _ = io.WriteString(client, sent) }()
		r := bufio.NewReaderSize(server, 4096)
		if host, ok := Host(server, r, 50*time.Millisecond); host != want || ok != (host != "") {
			t.Errorf("%.30q is for %q", sent, host)
		}
		first := make([]byte, 4)
		if _, err := io.ReadFull(r, first); err != nil || string(first) != sent[:4] {
			t.Errorf("%.30q: what was looked at is gone: %q %v", sent, first, err)
		}
		client.Close()
		server.Close()
	}
}
