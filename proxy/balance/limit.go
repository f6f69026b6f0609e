// SPDX-License-Identifier: Apache-2.0

package balance

import (
	"context"
	"errors"
	"sync"
)

// ErrFull says that as much is under way, and as much waits, as may.
var ErrFull = errors.New("overflow: as many requests are under way, and wait, as the service's limits allow")

// Limits bound what is under way to a cluster. A number that is not set bounds nothing.
type Limits struct {
	Active  uint32 // at once; 0: no bound
	Waiting uint32 // for one of those to end; read where Active is set
}

// Gate lets in what the limits allow, in the order of arrival. The zero value lets in everything.
type Gate struct {
	mu     sync.Mutex
	limits Limits
	active uint32
	queue  []chan struct{} // closed when its turn has come
}

// Set puts limits into force. Who is in stays in.
func (g *Gate) Set(l Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits = l
	g.admit()
}

// Enter waits for a turn. Leave must be called after it, unless it reports an error: ErrFull, or the context's.
func (g *Gate) Enter(ctx context.Context) error {
	g.mu.Lock()
	if g.limits.Active == 0 || g.active < g.limits.Active && len(g.queue) == 0 {
		g.active++
		g.mu.Unlock()
		return nil
	}
	if uint32(len(g.queue)) >= g.limits.Waiting {
		g.mu.Unlock()
		return ErrFull
	}
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, c := range g.queue {
		if c == turn {
			g.queue = append(g.queue[:i], g.queue[i+1:]...)
			return ctx.Err()
		}
	}
	g.leave() // its turn came in this very moment
	return ctx.Err()
}

// Leave ends one turn.
func (g *Gate) Leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leave()
}

func (g *Gate) leave() {
	g.active--
	g.admit()
}

func (g *Gate) admit() {
	for len(g.queue) > 0 && (g.limits.Active == 0 || g.active < g.limits.Active) {
		close(g.queue[0])
		g.queue = g.queue[1:]
		g.active++
	}
}
