// SPDX-License-Identifier: Apache-2.0

package udp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// kind says what a frame is. On the wire a frame is the number of its flow (4 bytes), its kind (2), the length of what follows (2), all
// in network order, and that. Who reads a kind that it does not know ends the link.
type kind uint16

const (
	datagram kind = iota
	ended         // of the flow: nothing follows, from either side
	refused       // of the flow: the caller may not do this now
	leaving       // of flow 0: open no more flows, the server is about to go
)

const (
	head         = 8
	maxDatagram  = 65535 - head
	maxPending   = 256 << 10 // bytes that wait for a link that is slow: beyond, datagrams are dropped
	writeTimeout = 30 * time.Second
)

// sender writes frames. Senders never wait: what is more than maxPending is dropped.
type sender struct {
	wake chan struct{}
	mu   sync.Mutex
	buf  []byte
	shut bool
}

func newSender() *sender { return &sender{wake: make(chan struct{}, 1)} }

// send queues a frame; false: it was dropped. Frames other than datagrams are never dropped: there are at most a few for each flow.
func (s *sender) send(flow uint32, k kind, b []byte) bool {
	s.mu.Lock()
	if s.shut || k == datagram && (len(b) > maxDatagram || len(s.buf)+head+len(b) > maxPending) {
		s.mu.Unlock()
		return false
	}
	s.buf = binary.BigEndian.AppendUint32(s.buf, flow)
	s.buf = binary.BigEndian.AppendUint16(s.buf, uint16(k))
	s.buf = binary.BigEndian.AppendUint16(s.buf, uint16(len(b)))
	s.buf = append(s.buf, b...)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

// run writes what is queued until the connection fails or done is closed. Frames that came together are written together.
func (s *sender) run(c net.Conn, done <-chan struct{}) {
	var own []byte
	defer func() {
		s.mu.Lock()
		s.shut, s.buf = true, nil
		s.mu.Unlock()
	}()
	for {
		s.mu.Lock()
		own, s.buf = s.buf, own[:0]
		s.mu.Unlock()
		if len(own) == 0 {
			select {
			case <-s.wake:
				continue
			case <-done:
				return
			}
		}
		if c.SetWriteDeadline(time.Now().Add(writeTimeout)) != nil {
			return
		}
		if _, err := c.Write(own); err != nil {
			c.Close() // the reader ends the link
			return
		}
	}
}

// receive reads frames until the connection ends. What take is given is good until it returns.
func receive(c io.Reader, take func(flow uint32, k kind, b []byte)) error {
	r := bufio.NewReaderSize(c, 16<<10)
	var h [head]byte
	buf := make([]byte, 2<<10)
	for {
		if _, err := io.ReadFull(r, h[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		flow, k, n := binary.BigEndian.Uint32(h[:]), kind(binary.BigEndian.Uint16(h[4:])), int(binary.BigEndian.Uint16(h[6:]))
		if k > leaving || k != datagram && n > 0 || n > maxDatagram {
			return fmt.Errorf("udp: a frame of kind %d and length %d is not understood", k, n)
		}
		if n > len(buf) {
			buf = make([]byte, maxDatagram)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return err
		}
		take(flow, k, buf[:n])
	}
}
