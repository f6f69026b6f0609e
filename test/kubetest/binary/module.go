// SPDX-License-Identifier: Apache-2.0

package binary

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Module is a command of another project's module, at a version, with the folder of its sources. It is built where its own go.mod is the main
// one, so that it is what its authors test, and checked against its own go.sum.
func Module(ctx context.Context, module, version, command string, say func(string)) (binary, sources string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(cache, "anymesh-test", filepath.Base(module)+"@"+version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", "", err
	}
	defer unlock()
	binary, sources = filepath.Join(dir, filepath.Base(command)), filepath.Join(dir, "sources")
	if now := time.Now(); os.Chtimes(binary, now, now) == nil {
		return binary, sources, nil
	}
	get := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	get.Dir, get.Env = os.TempDir(), append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := get.Output()
	var got struct{ Dir, Error string }
	if e := json.Unmarshal(out, &got); e != nil || got.Dir == "" {
		return "", "", fmt.Errorf("download %s@%s: %v %s", module, version, err, got.Error)
	}
	if err := os.RemoveAll(sources); err != nil {
		return "", "", err
	}
	if err := os.CopyFS(sources, os.DirFS(got.Dir)); err != nil { // the module cache is not to be written, and this may be
		return "", "", err
	}
	say(fmt.Sprintf("building %s %s: once, and some minutes of two cores", module, version))
	c := exec.CommandContext(ctx, "go", "build", "-o", binary+".new", "./"+command)
	c.Dir, c.Env = sources, append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	if text, err := c.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("building %s: %w\n%s", module, err, strings.TrimSpace(string(text)))
	}
	return binary, sources, os.Rename(binary+".new", binary)
}
