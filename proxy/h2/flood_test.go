// SPDX-License-Identifier: Apache-2.0

package h2_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestFloods holds that who makes us work for nothing is told to calm down and cut off, before it has cost much. Each flood writes up to
// 200,000 frames; what the whole process used meanwhile, the client's part included, is logged.
func TestFloods(t *testing.T) {
	for what, one := range map[string]func(r *raw, i int) error{
		"rapid reset": func(r *raw, _ int) error {
			id := r.open(true, good[0], good[1], good[2], good[3], good[4], "/hang", good[6], good[7])
			return r.WriteRSTStream(id, http2.ErrCodeCancel)
		},
		"made to reset": func(r *raw, _ int) error { // by a malformed head
			r.open(true, ":method", "GET")
			return nil
		},
		"reset by a window of nothing": func(r *raw, _ int) error {
			id := r.open(false, good[0], good[1], good[2], good[3], good[4], "/hang", good[6], good[7])
			return r.WriteRawFrame(http2.FrameWindowUpdate, 0, id, []byte{0, 0, 0, 0})
		},
		"more streams than allowed": func(r *raw, _ int) error {
			r.open(true, good[0], good[1], good[2], good[3], good[4], "/hang", good[6], good[7])
			return nil
		},
		"heads too large": func(r *raw, _ int) error {
			nv := append([]string{}, good...)
			for range 100 {
				nv = append(nv, "x-large", string(long[:3000]))
			}
			r.open(true, nv...)
			return nil
		},
		"settings": func(r *raw, i int) error {
			return r.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(60000 + i%2)})
		},
		"settings acknowledged": func(r *raw, _ int) error { return r.WriteSettingsAck() },
		"ping":                  func(r *raw, _ int) error { return r.WritePing(false, [8]byte{}) },
		"ping answered":         func(r *raw, _ int) error { return r.WritePing(true, [8]byte{}) },
		"priority":              func(r *raw, _ int) error { return r.WritePriority(1, http2.PriorityParam{StreamDep: 3}) },
		"unknown frames":        func(r *raw, _ int) error { return r.WriteRawFrame(0x42, 0, 0, nil) },
		"window of the connection": func(r *raw, _ int) error {
			return r.WriteWindowUpdate(0, 1)
		},
		"window of a stream": func(r *raw, i int) error {
			if i == 0 {
				r.open(false, good[0], good[1], good[2], good[3], good[4], "/hang", good[6], good[7])
			}
			return r.WriteWindowUpdate(1, 1)
		},
		"empty data": func(r *raw, i int) error {
			if i == 0 {
				r.open(false, good...)
			}
			return r.WriteData(1, false, nil)
		},
		"continuation": func(r *raw, i int) error {
			if i == 0 {
				return r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(good...)})
			}
			return r.WriteContinuation(1, false, nil)
		},
		"continuation with text": func(r *raw, i int) error {
			if i == 0 {
				return r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block(good...)})
			}
			return r.WriteContinuation(1, false, r.block("x", string(long)))
		},
		"trailers of nothing": func(r *raw, i int) error {
			if i == 0 {
				r.open(true, good...)
			}
			return r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: r.block("x", "y"), EndStream: true, EndHeaders: true})
		},
	} {
		t.Run(what, func(t *testing.T) {
			addr, conns := listen(t, echoes)
			r := dialRaw(t, addr)
			c := <-conns
			before, heap := used(t), heapNow()
			told := make(chan http2.ErrCode, 1)
			go func() {
				code, _ := r.goAway()
				told <- code
			}()
			n := 0
			for ; n < 200_000; n++ {
				if one(r, n) != nil {
					break
				}
				select {
				case <-c.Done():
					t.Logf("cut off after %d, %s of CPU, heap grew by %d KB", n, used(t)-before, (heapNow()-heap)>>10)
				default:
					continue
				}
				break
			}
			r.nc.Close()
			<-c.Done()
			code, ok := http2.ErrCode(0), false
			if e := http2.ConnectionError(0); asConnError(c.Err(), &e) {
				code, ok = http2.ErrCode(e), true
			}
			if !ok || code != http2.ErrCodeEnhanceYourCalm {
				t.Errorf("after %d: %v", n, c.Err())
			}
			if grown := heapNow() - heap; grown > 8<<20 {
				t.Errorf("the heap grew by %d KB", grown>>10)
			}
			<-told
		})
	}
}

var long = func() []byte {
	b := make([]byte, 4000)
	for i := range b {
		b[i] = 'a'
	}
	return b
}()

func used(t testing.TB) time.Duration {
	var u syscall.Rusage
	check(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestUnreadAnswers holds that a peer which asks and never reads is cut off at a bounded cost.
func TestUnreadAnswers(t *testing.T) {
	addr, conns := listen(t, echoes)
	r := dialRaw(t, addr)
	c := <-conns
	heap := heapNow()
	nv := append([]string{}, good...)
	nv[5] = "/" + string(long) // comes back in the answer's head, and fits no table
	go func() {
		for range 100_000 {
			if r.WriteHeaders(http2.HeadersFrameParam{StreamID: r.next, BlockFragment: r.block(nv...), EndStream: true, EndHeaders: true}) != nil {
				return
			}
			r.next += 2
		}
	}()
	<-c.Done()
	if grown := heapNow() - heap; grown > 16<<20 {
		t.Errorf("the heap grew by %d KB", grown>>10)
	}
	t.Logf("cut off: %v", c.Err())
}
