// SPDX-License-Identifier: Apache-2.0

package walk

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOrder holds that ranks order files as the walk comes by them, links and loops included, and that nothing hidden is read.
func TestOrder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/z.yaml", "a-b/x.yml", "a.yaml", "b/c/d.json", ".git/x.yaml", "x.yaml~", "#x.yaml#", "y.txt"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"b/loop": dir, "b/l.yaml": filepath.Join(dir, "a.yaml"), "b/none.yaml": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	var entered []string
	w := Walk{Enter: func(_ int, d string) error { entered = append(entered, d); return nil }}
	if err := w.Root(0, dir); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range w.Files {
		rel, _ := filepath.Rel(dir, f.Path)
		got = append(got, rel)
	}
	if want := []string{"a/z.yaml", "a-b/x.yml", "a.yaml", "b/c/d.json", "b/l.yaml"}; !slices.Equal(got, want) {
		t.Errorf("the walk comes by %v, want %v", got, want)
	}
	if !slices.IsSortedFunc(w.Files, func(a, b File) int { return strings.Compare(a.Rank, b.Rank) }) {
		t.Errorf("the ranks are not in the order of the walk: %v", w.Files)
	}
	if len(entered) != 5 || len(w.Links) != 1 {
		t.Errorf("entered %v, links %v", entered, w.Links)
	}
}
