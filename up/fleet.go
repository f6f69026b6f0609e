// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"errors"
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

// How long things may take that are waited for.
const (
	readyWait  = 10 * time.Second // for the proxies of the first batch
	settleWait = 2 * time.Second  // for all proxies to hear that a pod is gone, before its proxy goes too
	drainWait  = 5 * time.Second  // for requests under way at the end
)

// fleet keeps one proxy running beside each pod.
type fleet struct {
	m    *Mesh
	ctx  context.Context // of the proxies
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	keepers map[model.Name]*keeper
	owners  map[string]*member // who may speak for a node
	started bool
}

func newFleet(m *Mesh) *fleet {
	f := &fleet{m: m, keepers: map[model.Name]*keeper{}, owners: map[string]*member{}}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f
}

// want says which pods there are now. It runs in the engine's loop, and does not wait for their proxies.
func (f *fleet) want(s *store.Store) {
	pods := map[model.Name]*model.Pod{}
	for fact := range s.Facts {
		if p, ok := fact.(*model.Pod); ok && p.Address != "" {
			pods[p.Name] = p
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var fresh []*keeper
	for n, k := range f.keepers {
		k.want(pods[n])
	}
	for n, p := range pods {
		if f.keepers[n] == nil {
			k := &keeper{f: f, name: n, pod: p, wake: make(chan struct{}, 1), tried: make(chan struct{})}
			f.keepers[n] = k
			fresh = append(fresh, k)
			f.wg.Go(k.run)
		}
	}
	if !f.started {
		f.started = true
		f.wg.Go(func() { f.ready(fresh) })
	}
}

// ready waits until each of the first proxies works or has failed, and says so.
func (f *fleet) ready(first []*keeper) {
	if f.m.o.Ready == nil {
		return
	}
	limit, cancel := context.WithTimeout(f.ctx, readyWait)
	defer cancel()
	st := Status{Failed: map[model.Name]error{}}
	for _, k := range first {
		select {
		case <-k.tried:
		case <-limit.Done():
		}
		switch pod, err := k.state(); {
		case err != nil:
			st.Failed[k.name] = err
		case pod == nil:
			st.Failed[k.name] = errors.New("its proxy was not told in time what it admits")
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
func (f *fleet) settle() {
	ctx, cancel := context.WithTimeout(f.ctx, settleWait)
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
	for _, r := range f.owners {
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
	m.fleet.mu.Lock()
	r := m.fleet.owners[podOf(node.GetId())]
	m.fleet.mu.Unlock()
	if r == nil || peer.String() != r.pod.Identity().SPIFFE(m.o.Settings.TrustDomain) {
		return fmt.Errorf("%s may not be the node %s", peer, node.GetId())
	}
	return nil
}

// podOf reads the pod's name from a node ID, namespace/workload/pod.
func podOf(node string) string {
	parts := strings.Split(node, "/")
	if len(parts) != 3 {
		return ""
	}
	return parts[0] + "/" + parts[2]
}
