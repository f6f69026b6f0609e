// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs the real control plane of Kubernetes in one process, on loopback: etcd, kube-apiserver and those controllers
// that a mesh meets. There is no scheduler and no kubelet; package pods stands for both.
//
// What it uses of k8s.io/kubernetes is not made as a library: apiserver.go and controllers.go are all that touches it, and the version is
// pinned in go.mod.
package controlplane

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/anymesh/anymesh/test/cluster/pki"
)

// Options of a control plane.
type Options struct {
	Dir         string     // its state: keys and etcd's data. A control plane started on the folder of another goes on with what that knew
	Port        int        // of the API server on 127.0.0.1; 0: a free one
	ServiceCIDR *net.IPNet // of the ClusterIPs
	Log         string     // file to which etcd writes; the others use klog
}

// ControlPlane runs until its context ends.
type ControlPlane struct {
	Config *rest.Config // of the admin
	Keys   pki.Folder
	ended  chan error
}

// Start starts a control plane and returns when it does its work: the API server is ready and its controllers act. Call Wait afterwards.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("state of the cluster: %w", err)
	}
	keys, err := pki.Open(filepath.Join(o.Dir, "pki"), net.IPv4(127, 0, 0, 1), first(o.ServiceCIDR))
	if err != nil {
		return nil, err
	}
	etcd, err := startEtcd(ctx, &o)
	if err != nil {
		return nil, err
	}
	l, err := listen(o.Port)
	if err != nil {
		etcd.Close()
		return nil, err
	}
	c := &ControlPlane{Keys: keys, ended: make(chan error, 1), Config: &rest.Config{
		Host: "https://" + l.Addr().String(), QPS: -1, // the server is for nobody else
		TLSClientConfig: rest.TLSClientConfig{CAFile: keys.CA(), CertFile: keys.Cert(pki.Admin), KeyFile: keys.Key(pki.Admin)},
	}}
	if err := rest.LoadTLSFiles(c.Config); err != nil {
		etcd.Close()
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	go func() {
		err := serve(run, l, etcd.Clients[0].Addr().String(), &o, keys)
		cancel()
		etcd.Close()
		c.ended <- err
	}()
	if err := c.ready(run); err != nil {
		cancel()
		if ended := <-c.ended; ended != nil {
			err = ended
		}
		return nil, err
	}
	return c, nil
}

// Wait returns when the control plane has ended and its state is on disk: nil after the context's end.
func (c *ControlPlane) Wait() error { return <-c.ended }

// ready waits for the API server, starts the controllers, and waits for the first thing that they do.
func (c *ControlPlane) ready(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	if err := until(ctx, "the API server is not ready", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	if err := register(ctx, client); err != nil {
		return err
	}
	if err := c.control(ctx); err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	return until(ctx, "the controllers do nothing", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// patience is how long a control plane may take to start: seconds are usual, and a busy machine may need many.
const patience = 3 * time.Minute

// until asks again until there is no error, and says what is not so when its patience ends.
func until(ctx context.Context, not string, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", not, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// WriteKubeconfig writes the admin's kubeconfig; a reader never sees half of it.
func (c *ControlPlane) WriteKubeconfig(path string) error {
	k := clientcmdapi.NewConfig()
	t := c.Config.TLSClientConfig
	k.Clusters["cluster"] = &clientcmdapi.Cluster{Server: c.Config.Host, CertificateAuthorityData: t.CAData}
	k.AuthInfos["admin"] = &clientcmdapi.AuthInfo{ClientCertificateData: t.CertData, ClientKeyData: t.KeyData}
	k.Contexts["cluster"] = &clientcmdapi.Context{Cluster: "cluster", AuthInfo: "admin"}
	k.CurrentContext = "cluster"
	if err := clientcmd.WriteToFile(*k, path+".new"); err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	return os.Rename(path+".new", path)
}
