// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/kube/inventory"
	"github.com/anymesh/anymesh/metrics"
	metricsapi "github.com/anymesh/anymesh/metrics/api"
	"github.com/anymesh/anymesh/metrics/ask"
	"github.com/anymesh/anymesh/metrics/facade"
	"github.com/anymesh/anymesh/metrics/remote"
)

// Traffic is what answers TrafficMetrics on a cluster: it follows which meshes there are.
type Traffic struct {
	Prometheus  string // URL for meshes that name none; empty: they have no numbers
	Credentials string // folder of folders
	Logger      *slog.Logger

	world  *inventory.Inventory
	source atomic.Pointer[ask.Source]
}

// Told takes the meshes that there are.
func (t *Traffic) Told(meshes []controller.Mesh) {
	if t.world == nil {
		return
	}
	var all []ask.Mesh
	for _, m := range meshes {
		if m.Driver.Queries == nil {
			continue
		}
		p, interval, err := t.prometheus(m.Spec.Metrics)
		if err != nil {
			t.Logger.Warn("the metrics of a mesh cannot be read", "mesh", m.Name, "error", err)
			p = unread{err}
		}
		all = append(all, ask.Mesh{Name: m.Name, Queries: m.Driver.Queries, Prometheus: p, Interval: interval})
	}
	t.source.Store(ask.New(t.world, all))
}

// unread is a Prometheus that is not known.
type unread struct{ error }

// Query implements metrics.Prometheus.
func (u unread) Query(context.Context, string, time.Time) ([]metrics.Sample, error) {
	return nil, u.error
}

func (t *Traffic) prometheus(m *api.MeshMetrics) (metrics.Prometheus, time.Duration, error) {
	var c remote.Config
	interval := 15 * time.Second
	if m == nil {
		c.URL = t.Prometheus
	} else {
		c.URL, c.Headers = m.URL, m.Headers
		var err error
		if interval, err = time.ParseDuration(cmp.Or(m.Interval, "15s")); err != nil {
			return nil, 0, fmt.Errorf("spec.metrics.interval: %w", err)
		}
		if err := t.credentials(&c, m.Credentials); err != nil {
			return nil, 0, err
		}
	}
	if c.URL == "" {
		return nil, 0, errors.New("nobody says which Prometheus scrapes it: set spec.metrics.url of the Mesh, or --prometheus")
	}
	p, err := remote.New(c)
	return p, interval, err
}

// credentials finds the files that say who asks. They lie in a folder of a name, and nowhere else, so that who may write a Mesh can not send
// the controller's other secrets to a place of his choice.
func (t *Traffic) credentials(c *remote.Config, name string) error {
	if name == "" {
		return nil
	}
	if strings.ContainsAny(name, `/\.`) || t.Credentials == "" {
		return fmt.Errorf("spec.metrics.credentials: %q is no folder of --metrics-credentials", name)
	}
	dir := filepath.Join(t.Credentials, name)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("spec.metrics.credentials: %w", err)
	}
	there := func(file string) string {
		path := filepath.Join(dir, file)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		return path
	}
	c.CA, c.Certificate, c.Key, c.TokenFile, c.PasswordFile = there("ca.crt"), there("tls.crt"), there("tls.key"), there("token"), there("password")
	if user := there("username"); user != "" {
		text, err := os.ReadFile(user)
		if err != nil {
			return fmt.Errorf("spec.metrics.credentials: %w", err)
		}
		c.User = strings.TrimSpace(string(text))
	}
	return nil
}

// Measure implements metrics.Source: it asks the meshes that are there now.
func (t *Traffic) Measure(ctx context.Context, q metrics.Question) (metrics.Answer, error) {
	s := t.source.Load()
	if s == nil {
		return metrics.Answer{}, &metrics.Unavailable{Mesh: "every mesh", Err: errors.New("it is not known yet which meshes there are")}
	}
	return s.Measure(ctx, q)
}

// next is where the façade sends what it does not answer: the installation's own Prometheus, and never one whose credentials a Mesh names, which
// nobody who asks here has shown.
func (t *Traffic) next() (http.Handler, error) {
	if t.Prometheus == "" {
		return nil, nil
	}
	return remote.New(remote.Config{URL: t.Prometheus})
}

// serveTraffic serves the extension API until the context ends. A cluster that cannot be asked yet is asked again: nothing else waits for it.
func (o *Options) serveTraffic(ctx context.Context, g *errgroup.Group, ctl *controller.Controller, c *kube.Cluster, cert certificate) error {
	t := o.Traffic
	l, err := o.listen("TrafficMetrics", o.MetricsAPI)
	if err != nil {
		return err
	}
	t.world = inventory.New(c, inventory.Options{Mesh: ctl.MeshOf, Logger: o.Logger})
	g.Go(func() error { return t.world.Run(ctx) })
	g.Go(func() error { return c.Watch(ctx, o.Logger, t.world.Serve) })
	if o.PrometheusAPI != "" {
		next, err := t.next()
		if err != nil {
			return err
		}
		l, err := o.listen("Prometheus' API", o.PrometheusAPI)
		if err != nil {
			return err
		}
		g.Go(func() error {
			return plain(ctx, l, facade.Handler(facade.Options{Source: t, World: t.world, Next: next}))
		})
	}
	g.Go(func() error {
		defer l.Close()
		for {
			s, err := metricsapi.New(ctx, metricsapi.Options{Source: t, World: t.world, Client: c.Core, Certificate: cert.Certificate, Drain: o.Drain, Logger: o.Logger})
			if err == nil {
				return s.Serve(ctx, l)
			}
			o.Logger.Warn("TrafficMetrics cannot be served yet", "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(5 * time.Second):
			}
		}
	})
	return nil
}
