// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/stat"
	"github.com/anymesh/anymesh/kube/connect"
	"github.com/anymesh/anymesh/kube/inventory"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/metrics"
	"github.com/anymesh/anymesh/metrics/remote"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/up/world"
)

// measuring is what every command that asks for traffic is told by its flags: who is asked, about which namespaces, over which time.
type measuring struct {
	cluster
	admin     string
	server    remote.Config
	headers   []string
	mesh      string
	why       bool // it is asked why there are no numbers
	files     input
	every     bool
	namespace string
	window    time.Duration
	command   *cobra.Command
}

const adminAddress = "127.0.0.1:15000"

func (m *measuring) flags(c *cobra.Command) {
	m.cluster.flags(c)
	f := c.Flags()
	m.files = input{namespace: "default", access: "targeted", settings: *model.Defaults()}
	f.StringVarP(&m.namespace, "namespace", "n", "", "`NAMESPACE` of the resources; the context's without, and all of a mesh on this machine")
	f.BoolVarP(&m.every, "all-namespaces", "A", false, "resources of all namespaces")
	f.StringVar(&m.mesh, "mesh", "", "`MESH` whose proxies that Prometheus scrapes: "+strings.Join(measured(), ", "))
	f.StringArrayVarP(&m.files.paths, "file", "f", nil, "with --prometheus: the resources that there are, from `FILE|DIR|-`")
	m.storeFlags(c)
	complete(c, "mesh", measured()...)
	_ = c.MarkFlagFilename("file", "yaml", "yml", "json")
}

// storeFlags are those that say where the numbers are, and over which time.
func (m *measuring) storeFlags(c *cobra.Command) {
	f := c.Flags()
	m.command = c
	f.StringVar(&m.admin, "admin", adminAddress, "`ADDRESS` of the admin port of anymesh up")
	f.DurationVar(&m.window, "window", metrics.DefaultWindow, "the `TIME` that is measured, up to now")
	f.StringVar(&m.server.URL, "prometheus", "", "ask the Prometheus at `URL` itself, for the mesh of --mesh; the resources are those of -f, or of the cluster")
	f.StringVar(&m.server.CA, "prometheus-ca", "", "`FILE` of the CA of Prometheus")
	f.StringVar(&m.server.TokenFile, "prometheus-token", "", "`FILE` of a bearer token for Prometheus")
	f.StringArrayVar(&m.headers, "prometheus-header", nil, "`NAME=VALUE` of a header for Prometheus, such as X-Scope-OrgID=tenant; may be repeated")
	_ = c.MarkFlagFilename("prometheus-ca")
	_ = c.MarkFlagFilename("prometheus-token")
}

// measured are the meshes that are known to count.
func measured() (out []string) {
	for _, d := range all.Drivers() {
		if d.Queries != nil {
			out = append(out, d.Name)
		}
	}
	return out
}

// open finds who is asked: what flags name, else the mesh on this machine where one runs, else the cluster.
func (m *measuring) open(ctx context.Context) (*stat.Door, error) {
	switch {
	case m.server.URL != "":
		return m.prometheus(ctx)
	case m.command.Flags().Changed("admin"):
		if err := alive(ctx, m.admin); err != nil {
			return nil, fmt.Errorf("no mesh of this machine answers on %s: start one with anymesh up, or name its admin port with --admin: %w", m.admin, err)
		}
		return m.here(), nil
	case !m.command.Flags().Changed("kubeconfig") && !m.command.Flags().Changed("context") && alive(ctx, m.admin) == nil:
		return m.here(), nil
	}
	conn, err := m.cluster.open()
	if errors.Is(err, connect.ErrNone) {
		return nil, fmt.Errorf("nobody to ask: no mesh runs on this machine (anymesh up), no Prometheus is named (--prometheus URL --mesh MESH), and %w", err)
	} else if err != nil {
		return nil, err
	}
	m.place(conn)
	return stat.Cluster(conn)
}

func (m *measuring) here() *stat.Door {
	return stat.HTTP("the mesh on this machine ("+m.admin+")", "http://"+m.admin)
}

// place is the namespace that a cluster's commands are about.
func (m *measuring) place(conn *connect.Cluster) {
	if m.namespace == "" && !m.every {
		m.namespace = conn.Namespace
	}
}

// alive says why no mesh of this machine answers.
func alive(ctx context.Context, admin string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/healthz", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(io.LimitReader(res.Body, 16)); err != nil || res.StatusCode != http.StatusOK || string(body) != "ok\n" {
		return fmt.Errorf("what answers there is not anymesh up")
	}
	return nil
}

// prometheus asks a Prometheus in this process.
func (m *measuring) prometheus(ctx context.Context) (*stat.Door, error) {
	d, p, err := m.named()
	if err != nil {
		return nil, err
	}
	w, err := m.resources(ctx, d)
	if err != nil {
		return nil, err
	}
	return stat.Prometheus(d, p, w), nil
}

// named is the mesh and the Prometheus that flags name.
func (m *measuring) named() (*mesh.Driver, *remote.Client, error) {
	i := slices.IndexFunc(all.Drivers(), func(d *mesh.Driver) bool { return d.Name == m.mesh && d.Queries != nil })
	if i < 0 {
		return nil, nil, fmt.Errorf("--prometheus needs --mesh MESH: whose proxies it scrapes. There are %s", strings.Join(measured(), ", "))
	}
	m.server.Headers = map[string]string{}
	for _, h := range m.headers {
		name, value, ok := strings.Cut(h, "=")
		if !ok {
			return nil, nil, fmt.Errorf("--prometheus-header %s: write NAME=VALUE", h)
		}
		m.server.Headers[name] = value
	}
	p, err := remote.New(m.server)
	return all.Drivers()[i], p, err
}

// resources are what there is: in files, or in the cluster, which is read once.
func (m *measuring) resources(ctx context.Context, d *mesh.Driver) (metrics.World, error) {
	if len(m.files.paths) > 0 {
		_, events, err := m.files.read(m.command, false)
		if err != nil {
			return nil, err
		}
		w, s := world.New(d.Name), gather(events)
		w.Tell(s.Facts, s.Settings().ClusterDomain)
		return w, nil
	}
	conn, err := m.cluster.open()
	if errors.Is(err, connect.ErrNone) {
		return nil, fmt.Errorf("a Prometheus does not tell which resources there are: name them with -f FILE, or a cluster: %w", err)
	} else if err != nil {
		return nil, err
	}
	m.place(conn)
	served, err := conn.Discover()
	if err != nil {
		return nil, err
	}
	i := inventory.New(conn.Cluster, inventory.Options{Mesh: func(string) string { return d.Name }})
	i.Serve(served)
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	return i, connect.Until(ctx, 30*time.Second, "the cluster's resources could not be read", func() error {
		select {
		case err := <-ended:
			return err
		default:
			return i.Ready()
		}
	})
}
