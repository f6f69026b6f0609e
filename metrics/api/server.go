// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/util/compatibility"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/traffic"
)

// Options of a Server.
type Options struct {
	Source      metrics.Source
	World       metrics.World
	Client      kubernetes.Interface                                 // of the cluster that authenticates and authorizes
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error) // for the Service's name
	Ready       func() error                                         // why nobody should be sent here yet; nil: nothing is waited for
	Drain       time.Duration                                        // for requests under way at the end; 0: 5 s
	Clock       func() time.Time                                     // nil: time.Now
	Logger      *slog.Logger                                         // nil: silence
}

// Server serves the API group.
type Server struct {
	o       Options
	handler http.Handler
	generic *genericapiserver.GenericAPIServer
	runners []runner
}

// New asks the cluster how its API server proves itself, and makes a server. It serves nothing before Serve.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Drain == 0 {
		o.Drain = 5 * time.Second
	}
	s := &Server{o: o}
	who, runners, err := authentication(ctx, o.Client)
	if err != nil {
		return nil, err
	}
	may, err := authorization(o.Client)
	if err != nil {
		return nil, err
	}
	s.runners = runners
	t := newTypes()
	c := genericapiserver.NewConfig(t.codecs)
	c.Authentication.Authenticator, c.Authorization.Authorizer = who, may
	c.RequestInfoResolver = resolver{&request.RequestInfoFactory{APIPrefixes: sets.NewString("apis"), GrouplessAPIPrefixes: sets.NewString()}}
	c.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	c.ExternalAddress = "localhost:443" // in links of discovery, which nobody follows
	c.LoopbackClientConfig = &rest.Config{Host: "https://localhost"}
	c.EnableIndex, c.EnableProfiling, c.EnableMetrics, c.EnableDiscovery = false, false, false, true
	c.EnableContentionProfiling = false
	describe(c, t)
	c.ReadyzChecks = append(c.ReadyzChecks, healthz.NamedCheck("anymesh", func(*http.Request) error { return s.ready() }))
	c.BuildHandlerChainFunc = func(h http.Handler, c *genericapiserver.Config) http.Handler {
		return genericapiserver.DefaultBuildHandlerChain(t.withAsked(h), c)
	}
	if s.generic, err = c.Complete(nil).New("anymesh-metrics", genericapiserver.NewEmptyDelegate()); err != nil {
		return nil, fmt.Errorf("the API server of %s: %w", traffic.Group, err)
	}
	a := &asker{o.Source, o.World, o.Clock, o.Logger}
	if err := s.generic.InstallAPIGroup(group(t, a)); err != nil {
		return nil, fmt.Errorf("the API group %s: %w", traffic.Group, err)
	}
	s.generic.PrepareRun()
	s.handler = s.generic.Handler
	return s, nil
}

func (s *Server) ready() error {
	if s.o.Ready == nil {
		return nil
	}
	return s.o.Ready()
}

// Serve answers on a listener until the context ends; then what is under way may finish.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	for _, r := range s.runners {
		go r.Run(ctx, 1)
	}
	s.generic.RunPostStartHooks(ctx)
	// Client certificates are asked for and not checked here: those of users and of the API server are checked where headers are read.
	h := &http.Server{Handler: s.handler, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 90 * time.Second,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.o.Certificate, ClientAuth: tls.RequestClientCert},
		ErrorLog:  slog.NewLogLogger(s.o.Logger.Handler(), slog.LevelDebug)}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Drain)
		defer cancel()
		if h.Shutdown(drain) != nil {
			h.Close()
		}
	})
	err := h.ServeTLS(l, "", "")
	if !stop() {
		<-ended
	}
	s.generic.Destroy()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("the API server of %s: %w", traffic.Group, err)
}

// resolver reads URLs as SMI means them: /namespaces/shop/edges are the edges of a namespace, where Kubernetes reads edges in a namespace.
type resolver struct{ request.RequestInfoResolver }

// NewRequestInfo implements request.RequestInfoResolver.
func (r resolver) NewRequestInfo(req *http.Request) (*request.RequestInfo, error) {
	i, err := r.RequestInfoResolver.NewRequestInfo(req)
	if err != nil || i.APIGroup != traffic.Group || i.Namespace == "" || i.Resource != "edges" && i.Resource != "routes" || i.Name != "" {
		return i, err
	}
	i.Subresource, i.Resource, i.Name, i.Verb = i.Resource, "namespaces", i.Namespace, strings.Replace(i.Verb, "list", "get", 1)
	i.Parts = []string{"namespaces", i.Namespace, i.Subresource}
	return i, nil
}
