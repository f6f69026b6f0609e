// SPDX-License-Identifier: Apache-2.0

// Package serve runs a controller with all that is asked of it from outside: health, metrics, and the webhook of the API server.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/deploy/schema"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/metrics/traffic"
	"github.com/anymesh/anymesh/webhook"
	"github.com/anymesh/anymesh/webhook/certs"
	"github.com/anymesh/anymesh/webhook/inject"
)

// Options say where everything is served. An empty address is not.
type Options struct {
	Namespace     string // of the Service and the Secret of the webhook
	Metrics       string
	Health        string
	Webhook       string
	MetricsAPI    string   // with the certificate of the webhook, which must be served too
	Traffic       *Traffic // that answers there
	PrometheusAPI string   // the façade, in the clear; MetricsAPI must be served too
	Certificates  string   // folder of tls.crt and tls.key; empty: the webhook's own
	Pprof         string
	Builtin       *Builtin       // the built-in mesh; nil: it is not run here
	Proxy         inject.Options // what is put into pods of the built-in mesh
	Drain         time.Duration  // for which the webhook still answers at the end
	Version       string
	Logger        *slog.Logger
	// Listening is told of each address that is served; may be nil.
	Listening func(what string, at net.Addr)
}

// Secret is the name of the webhook's Secret.
const Secret = "anymesh-webhook-cert"

// Run serves until the context ends, or something fails.
func Run(ctx context.Context, ctl *controller.Controller, c *kube.Cluster, o Options) error {
	r := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "anymesh_build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": o.Version}})
	info.Set(1)
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info, ctl.Collector())

	g, ctx := errgroup.WithContext(ctx)
	ready := ctl.Ready
	if o.Webhook != "" {
		cert, err := o.certificates(ctx, g, c)
		if err != nil {
			return err
		}
		w := webhook.Options{Judge: ctl.Judge, Ready: cert.Ready, Metrics: r}
		if o.Builtin != nil {
			o.Proxy.Mesh, o.Proxy.Version = o.Builtin.Mesh, o.Version
			w.Inject = inject.New(o.Proxy)
		}
		h, err := webhook.New(w)
		if err != nil {
			return err
		}
		l, err := o.listen("webhook", o.Webhook)
		if err != nil {
			return err
		}
		s := &webhook.Server{Handler: h, Certificate: cert.Certificate, Drain: o.Drain, Logger: o.Logger}
		g.Go(func() error { return s.Serve(ctx, l) })
		if o.MetricsAPI != "" {
			if err := o.serveTraffic(ctx, g, ctl, c, cert); err != nil {
				return err
			}
		}
		ready = cert.Ready // the API server must not miss the webhook because the controller cannot read something
	}
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn)}))
	for _, s := range []struct {
		what, at string
		handler  http.Handler
	}{{"metrics", o.Metrics, metrics}, {"health", o.Health, health(ctl, ready)}, {"pprof", o.Pprof, profiles()}} {
		if s.at == "" {
			continue
		}
		l, err := o.listen(s.what, s.at)
		if err != nil {
			return err
		}
		g.Go(func() error { return plain(ctx, l, s.handler) })
	}
	if o.Builtin != nil {
		g.Go(o.Builtin.Run)
	}
	g.Go(func() error { return ctl.Run(ctx) })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// certificate is one that is kept fresh.
type certificate interface {
	Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	Ready() error
}

func (o *Options) certificates(ctx context.Context, g *errgroup.Group, c *kube.Cluster) (certificate, error) {
	if o.Certificates != "" {
		f, err := certs.Open(filepath.Join(o.Certificates, "tls.crt"), filepath.Join(o.Certificates, "tls.key"), o.Logger)
		if err != nil {
			return nil, err
		}
		g.Go(func() error { f.Run(ctx, 0); return nil })
		return f, nil
	}
	var names []string
	for _, d := range deploy.CRDs() {
		if d.Spec.Conversion != nil && d.Spec.Conversion.Webhook != nil {
			names = append(names, d.Name)
		}
	}
	options := certs.Options{Namespace: o.Namespace, Service: schema.Service, Secret: Secret, Definitions: names, Validation: deploy.Validation().Name, Logger: o.Logger}
	if o.MetricsAPI != "" {
		for _, v := range traffic.Versions() {
			options.Extensions = append(options.Extensions, v.Version+"."+traffic.Group)
		}
	}
	if o.Builtin != nil {
		options.Injection = deploy.Injection().Name
	}
	m := certs.Manage(c.Dynamic, options)
	g.Go(func() error { m.Run(ctx); return nil })
	return m, nil
}

func (o *Options) listen(what, at string) (net.Listener, error) {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	o.Logger.Info("listening", "for", what, "at", l.Addr().String())
	if o.Listening != nil {
		o.Listening(what, l.Addr())
	}
	return l, nil
}

// health answers whether the process is to be restarted, whether it is to be sent anything, and whether the controller knows everything.
func health(ctl *controller.Controller, ready func() error) http.Handler {
	m := http.NewServeMux()
	say := func(w http.ResponseWriter, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	}
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { say(w, ctl.Alive(r.Context())) })
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { say(w, ready()) })
	m.HandleFunc("GET /readyz/controller", func(w http.ResponseWriter, _ *http.Request) { say(w, ctl.Ready()) })
	return m
}

func profiles() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/debug/pprof/", pprof.Index)
	m.HandleFunc("/debug/pprof/profile", pprof.Profile)
	m.HandleFunc("/debug/pprof/trace", pprof.Trace)
	m.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	m.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	return m
}

// plain serves without TLS until the context ends.
func plain(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
