// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
	"github.com/anymesh/anymesh/store"
	"github.com/anymesh/anymesh/xds"
)

// fleet keeps one proxy running beside each pod.
type fleet struct {
	m       *Mesh
	mu      sync.Mutex
	running map[model.Name]*member
	owners  map[string]model.Identity // which identity a node may have
	failed  map[model.Name]error
	started bool
	wg      sync.WaitGroup
}

// member is one pod with its proxy.
type member struct {
	pod    model.Pod
	proxy  *proxy.Proxy
	cancel context.CancelFunc
}

func newFleet(m *Mesh) *fleet {
	return &fleet{m: m, running: map[model.Name]*member{}, owners: map[string]model.Identity{}, failed: map[model.Name]error{}}
}

// want starts and stops proxies for the pods that there are now. It runs in the engine's loop, and does not wait for them.
func (f *fleet) want(s *store.Store) {
	pods := map[model.Name]*model.Pod{}
	for fact := range s.Facts {
		if p, ok := fact.(*model.Pod); ok && p.Address != "" {
			pods[p.Name] = p
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for n, r := range f.running {
		if p := pods[n]; p == nil || p.Address != r.pod.Address || p.Account != r.pod.Account || p.Workload != r.pod.Workload {
			r.cancel()
			delete(f.running, n)
			delete(f.owners, r.node())
		}
	}
	var fresh []*member
	for _, p := range pods {
		if f.running[p.Name] != nil {
			continue
		}
		if r, err := f.start(p); err != nil {
			if f.failed[p.Name] == nil || f.failed[p.Name].Error() != err.Error() {
				f.m.log.Error("a pod has no proxy", "pod", p.Name.String(), "error", err)
			}
			f.failed[p.Name] = err
		} else {
			delete(f.failed, p.Name)
			fresh = append(fresh, r)
		}
	}
	if first := !f.started && len(pods) > 0; first {
		f.started = true
		f.wg.Go(func() { f.ready(fresh) })
	}
}

// ready waits until proxies have been told what they admit, and says so.
func (f *fleet) ready(fresh []*member) {
	if f.m.o.Ready == nil {
		return
	}
	limit := time.After(10 * time.Second)
	st := Status{Failed: map[model.Name]error{}}
	for _, r := range fresh {
		select {
		case <-r.proxy.Ready():
			st.Proxies = append(st.Proxies, Pod{r.pod.Name, r.pod.Identity(), r.proxy.OutboundAddr().String(), r.pod.Address})
		case <-limit:
			st.Failed[r.pod.Name] = errors.New("its proxy was not told in time what it admits")
		}
	}
	f.mu.Lock()
	for n, err := range f.failed {
		st.Failed[n] = err
	}
	f.mu.Unlock()
	slices.SortFunc(st.Proxies, func(a, b Pod) int { return a.Name.Compare(b.Name) })
	if f.m.admin != nil {
		st.Admin = f.m.admin.Addr().String()
	}
	f.m.o.Ready(st)
}

func (r *member) node() string { return r.pod.Name.String() }

// start runs a proxy beside a pod. The caller holds the lock.
func (f *fleet) start(p *model.Pod) (*member, error) {
	ip, err := netip.ParseAddr(p.Address)
	if err != nil {
		return nil, fmt.Errorf("its address %q is not an IP address", p.Address)
	}
	if !ip.IsLoopback() {
		return nil, fmt.Errorf("its address %s is not on this machine: give it one in 127.0.0.0/8 (status.podIP)", ip)
	}
	src, err := f.m.source(p.Identity())
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+f.m.ads.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(
		identity.ClientTLS(src, identity.Only(f.m.controlPlane())))))
	if err != nil {
		return nil, err
	}
	px, err := proxy.New(proxy.Config{
		Node: proxy.Node{Namespace: p.Name.Namespace, Kind: string(p.Workload.Kind), Workload: p.Workload.Name.Name, Pod: p.Name.Name, IP: ip, ClusterDomain: f.m.o.Settings.ClusterDomain},
		ADS:  conn, SVID: src, Bundles: src, OutboundPort: f.m.o.OutboundPort, InboundPort: f.m.o.InboundPort, Direct: true,
		Logger: f.m.log.With("pod", p.Name.String()), Stats: f.m.stats, Access: f.m.o.Access,
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &member{*p, px, cancel}
	f.running[p.Name], f.owners[r.node()] = r, p.Identity()
	f.wg.Go(func() {
		defer conn.Close()
		if err := px.Run(ctx); err != nil && ctx.Err() == nil {
			f.m.log.Error("a proxy ended", "pod", p.Name.String(), "error", err)
		}
	})
	return r, nil
}

// stop drains all proxies.
func (f *fleet) stop() {
	f.mu.Lock()
	for _, r := range f.running {
		r.cancel()
	}
	f.mu.Unlock()
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
	id, ok := m.fleet.owners[pod]
	m.fleet.mu.Unlock()
	if !ok || peer.String() != id.SPIFFE(m.o.Settings.TrustDomain) {
		return fmt.Errorf("%s may not be the node %s", peer, node.GetId())
	}
	return nil
}

// controlPlane is who the control plane is.
func (m *Mesh) controlPlane() spiffeid.ID {
	id, err := identity.ID(m.o.Settings.TrustDomain, controlPlane.Namespace, controlPlane.ServiceAccount)
	if err != nil {
		panic("up: " + err.Error()) // New has checked the trust domain, the rest is fixed
	}
	return id
}

// podOf reads the pod's name from a node ID, namespace/workload/pod.
func podOf(node string) string {
	parts := strings.Split(node, "/")
	if len(parts) != 3 {
		return ""
	}
	return parts[0] + "/" + parts[2]
}
