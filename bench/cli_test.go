// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/anymesh/anymesh/bench/gen"
)

// command builds the binary.
func command(tb testing.TB) string {
	path := filepath.Join(tb.TempDir(), "anymesh")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/anymesh/anymesh/cmd/anymesh").CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// folder holds n roots as people write them: a file for each.
func folder(tb testing.TB, n int) string {
	dir := tb.TempDir()
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.yaml", i)), []byte(gen.YAML(i)), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// spent is what a run of the command cost.
type spent struct {
	cpu time.Duration // user and system
	rss int           // the most memory that it held, in KiB
}

// run runs the command, and makes sure that it did what it was to do: that so many lines of its output are the given one.
func run(tb testing.TB, lines int, line, path string, args ...string) spent {
	var out, report bytes.Buffer
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = &out, &report
	var exit *exec.ExitError
	if err := c.Run(); err != nil && !(errors.As(err, &exit) && exit.ExitCode() >= 3) { // 3 and above judge the input
		tb.Fatalf("%v: %v\n%s", args, err, report.Bytes())
	}
	if n := bytes.Count(out.Bytes(), []byte(line)); n != lines {
		tb.Fatalf("%v: %d of %q, and not %d\n%s", args, n, line, lines, report.Bytes())
	}
	use := c.ProcessState.SysUsage().(*syscall.Rusage)
	return spent{c.ProcessState.UserTime() + c.ProcessState.SystemTime(), int(use.Maxrss)}
}

func translate(tb testing.TB, path, dir string, n int) spent {
	return run(tb, n, "kind: VirtualService\n", path, "translate", "--to", "istio", "-f", dir, "-o", "yaml")
}

// BenchmarkCommand is B6: a folder of YAML to a mesh's YAML, with the start of the process, the parser and all.
func BenchmarkCommand(b *testing.B) {
	path := command(b)
	b.Run("start", func(b *testing.B) {
		var cpu time.Duration
		for b.Loop() {
			cpu += run(b, 1, "\n", path, "version").cpu
		}
		b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/start")
	})
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := folder(b, n)
			var cpu time.Duration
			rss := 0
			for b.Loop() {
				s := translate(b, path, dir, n)
				cpu += s.cpu
				rss = max(rss, s.rss)
			}
			b.ReportMetric(float64(cpu.Nanoseconds())/float64(b.N)/float64(n*gen.Documents)/1000, "cpu-µs/doc")
			b.ReportMetric(float64(rss)/1024, "MiB-rss")
		})
	}
}

// TestCommand is the gate of B6: documents of a large folder cost no more than those of a small one. The bound on memory is generous.
func TestCommand(t *testing.T) {
	const small, large, most = 100, 1000, 160 << 10 // KiB
	path := command(t)
	start := min(run(t, 1, "\n", path, "version").cpu, run(t, 1, "\n", path, "version").cpu)
	least := func(n int) spent {
		dir := folder(t, n)
		s, again := translate(t, path, dir, n), translate(t, path, dir, n)
		return spent{min(s.cpu, again.cpu), min(s.rss, again.rss)}
	}
	a, b := least(small), least(large)
	each := func(s spent, n int) time.Duration { return s.cpu / time.Duration(n*gen.Documents) }
	t.Logf("start %v; a document %v and %d KiB at %d, %v and %d KiB at %d", start, each(a, small), a.rss, small, each(b, large), b.rss, large)
	// What is fixed is spread over few documents at the small size, so that it can only make the bound wider: by the start.
	if b.cpu > start+a.cpu*large/small*3/2 {
		t.Errorf("a document costs %v in a folder of %d, %v in one of %d", each(a, small), small, each(b, large), large)
	}
	if b.rss > most {
		t.Errorf("%d KiB for %d roots, more than %d", b.rss, large, most)
	}
}
