// SPDX-License-Identifier: Apache-2.0

// Package binary builds the commands of the module test/cluster, once for what they are made of, and runs them: whoever needs one later, in
// whatever checkout, finds it. The first time takes minutes, for Kubernetes is large; it is said to whoever waits.
package binary

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// The commands that can be built.
const (
	Cluster = "cluster" // Kubernetes in one process
	Kubectl = "kubectl"
)

// kept is how long a binary that nobody asks for is kept: they are large.
const kept = 24 * time.Hour

// Build is the path of a command, which it builds if nobody has. The working folder must lie in a checkout of the project. What takes long is
// told to say, a line at a time.
func Build(ctx context.Context, command string, say func(string)) (string, error) {
	module, err := source(ctx)
	if err != nil {
		return "", err
	}
	key, err := digest(module, command)
	if err != nil {
		return "", fmt.Errorf("sources of %s: %w", command, err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder to keep %s in: %w", command, err)
	}
	cache = filepath.Join(cache, "anymesh-test")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(cache, command+"-"+key)
	unlock, err := lock(filepath.Join(cache, command+".lock")) // packages are tested at the same time
	if err != nil {
		return "", err
	}
	defer unlock()
	now := time.Now()
	if os.Chtimes(path, now, now) == nil { // it is there, and asked for today
		return path, nil
	}
	if err := compile(ctx, module, command, path, say); err != nil {
		return "", err
	}
	return path, prune(cache, command)
}

// source is the folder of the module test/cluster.
func source(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("the go command is needed to build Kubernetes: %w", err)
	}
	for dir := filepath.Dir(strings.TrimSpace(string(out))); ; dir = filepath.Dir(dir) {
		module := filepath.Join(dir, "test", "cluster")
		if _, err := os.Stat(filepath.Join(module, "go.mod")); err == nil {
			return module, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("test/cluster is not found: run this in a checkout of the project")
		}
	}
}

// digest is of all that a command is made of: its own folder, the module's packages, of which kubectl has none, and what go.mod names.
func digest(module, command string) (string, error) {
	part := func(name string) bool {
		top, rest, nested := strings.Cut(filepath.ToSlash(name), "/")
		if top == "cmd" {
			return strings.HasPrefix(rest, command+"/")
		}
		return !strings.HasSuffix(name, "_test.go") && (!nested || command != Kubectl)
	}
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	err := filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(module, path)
		if err != nil || d.IsDir() || !part(name) {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintln(h, name, len(text))
		h.Write(text)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), err
}

var kubernetes = regexp.MustCompile(`(?m)^\s*(?:require )?k8s\.io/kubernetes v(\d+)\.(\d+)(\.\S+)`)

// flags make a binary say which version of Kubernetes it is, as its releases do: clients refuse a server that does not.
func flags(module string) (string, error) {
	mod, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", err
	}
	v := kubernetes.FindSubmatch(mod)
	if v == nil {
		return "", fmt.Errorf("%s/go.mod requires no k8s.io/kubernetes", module)
	}
	var out []string
	for _, where := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		out = append(out, fmt.Sprintf("-X %s.gitVersion=v%s.%s%s -X %[1]s.gitMajor=%[2]s -X %[1]s.gitMinor=%[3]s", where, v[1], v[2], v[3]))
	}
	return "-s -w " + strings.Join(out, " "), nil
}

func compile(ctx context.Context, module, command, path string, say func(string)) error {
	ld, err := flags(module)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("building %s from Kubernetes' modules: once, and some minutes of two cores where none of it was compiled before", command))
	c := exec.CommandContext(ctx, "go", "build", "-v", "-ldflags", ld, "-o", path+".new", "./cmd/"+command)
	c.Dir, c.Env = module, append(os.Environ(), "GOWORK=off") // it is a module of its own
	out, err := c.StderrPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	var packages atomic.Int64
	done := make(chan struct{})
	go func() {
		for tick := time.Tick(15 * time.Second); ; {
			select {
			case <-done:
				return
			case <-tick:
				say(fmt.Sprintf("building %s: %d packages are compiled", command, packages.Load()))
			}
		}
	}()
	var last bytes.Buffer // what it says at its end is why it failed
	for lines := bufio.NewScanner(out); lines.Scan(); packages.Add(1) {
		if last.Len() > 4000 {
			last.Reset()
		}
		last.WriteString(lines.Text() + "\n")
	}
	close(done)
	if err := c.Wait(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", command, err, &last)
	}
	return os.Rename(path+".new", path)
}

// prune removes what nobody asked for of late.
func prune(cache, command string) error {
	old, err := filepath.Glob(filepath.Join(cache, command+"-*"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if st, err := os.Stat(path); err == nil && time.Since(st.ModTime()) > kept {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// lock holds a file against other processes.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
