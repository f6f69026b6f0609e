// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/stat"
	"github.com/anymesh/anymesh/mesh/builtin"
	"github.com/anymesh/anymesh/metrics/remote"
)

// whyFlags are those of check --metrics.
func (m *measuring) whyFlags(c *cobra.Command) {
	m.storeFlags(c)
	c.Flags().BoolVar(&m.why, "metrics", false, "look why there are no metrics: of the mesh on this machine, or at --prometheus for --mesh")
}

// diagnose looks why there are no metrics.
func (m *measuring) diagnose(c *cobra.Command, meshes []string, format string, strict bool) error {
	if m.window <= 0 {
		return misused(c, errors.New("--window: it must be more than nothing"))
	}
	d, err := m.doctor(meshes)
	if err != nil {
		return err
	}
	ctx, stop := interruptible(c.Context())
	defer stop()
	lines := d.Run(ctx)
	if err := result(c, format, lines, func() error { return tellLines(c.OutOrStdout(), lines) }); err != nil {
		return err
	}
	return judged(lines, strict)
}

// doctor looks at the Prometheus that flags name, or at that of the mesh on this machine.
func (m *measuring) doctor(meshes []string) (*stat.Doctor, error) {
	if m.server.URL == "" {
		p, err := remote.New(remote.Config{URL: "http://" + m.admin})
		return &stat.Doctor{Prometheus: p, Where: "that of the mesh on this machine (" + m.admin + ")", Mesh: builtin.Driver, Window: m.window}, err
	}
	if len(meshes) != 1 {
		return nil, fmt.Errorf("check --metrics --prometheus URL needs one --mesh MESH: whose proxies it scrapes")
	}
	m.mesh = meshes[0]
	d, p, err := m.named()
	if err != nil {
		return nil, err
	}
	return &stat.Doctor{Prometheus: p, Where: p.URL(), Mesh: d, Window: m.window}, nil
}
