// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/deploy/manifest"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/connect"
)

// cluster is what every command that asks a cluster is told by its flags, which are kubectl's.
type cluster struct {
	access kube.Access
	system string // the namespace that anymesh lives in
}

func (k *cluster) flags(c *cobra.Command) {
	c.Flags().StringVar(&k.access.Kubeconfig, "kubeconfig", "", "`FILE` that says how clusters are reached; $KUBECONFIG or ~/.kube/config without")
	c.Flags().StringVar(&k.access.Context, "context", "", "`CONTEXT` of the kubeconfig; the current one without")
	_ = c.MarkFlagFilename("kubeconfig")
}

// systemFlag adds the flag that says where anymesh lives.
func (k *cluster) systemFlag(c *cobra.Command, name, short string) {
	c.Flags().StringVarP(&k.system, name, short, manifest.Namespace, "`NAMESPACE` that anymesh lives in")
}

// open finds the cluster; it asks it nothing yet.
func (k *cluster) open() (*connect.Cluster, error) { return connect.Open(k.access) }

// nothing refuses arguments.
func nothing(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return misused(c, fmt.Errorf("%s takes no arguments", c.Name()))
}
