// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
	"github.com/anymesh/anymesh/xds"
)

// How long things may take that are waited for. Each of them takes milliseconds; a proxy that hangs must not hold up the others.
const (
	readyWait  = 10 * time.Second       // for the proxies of the first batch
	joinWait   = time.Second            // for new pods' proxies, before others are told of the pods
	lingerWait = 200 * time.Millisecond // for requests whose way was chosen just before
	settleWait = time.Second            // for all proxies to hear that a pod is gone, before its proxy goes too
	drainWait  = 5 * time.Second        // for requests under way at the end
)

// fleet keeps one proxy running beside each pod.
type fleet struct {
	m    *Mesh
	ctx  context.Context // of the proxies
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	keepers map[place]*keeper
	members map[*member]struct{} // that run
	started bool

	whole    chan struct{} // closed when the first batch has been told whole
	tellOnce sync.Once
}

// place is where a pod is. A pod that moves is two: the new one is there before the old one goes.
type place struct {
	pod     model.Name
	address string
}

func newFleet(m *Mesh) *fleet {
	f := &fleet{m: m, keepers: map[place]*keeper{}, members: map[*member]struct{}{}, whole: make(chan struct{})}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f
}

// add starts proxies beside the pods that are new, waits a bounded time until they work or have failed, and lists the places that are left.
// It runs in the engine's loop.
func (f *fleet) add(ctx context.Context, s *store.Store) (left []*keeper) {
	pods := map[place]*model.Pod{}
	for fact := range s.Facts {
		if p, ok := fact.(*model.Pod); ok && p.Address != "" {
			pods[place{p.Name, p.Address}] = p
		}
	}
	fresh, left := f.compare(pods)
	ctx, cancel := context.WithTimeout(ctx, joinWait)
	defer cancel()
	for _, k := range fresh {
		select {
		case <-k.tried:
		case <-ctx.Done():
		}
	}
	return left
}

func (f *fleet) compare(pods map[place]*model.Pod) (fresh, left []*keeper) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at, k := range f.keepers {
		if p := pods[at]; p != nil {
			k.leaving = false
			k.want(p)
		} else if k.pod != nil && !k.leaving {
			k.leaving = true
			left = append(left, k)
		}
	}
	for at, p := range pods {
		if f.keepers[at] == nil {
			k := &keeper{f: f, at: at, pod: p, first: p, late: f.started, wake: make(chan struct{}, 1), tried: make(chan struct{}), done: make(chan struct{})}
			f.keepers[at] = k
			fresh = append(fresh, k)
			f.wg.Go(k.run)
		}
	}
	if !f.started {
		f.started = true
		f.wg.Go(func() { f.ready(fresh) })
	}
	return fresh, left
}

// remove ends the proxies of pods that are gone, and waits until they have ended.
func (f *fleet) remove(left []*keeper) {
	f.mu.Lock()
	left = slices.DeleteFunc(left, func(k *keeper) bool { return !k.leaving }) // some may have come back
	for _, k := range left {
		k.want(nil)
	}
	f.mu.Unlock()
	for _, k := range left {
		<-k.done
	}
}

// told says that the server has all of the first batch: before, a service would not be known.
func (f *fleet) told() { f.tellOnce.Do(func() { close(f.whole) }) }

// ready waits until each of the first proxies works or has failed, and says so.
func (f *fleet) ready(first []*keeper) {
	if f.m.o.Ready == nil {
		return
	}
	limit, cancel := context.WithTimeout(f.ctx, readyWait)
	defer cancel()
	st := Status{Failed: map[model.Name]error{}}
	select {
	case <-f.whole:
	case <-limit.Done():
	}
	for _, k := range first {
		select {
		case <-k.tried:
		case <-limit.Done():
		}
		switch pod, err := k.state(); {
		case err != nil:
			st.Failed[k.at.pod] = err
		case pod == nil:
			st.Failed[k.at.pod] = fmt.Errorf("its proxy was not told in time what it admits: does the folder have its %s?", k.first.Workload)
		default:
			st.Proxies = append(st.Proxies, *pod)
		}
	}
	if f.ctx.Err() != nil {
		return
	}
	slices.SortFunc(st.Proxies, func(a, b Pod) int { return a.Name.Compare(b.Name) })
	if f.m.admin != nil {
		st.Admin = f.m.admin.Addr().String()
	}
	f.m.o.Ready(st)
}

// settle waits until every proxy has taken what it was told, for a bounded time.
func (f *fleet) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !settled(f.m.server.Statuses()) {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

func settled(all []xds.NodeStatus) bool {
	return !slices.ContainsFunc(all, func(n xds.NodeStatus) bool {
		return slices.ContainsFunc(n.Types, func(t xds.TypeStatus) bool {
			return t.Pending || t.Sent != t.Acked && (t.NACK == nil || t.NACK.Version != t.Sent)
		})
	})
}

// drain ends all proxies: first no pod is asked anything new, so that every request under way still finds whom it is for.
func (f *fleet) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainWait)
	defer cancel()
	var all sync.WaitGroup
	f.mu.Lock()
	for r := range f.members {
		all.Go(func() { r.proxy.Finish(ctx) })
	}
	f.mu.Unlock()
	all.Wait()
	f.stop()
	f.wg.Wait()
}

// authorize lets a node be a pod only with the certificate of that pod's account.
func (m *Mesh) authorize(ctx context.Context, node *core.Node) error {
	peer, err := xds.PeerID(ctx)
	if err != nil {
		return err
	}
	pod := podOf(node.GetId())
	m.fleet.mu.Lock()
	defer m.fleet.mu.Unlock()
	for r := range m.fleet.members {
		if r.pod.Name.String() == pod && r.pod.Identity().SPIFFE(m.o.Settings.TrustDomain) == peer.String() {
			return nil
		}
	}
	return fmt.Errorf("%s may not be the node %s", peer, node.GetId())
}

// podOf reads the pod's name from a node ID, namespace/workload/pod.
func podOf(node string) string {
	parts := strings.Split(node, "/")
	if len(parts) != 3 {
		return ""
	}
	return parts[0] + "/" + parts[2]
}
