// SPDX-License-Identifier: Apache-2.0

package up

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/anymesh/anymesh/identity"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/proxy"
)

// The pauses after failures of a pod's proxy, doubled from the first to the last: a port may come free.
const firstPause, lastPause = 20 * time.Millisecond, 2 * time.Second

// keeper keeps a proxy beside one pod, one at a time: where the pod's account changes, the old one ends before the new one begins,
// since both want the same ports.
type keeper struct {
	f     *fleet
	at    place
	first *model.Pod    // as it was when it came
	late  bool          // not of the first batch, of which Ready speaks
	wake  chan struct{} // the pod has changed
	tried chan struct{} // closed when the first proxy works, or has failed
	done  chan struct{} // closed when the keeper has ended

	// Guarded by the fleet's lock.
	pod     *model.Pod // nil: gone
	leaving bool       // the pod is gone, and its proxy is about to
	up      *Pod       // whose proxy works
	err     error      // why none works
}

// member is one proxy beside a pod.
type member struct {
	pod   model.Pod
	proxy *proxy.Proxy
	conn  *grpc.ClientConn
}

// want takes what the pod is now. The caller holds the lock.
func (k *keeper) want(p *model.Pod) {
	old := k.pod
	k.pod = p
	if p != nil && old != nil && same(old, p) || p == old {
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// same says whether one proxy can stand beside both.
func same(a, b *model.Pod) bool {
	return a.Account == b.Account && a.Workload == b.Workload && maps.Equal(a.Datagrams, b.Datagrams)
}

// state is the pod whose proxy works, or why none does.
func (k *keeper) state() (*Pod, error) {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	return k.up, k.err
}

// run keeps the proxy until the pod is gone or the mesh ends.
func (k *keeper) run() {
	defer close(k.done)
	pause := firstPause
	for {
		p := k.next()
		if p == nil {
			return
		}
		err := k.serve(p)
		if err == nil {
			pause = firstPause
			continue
		}
		k.tell(nil, explain(err))
		select {
		case <-k.f.ctx.Done():
		case <-k.wake:
			pause = firstPause
			continue
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
}

// now is what the pod is.
func (k *keeper) now() *model.Pod {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	return k.pod
}

// next is the pod to serve; nil at the end of it or of the mesh, and of the keeper.
func (k *keeper) next() *model.Pod {
	k.f.mu.Lock()
	defer k.f.mu.Unlock()
	if k.f.ctx.Err() != nil || k.pod == nil {
		delete(k.f.keepers, k.at)
		return nil
	}
	return k.pod
}

// tell takes what became of the pod's proxy, and says it where it is news.
func (k *keeper) tell(up *Pod, err error) {
	k.f.mu.Lock()
	first := k.up == nil && k.err == nil
	news := up != nil || k.err == nil || k.err.Error() != err.Error()
	k.up, k.err = up, err
	k.f.mu.Unlock()
	spoken := first && !k.late && k.f.m.o.Ready != nil // by Ready
	if err != nil && news && !spoken {
		k.f.m.log.Error("a pod has no proxy", "pod", k.at.pod.String(), "error", err)
	}
	if first {
		close(k.tried)
	}
	if told := k.f.m.o.Pod; told != nil && news && (k.late || !first) {
		if up == nil {
			up = &Pod{Name: k.at.pod, Address: k.at.address}
		}
		told(*up, err)
	}
}

// serve runs one proxy until the pod changes, the mesh ends or the proxy fails.
func (k *keeper) serve(p *model.Pod) error {
	r, err := k.f.m.start(p)
	if err != nil {
		return err
	}
	defer r.conn.Close()
	ctx, cancel := context.WithCancel(k.f.ctx)
	defer cancel()
	k.f.mu.Lock()
	k.f.members[r] = struct{}{}
	k.f.mu.Unlock()
	defer func() {
		k.f.mu.Lock()
		delete(k.f.members, r)
		k.f.mu.Unlock()
	}()
	ended := make(chan error, 1)
	go func() { ended <- r.proxy.Run(ctx) }()
	ready := r.proxy.Ready()
	for {
		select {
		case err := <-ended:
			if err == nil && k.f.ctx.Err() == nil {
				err = errors.New("its proxy ended")
			}
			return err
		case <-ready:
			ready = nil
			k.tell(&Pod{p.Name, p.Identity(), r.proxy.OutboundAddr().String(), p.Address}, nil)
		case <-k.wake:
			if now := k.now(); now != nil && same(now, p) {
				continue
			}
			cancel()
			return <-ended
		}
	}
}

// start makes the proxy of a pod.
func (m *Mesh) start(p *model.Pod) (*member, error) {
	ip, err := netip.ParseAddr(p.Address)
	if err != nil {
		return nil, fmt.Errorf("its address %q is not an IP address", p.Address)
	}
	if !ip.IsLoopback() {
		return nil, fmt.Errorf("its address %s is not on this machine: give it one in 127.0.0.0/8 (status.podIP)", ip)
	}
	src, err := m.source(p.Identity())
	if err != nil {
		return nil, err
	}
	conn, err := grpc.NewClient("passthrough:///"+m.ads.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(
		identity.ClientTLS(src, identity.Only(m.controlPlane())))))
	if err != nil {
		return nil, err
	}
	px, err := proxy.New(proxy.Config{
		Node: proxy.Node{Namespace: p.Name.Namespace, Kind: string(p.Workload.Kind), Workload: p.Workload.Name.Name, Pod: p.Name.Name, IP: ip, ClusterDomain: m.o.Settings.ClusterDomain},
		ADS:  conn, SVID: src, Bundles: src, OutboundPort: m.o.OutboundPort, InboundPort: m.o.InboundPort, Direct: true, Datagrams: p.Datagrams,
		Logger: m.log.With("pod", p.Name.String()), Stats: m.stats, Access: m.passed(p.Identity()), Drain: drainWait,
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &member{*p, px, conn}, nil
}

// blocked is an error of the world in words that say what to do.
type blocked struct {
	message string
	cause   error
}

func (b *blocked) Error() string { return b.message }
func (b *blocked) Unwrap() error { return b.cause }

// explain says what to do about a port that could not be had.
func explain(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Addr == nil {
		return err
	}
	host, port, _ := net.SplitHostPort(op.Addr.String())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &blocked{fmt.Sprintf("port %s of %s is in use: end the process that has it (another mesh?), or choose other ports", port, host), err}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &blocked{fmt.Sprintf("this machine has no address %s", host), err}
	}
	return err
}
