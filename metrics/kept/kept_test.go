// SPDX-License-Identifier: Apache-2.0

package kept

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Unix(0, 0)

func TestOneFlight(t *testing.T) {
	var k Answers[int]
	var found atomic.Int32
	go_, waiting := make(chan struct{}), make(chan struct{}, 100)
	find := func(context.Context) (int, error) {
		<-go_
		return int(found.Add(1)), nil
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			waiting <- struct{}{}
			if n, err := k.Get(t.Context(), "x", start, time.Second, find); n != 1 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	}
	for range 100 {
		<-waiting
	}
	close(go_)
	all.Wait()
	if n, _ := k.Get(t.Context(), "x", start.Add(999*time.Millisecond), time.Second, find); n != 1 {
		t.Error("it was still good")
	}
	if n, _ := k.Get(t.Context(), "x", start.Add(time.Second), time.Second, find); n != 2 {
		t.Error("it was no longer good")
	}
	if n, _ := k.Get(t.Context(), "y", start, time.Second, find); n != 3 {
		t.Error("another name is another answer")
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	var k Answers[int]
	if _, err := k.Get(t.Context(), "x", start, time.Second, func(context.Context) (int, error) { return 0, errors.New("down") }); err == nil {
		t.Error("an error is told")
	}
	if n, err := k.Get(t.Context(), "x", start, time.Second, func(context.Context) (int, error) { return 7, nil }); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// TestLeaver: who asked first leaves, and the others have their answer all the same.
func TestLeaver(t *testing.T) {
	var k Answers[int]
	ctx, leave := context.WithCancel(t.Context())
	begun, go_ := make(chan struct{}), make(chan struct{})
	left := make(chan error)
	go func() {
		_, err := k.Get(ctx, "x", start, time.Second, func(ctx context.Context) (int, error) {
			close(begun)
			<-go_
			return 7, ctx.Err()
		})
		left <- err
	}()
	<-begun
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left is told %v", err)
	}
	close(go_)
	if n, err := k.Get(t.Context(), "x", start, time.Second, nil); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestBound(t *testing.T) {
	var k Answers[int]
	for i := range 3 * Most {
		if n, err := k.Get(t.Context(), strconv.Itoa(i), start, time.Second, func(context.Context) (int, error) { return i, nil }); n != i || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if n := len(k.answers); n > Most {
		t.Errorf("%d answers are kept", n)
	}
}
