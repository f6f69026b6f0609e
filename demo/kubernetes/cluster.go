// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/source"
	"github.com/anymesh/anymesh/test/kubetest/binary"
)

// cluster is the one that the shop is in.
type cluster struct {
	dir     string
	process *binary.Process
	say     func(string)
}

// start builds what has not been built, and starts an empty cluster. What takes long is said.
func start(ctx context.Context, say func(string)) (*cluster, error) {
	path, err := binary.Build(ctx, binary.Cluster, say)
	if err != nil {
		return nil, err
	}
	kubectl, err := binary.Build(ctx, binary.Kubectl, say)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "anymesh-demo-")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, say: say}
	say("Kubernetes starts")
	if err = os.Symlink(kubectl, c.kubectl()); err == nil {
		c.process, err = binary.Start(path, "-dir", dir, "-run-pods")
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }
func (c *cluster) kubectl() string    { return filepath.Join(c.dir, "kubectl") }

// end ends the cluster and removes all of it.
func (c *cluster) end() error {
	if err := c.process.End(); err != nil {
		return err
	}
	return os.RemoveAll(c.dir)
}

// source reads the cluster, and the addresses of its pods as they are on this machine.
func (c *cluster) source(ctx context.Context, log *slog.Logger) (*local, error) {
	cfg, _, err := kube.Access{Kubeconfig: c.kubeconfig()}.Load()
	if err != nil {
		return nil, err
	}
	k, err := kube.Connect(cfg)
	if err != nil {
		return nil, err
	}
	src := source.New(k, source.Options{Logger: log})
	go func() {
		if err := k.Watch(ctx, log, src.Serve); err != nil && ctx.Err() == nil {
			log.Error("the cluster does not say what it serves", "error", err)
		}
	}()
	return &local{src}, nil
}

// hints say how to be the one who edits.
func (c *cluster) hints() []string {
	return []string{
		"in another terminal:  export KUBECONFIG=" + c.kubeconfig() + " PATH=" + c.dir + ":$PATH",
		"kubectl -n shop get ts,tt,deploy,pods",
		"kubectl -n shop edit ts catalog",
		"kubectl -n shop scale deploy catalog-v2 --replicas 3",
	}
}

// install puts SMI's kinds and an example folder into the cluster, and waits until all that it describes is there.
func (c *cluster) install(ctx context.Context, w *answerer, files fs.FS, folder string) error {
	c.say("the shop comes up")
	kinds, err := definitions(w)
	if err != nil {
		return err
	}
	if err := c.apply(ctx, kinds); err != nil {
		return err
	}
	if _, err := c.run(ctx, nil, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	objects, err := read(files, folder)
	if err != nil {
		return err
	}
	if objects, err = inCluster(objects); err != nil {
		return err
	}
	if err := c.apply(ctx, objects); err != nil {
		return err
	}
	if _, err := c.run(ctx, nil, "wait", "--for=condition=Available", "deploy", "--all", "--all-namespaces", "--timeout=60s"); err != nil {
		return err
	}
	// That the pods are ready does not mean that those who call them know: the addresses come a moment later.
	return again(ctx, func() error {
		out, err := c.run(ctx, nil, "get", "endpointslices", "-A", "-o", `jsonpath={range .items[*]}{.metadata.name}:{.endpoints[*].conditions.ready}{"\n"}{end}`)
		if err == nil && out == "" {
			return errors.New("no Service has an EndpointSlice")
		}
		for line := range strings.Lines(out) {
			if name, ready, _ := strings.Cut(strings.TrimSpace(line), ":"); ready == "" || strings.Contains(ready, "false") {
				return fmt.Errorf("EndpointSlice %s has addresses that are not ready", name)
			}
		}
		return err
	})
}

// apply sends objects.
func (c *cluster) apply(ctx context.Context, objects []object) error {
	text, err := json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		return err
	}
	return again(ctx, func() error {
		_, err := c.run(ctx, text, "apply", "--server-side", "-f", "-")
		return err
	})
}

// again asks until there is no error, for some seconds: what was made a moment ago may not be known yet, or have not led to what it leads to.
func again(ctx context.Context, ask func() error) error {
	for end := time.Now().Add(20 * time.Second); ; {
		err := ask()
		if err == nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// run runs kubectl.
func (c *cluster) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	k := exec.CommandContext(ctx, c.kubectl(), args...)
	k.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig(), "HOME="+c.dir)
	k.Stdin = bytes.NewReader(stdin)
	var failure bytes.Buffer
	k.Stderr = &failure
	out, err := k.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, &failure)
	}
	return string(out), nil
}
