// SPDX-License-Identifier: Apache-2.0

// Package kubetest gives tests a real Kubernetes: etcd, the API server and the controllers of its release, in one process of their own on
// loopback, ready in seconds. Nothing is simulated, and nothing need be installed.
//
//	var shared kubetest.Shared // one cluster for the tests of a package
//
//	func TestMain(m *testing.M) { os.Exit(shared.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		c := shared.Cluster(t)
//		ns := c.Namespace(t)
//		...
//	}
//
// With -short such tests are skipped.
package kubetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/anymesh/anymesh/test/kubetest/binary"
)

// Cluster is a running Kubernetes.
type Cluster struct {
	Kubeconfig string       // file of the admin's
	Config     *rest.Config // the same
	Dynamic    dynamic.Interface
	Dir        string // its state; cluster.log in it is what its parts log, pki its keys

	flags   []string
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	process *binary.Process

	mu      sync.Mutex
	kubectl string // its path
}

// Start starts a cluster for one test, for those who stop it or want flags; the others share one. It ends with the test.
func Start(t testing.TB, flags ...string) *Cluster {
	t.Helper()
	short(t)
	c, err := start(t.Context(), t.TempDir(), flags, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop(t) })
	return c
}

func short(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Kubernetes, which -short does without")
	}
}

// Shared is one cluster for all tests of a package, started by the first that needs it.
type Shared struct {
	Flags []string // for the cluster; set before the tests run

	once    sync.Once
	cluster *Cluster
	dir     string
	err     error
}

// Main runs a package's tests and ends the cluster after them; it returns the code to exit with.
func (s *Shared) Main(m *testing.M) int {
	code := m.Run()
	if s.cluster != nil {
		s.err = s.cluster.end()
	}
	if err := errors.Join(s.err, os.RemoveAll(s.dir)); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// Cluster is the cluster; a test must not stop it.
func (s *Shared) Cluster(t testing.TB) *Cluster {
	t.Helper()
	short(t)
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "kubetest"); s.err == nil {
			s.cluster, s.err = start(context.Background(), s.dir, s.Flags, func(l string) { t.Log(l) })
		}
	})
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.cluster
}

func start(ctx context.Context, dir string, flags []string, say func(string)) (*Cluster, error) {
	path, err := binary.Build(ctx, binary.Cluster, say)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), flags: flags}
	if c.process, err = binary.Start(path, append([]string{"-dir", dir}, flags...)...); err != nil {
		return nil, err
	}
	if err := c.connect(); err != nil {
		return nil, errors.Join(err, c.end())
	}
	return c, nil
}

func (c *Cluster) connect() (err error) {
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.Config.QPS = -1 // no test waits for its own client
	if c.Dynamic, err = dynamic.NewForConfig(c.Config); err != nil {
		return err
	}
	d, err := discovery.NewDiscoveryClientForConfig(c.Config)
	if err != nil {
		return err
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
	return nil
}

// Stop stops the cluster as a machine that is shut down would; its clients lose it. Stopping a stopped one does nothing.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	if err := c.end(); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) end() error {
	p := c.process
	if p == nil {
		return nil
	}
	c.process = nil
	if err := p.End(); err != nil {
		return fmt.Errorf("%w; its log is %s", err, filepath.Join(c.Dir, "cluster.log"))
	}
	return nil
}

// RunPods runs the cluster's Pods until the test's end, in a process of its own: they outlive a cluster that is stopped, as pods of a real
// one outlive their API server. (With the flag -run-pods the cluster's own process runs them, and they end with it.)
func (c *Cluster) RunPods(t testing.TB) {
	t.Helper()
	path, err := binary.Build(t.Context(), binary.Cluster, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	p, err := binary.Start(path, "-only-pods", "-dir", c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.End(); err != nil {
			t.Error(err)
		}
	})
}

// Restart starts a cluster again, running or stopped, with what it knew, on the port that it had: its clients find it again.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.Stop(t)
	path, err := binary.Build(t.Context(), binary.Cluster, func(s string) { t.Log(s) })
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(c.Config.Host)
	if err != nil {
		t.Fatal(err)
	}
	if c.process, err = binary.Start(path, append([]string{"-dir", c.Dir, "-port", u.Port()}, c.flags...)...); err != nil {
		t.Fatal(err)
	}
}
