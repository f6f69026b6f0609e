// SPDX-License-Identifier: Apache-2.0

// sizes: package: two codecs ask the same policy and must answer alike, so they are read side by side

package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/anymesh/anymesh/proxy/ads"
	"github.com/anymesh/anymesh/proxy/lane"
	"github.com/anymesh/anymesh/proxy/link"
	"github.com/anymesh/anymesh/proxy/policy"
	"github.com/anymesh/anymesh/proxy/relay"
	"github.com/anymesh/anymesh/proxy/state"
	"github.com/anymesh/anymesh/proxy/stats"
	"github.com/anymesh/anymesh/proxy/udp"
	"github.com/anymesh/anymesh/proxy/upstream"
	"github.com/anymesh/anymesh/proxy/wire"
)

// DefaultInboundPort is where the proxies of a mesh expect each other.
const DefaultInboundPort = 15006

// sweepPeriod is how often unused names are dropped and connections with an outdated certificate renewed.
const sweepPeriod = 30 * time.Second

// Node is the workload that a proxy stands beside.
type Node struct {
	Namespace, Workload, Pod string
	Kind                     string     // of the workload; empty where names alone tell workloads apart
	IP                       netip.Addr // the workload's address: the proxy listens there and finds the process there
	ClusterDomain            string     // empty: cluster.local
}

// Config of a Proxy.
type Config struct {
	Node    Node
	ADS     *grpc.ClientConn  // to the control plane
	SVID    x509svid.Source   // the workload's own certificate
	Bundles x509bundle.Source // roots by trust domain
	// OutboundPort takes the workload's requests; 0 picks a free one.
	OutboundPort uint16
	// InboundPort takes mTLS, and is where peers are dialled in direct mode; 0 means DefaultInboundPort.
	InboundPort uint16
	// Direct: nothing intercepts; proxies dial each other and name the destination port in the TLS server name.
	Direct bool
	// OriginalDst tells where an intercepted connection wanted to go. Nil: the connection's own local address, which is
	// right for TPROXY. Not used in direct mode.
	OriginalDst func(net.Conn) (netip.AddrPort, error)
	// Outgoing has what the process opens led to the outbound port too. What is for no service of the mesh passes as it is.
	Outgoing bool
	// Control is called for each connection that the proxy opens, as net.Dialer does: to mark it, so that it is not led back. May be nil.
	Control func(network, address string, c syscall.RawConn) error
	// Datagrams are the local UDP ports at which the workload reaches a service and its port, as "dns.shop:53".
	Datagrams map[uint16]string
	FlowIdle  time.Duration // after which a silent flow of UDP is forgotten; 0: udp.DefaultIdle
	MaxFlows  int           // of one local port, and of one caller's link; 0: udp.DefaultFlows
	// Deadline bounds a request where its route says nothing; 0: none.
	Deadline time.Duration
	// HeadTimeout bounds the time in which a client has to send the head of a request; 0: one minute.
	HeadTimeout time.Duration
	Wait        time.Duration // for the control plane's answer about a new name; 0: 2 s
	Drain       time.Duration // for what is under way when Run's context ends; 0: 5 s
	Logger      *slog.Logger  // nil: silence
	Stats       *stats.Stats  // nil: counted nowhere else
	Access      func(Access)  // called after each request and connection; nil: nobody listens
}

// Proxy is one running proxy.
type Proxy struct {
	cfg      Config
	log      *slog.Logger
	book     *state.Book
	feed     *ads.Client
	inbound  atomic.Pointer[policy.Inbound]
	admitted chan struct{} // closed when the first inbound policy is in force
	once     sync.Once
	ready    chan struct{}

	outListener   net.Listener
	quickOutbound lane.Server // plain HTTP/1.1
	quickInbound  lane.Server
	out2, in2     relay.Server  // HTTP/2
	out, in       *http.Server  // all else
	tunnels       *wire.Handoff // connections to be sorted: odd ones, and those out of CONNECT that turned out to speak HTTP
	plain         *wire.Handoff // those of them for out
	greeted       *wire.Handoff // inbound connections after their handshake, for in
	local1        *http.Transport
	processes     sync.Map // port → *process

	outlet   *udp.Outlet
	sessions atomic.Int64    // sockets of datagrams towards the process
	ending   context.Context // ended when the proxy drains
	end      context.CancelFunc

	mu         sync.Mutex
	conns      map[*inConn]struct{}
	neighbours map[uint16]*upstream.Process // the local process, by port
	work       sync.WaitGroup               // connections of bytes
	closing    bool                         // work takes nothing new
	self       atomic.Pointer[string]
}

// New prepares a Proxy and opens its outbound port. Run makes it work.
func New(cfg Config) (*Proxy, error) {
	n := &cfg.Node
	if n.Namespace == "" || n.Workload == "" || !n.IP.IsValid() {
		return nil, errors.New("proxy: the node needs a namespace, a workload and an IP address")
	}
	if cfg.ADS == nil || cfg.SVID == nil || cfg.Bundles == nil {
		return nil, errors.New("proxy: ADS, SVID and Bundles are needed")
	}
	n.ClusterDomain = cmp.Or(n.ClusterDomain, "cluster.local")
	cfg.InboundPort = cmp.Or(cfg.InboundPort, DefaultInboundPort)
	cfg.Wait = cmp.Or(cfg.Wait, 2*time.Second)
	cfg.HeadTimeout = cmp.Or(cfg.HeadTimeout, headerTimeout)
	cfg.Drain = cmp.Or(cfg.Drain, 5*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.Stats = cmp.Or(cfg.Stats, stats.New())
	if cfg.Outgoing && (cfg.Direct || cfg.OriginalDst == nil) {
		return nil, errors.New("proxy: what the process opens cannot be led to the proxy without telling where it wanted to go")
	}
	l, err := cfg.near()
	if err != nil {
		return nil, fmt.Errorf("proxy: outbound listener of %s/%s: %w", n.Namespace, n.Workload, err)
	}
	p := &Proxy{
		cfg: cfg, log: cfg.Logger.With("workload", n.Namespace+"/"+n.Workload, "pod", n.Pod),
		admitted: make(chan struct{}), ready: make(chan struct{}), conns: map[*inConn]struct{}{}, neighbours: map[uint16]*upstream.Process{},
		outListener: l, tunnels: wire.NewHandoff(l.Addr()), plain: wire.NewHandoff(l.Addr()), greeted: wire.NewHandoff(l.Addr()),
	}
	p.ending, p.end = context.WithCancel(context.Background())
	p.assemble()
	if err := p.openOutlet(); err != nil {
		l.Close()
		return nil, err
	}
	return p, nil
}

// near opens the outbound port.
func (c *Config) near() (net.Listener, error) {
	if !c.Outgoing {
		return wire.ListenNear(c.Node.IP, c.OutboundPort)
	}
	l, err := net.Listen("tcp", c.listen(c.OutboundPort))
	if err != nil {
		return nil, err
	}
	return &wire.Near{Listener: l, Own: c.Node.IP}, nil
}

// listen is where a port is opened. What was led here comes to an address of the kernel's choice.
func (c *Config) listen(port uint16) string {
	if c.Outgoing {
		return fmt.Sprintf(":%d", port)
	}
	return netip.AddrPortFrom(c.Node.IP, port).String()
}

func (p *Proxy) assemble() {
	n := p.cfg.Node
	dial := &upstream.Dialer{SVID: p.cfg.SVID, Bundles: p.cfg.Bundles, Direct: p.cfg.Direct,
		InboundPort: p.cfg.InboundPort, Timeout: 5 * time.Second, LocalIP: n.IP, Control: p.cfg.Control}
	p.book = state.New(state.Options{
		Inbound: path.Join("inbound", n.Namespace, n.Kind, n.Workload),
		Wait:    p.cfg.Wait,
		Backend: func(name string) *upstream.Backend { return upstream.New(name, dial) },
		Admit:   p.admit,
	})
	p.feed = ads.New(p.cfg.ADS, &corev3.Node{
		Id:                   n.Namespace + "/" + n.Workload + "/" + n.Pod,
		Cluster:              n.Namespace + "/" + n.Workload,
		UserAgentName:        "anymesh",
		UserAgentVersionType: &corev3.Node_UserAgentVersion{UserAgentVersion: "1"},
		Metadata:             &structpb.Struct{Fields: map[string]*structpb.Value{"kind": structpb.NewStringValue(n.Kind)}},
	}, p.book, p.log)
	p.book.Start(p.feed)

	errlog := slog.NewLogLogger(p.log.Handler(), slog.LevelDebug)
	p.out = p.server(p.serveOutbound)
	p.out.ErrorLog = errlog
	p.out.ConnContext = tunnelContext
	p.in = p.server(p.serveInbound)
	p.in.ErrorLog = errlog
	p.in.ConnContext = inConnContext

	p.quickOutbound.Slow, p.quickInbound.Slow = p.tunnels.Push, p.greeted.Push
	for _, s := range []*lane.Server{&p.quickOutbound, &p.quickInbound} {
		s.Idle, s.Header, s.Log = idleTimeout, p.cfg.HeadTimeout, p.log
	}

	p.local1 = &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}
	upstream.Tune(p.local1)
	p.local1.Protocols.SetHTTP1(true)
}

// How long a connection may wait, for a head and between requests: longer than pooled connections are kept by the callers.
const headerTimeout, idleTimeout = time.Minute, 5 * time.Minute

func (p *Proxy) server(h http.HandlerFunc) *http.Server {
	s := &http.Server{
		Handler:           h,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: p.cfg.HeadTimeout,
		IdleTimeout:       idleTimeout,
	}
	s.Protocols.SetHTTP1(true)
	return s
}

// Ready is closed when the inbound side admits what it should and the outbound side takes requests.
func (p *Proxy) Ready() <-chan struct{} { return p.ready }

// OutboundAddr is where the workload sends its requests.
func (p *Proxy) OutboundAddr() netip.AddrPort {
	return p.outListener.Addr().(*net.TCPAddr).AddrPort()
}

// Run works until ctx ends, then lets what is under way finish for at most Config.Drain. The error is nil after an
// orderly end.
func (p *Proxy) Run(ctx context.Context) error {
	// The control plane stays connected while the proxy drains: a revocation must reach the last request too.
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	failed := make(chan error, 4)
	start := func(f func() error) {
		all.Go(func() {
			if err := f(); err != nil && !errors.Is(err, http.ErrServerClosed) && bg.Err() == nil {
				failed <- err
			}
		})
	}
	start(func() error { return p.feed.Run(bg) })
	all.Go(func() { p.book.Sweep(bg, sweepPeriod) })
	all.Go(func() { p.sweep(bg) })
	all.Go(func() { p.quickOutbound.Watch(bg) })
	all.Go(func() { p.quickInbound.Watch(bg) })
	start(p.attend)
	start(func() error { return p.sort(p.tunnels) })
	start(func() error { return p.out.Serve(p.plain) })
	all.Go(func() { p.outlet.Run(bg) })
	start(func() error { return p.in.Serve(p.greeted) })
	defer p.halt()

	var in net.Listener
	var err error
	admitted := p.admitted
	for {
		select {
		case <-ctx.Done():
		case err = <-failed:
		case <-admitted:
			// Only now: until somebody says who may come in, the port is closed.
			admitted = nil
			in, err = net.Listen("tcp", p.cfg.listen(p.cfg.InboundPort))
			if err == nil {
				defer in.Close()
				all.Go(func() { p.accept(in) })
				close(p.ready)
				continue
			}
			err = fmt.Errorf("proxy: inbound listener: %w", err)
		}
		p.drain(in)
		return err
	}
}

// attend takes what comes to the outbound port.
func (p *Proxy) attend() error {
	if p.cfg.Outgoing {
		return p.takeOver(p.outListener)
	}
	return p.quickOutbound.Serve(p.outListener, p.quickOut)
}

// Finish takes no more requests of the workload and waits for those under way, until ctx ends. The inbound side goes on: where many
// proxies end together, all of them Finish before the first one's Run is ended, so that no request finds its way closed.
func (p *Proxy) Finish(ctx context.Context) {
	p.refuse()
	var both sync.WaitGroup
	both.Go(func() { p.out2.Shutdown(ctx) })
	p.quickOutbound.Shutdown(ctx)
	_ = p.out.Shutdown(ctx) // what is left is cut when Run ends
	both.Wait()
}

// drain takes nothing new and waits for what is under way.
func (p *Proxy) drain(in net.Listener) {
	if in != nil {
		in.Close()
	}
	p.end()
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Drain)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { p.Finish(ctx) })
	all.Go(func() { p.quickInbound.Shutdown(ctx) })
	all.Go(func() { p.in.Shutdown(ctx) })
	all.Go(func() { p.in2.Shutdown(ctx) })
	all.Wait()
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		p.work.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// refuse takes nothing more that is led here; what the codec listens on itself is its own to close.
func (p *Proxy) refuse() {
	if p.cfg.Outgoing {
		p.outListener.Close()
	}
}

// track runs f as work that the drain waits for; false: too late for that.
func (p *Proxy) track(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.work.Go(f)
	}
	return !p.closing
}

// halt cuts what is left.
func (p *Proxy) halt() {
	p.quickOutbound.Close()
	p.quickInbound.Close()
	p.outlet.Close()
	p.out.Close()
	p.in.Close()
	p.out2.Close()
	p.in2.Close()
	p.plain.Close()
	p.tunnels.Close()
	p.greeted.Close()
	for _, c := range p.open() {
		c.abort()
	}
	p.mu.Lock()
	for _, n := range p.neighbours {
		n.Close()
	}
	p.mu.Unlock()
	p.local1.CloseIdleConnections()
	p.processes.Range(func(_, l any) bool {
		(*link.Links)(l.(*process)).Retire()
		return true
	})
}
