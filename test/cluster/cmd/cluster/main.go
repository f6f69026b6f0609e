// SPDX-License-Identifier: Apache-2.0

// cluster is Kubernetes on one machine in one process, for tests and for the demo: etcd, the real API server and the controllers that a mesh
// meets, ready in seconds, without images, root or a container runtime.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"github.com/anymesh/anymesh/test/cluster/controlplane"
	"github.com/anymesh/anymesh/test/cluster/pki"
	"github.com/anymesh/anymesh/test/cluster/pods"
)

type options struct {
	dir, kubeconfig string
	port            int
	cidr            string
	tied            bool
	pods, only      bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "keep state in `DIR`; on a folder of before it goes on where that ended. Empty: a temporary one")
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "write the admin's kubeconfig to `FILE` when ready; in the folder if empty")
	flag.IntVar(&o.port, "port", 0, "`PORT` of the API server on 127.0.0.1; 0: a free one")
	flag.StringVar(&o.cidr, "service-cidr", "127.96.0.0/16", "`RANGE` of ClusterIPs; those in 127.0.0.0/8 can be listened on by anybody")
	flag.BoolVar(&o.pods, "run-pods", false, "run the commands of Pods as processes of this machine; images do not count")
	flag.BoolVar(&o.only, "only-pods", false, "run the Pods of the cluster that runs in DIR, and nothing else: they then outlive it")
	flag.BoolVar(&o.tied, "tied", false, "end when standard input ends: with the process that started this one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if o.tied {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	begun := time.Now()
	_, services, err := net.ParseCIDR(o.cidr)
	if err != nil || services.IP.To4() == nil {
		return fmt.Errorf("--service-cidr %s is no IPv4 range such as 127.96.0.0/16", o.cidr)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "cluster"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if o.kubeconfig == "" {
		o.kubeconfig = filepath.Join(o.dir, "kubeconfig")
	}
	if o.only {
		return onlyPods(ctx, &o)
	}
	logs := filepath.Join(o.dir, "cluster.log")
	if err := logTo(logs); err != nil {
		return err
	}
	c, err := controlplane.Start(ctx, controlplane.Options{Dir: o.dir, Port: o.port, ServiceCIDR: services, Log: logs})
	if err != nil {
		return fmt.Errorf("%w (its log is %s)", err, logs)
	}
	if o.pods {
		r, err := runner(c.Config, o.dir)
		if err != nil {
			return err
		}
		var running sync.WaitGroup
		defer running.Wait()
		running.Go(func() {
			if err := r.Run(ctx); err != nil {
				klog.ErrorS(err, "pods do not run")
			}
		})
	}
	if err := c.WriteKubeconfig(o.kubeconfig); err != nil {
		return err
	}
	fmt.Printf("ready after %v at %s; export KUBECONFIG=%s\n", time.Since(begun).Round(time.Millisecond), c.Config.Host, o.kubeconfig)
	return c.Wait()
}

// onlyPods runs the pods of a cluster that runs already.
func onlyPods(ctx context.Context, o *options) error {
	if err := logTo(filepath.Join(o.dir, "pods.log")); err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		return fmt.Errorf("no cluster runs in %s: %w", o.dir, err)
	}
	r, err := runner(cfg, o.dir)
	if err != nil {
		return err
	}
	fmt.Println("pods run")
	return r.Run(ctx)
}

// runner is one of the pods of the cluster in a folder.
func runner(cfg *rest.Config, dir string) (*pods.Runner, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	return pods.New(pods.Options{Client: client, Node: controlplane.Node, Dir: filepath.Join(dir, "pods"), Keys: pki.Folder(filepath.Join(dir, "pki"))})
}

// logTo sends what Kubernetes' parts log to a file: they say much, and most of it at every start.
func logTo(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("state of the cluster: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	var flags flag.FlagSet
	klog.InitFlags(&flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := flags.Set(name, value); err != nil {
			return err
		}
	}
	klog.SetOutput(f)
	return nil
}
