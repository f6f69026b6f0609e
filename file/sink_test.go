// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/file/walk"
	"github.com/anymesh/anymesh/mesh"
	"github.com/anymesh/anymesh/model"
)

var zero = time.Unix(1, 0)

func wanted(api, name string, spec any) mesh.Change {
	o := &mesh.Object{APIVersion: api, Kind: "Route", Name: model.Name{Namespace: "shop", Name: name}, Spec: spec}
	return mesh.Change{Key: o.Key(), Object: o}
}

func gone(api, name string) mesh.Change {
	c := wanted(api, name, nil)
	c.Object = nil
	return c
}

// names lists a folder's files with their dates, so that a test sees what was written.
func names(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	list, err := os.ReadDir(dir)
	check(t, err)
	out := map[string]int64{}
	for _, e := range list {
		info, err := e.Info()
		check(t, err)
		out[e.Name()] = info.ModTime().UnixNano()
	}
	return out
}

func TestSink(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s := NewSink(dir)
	check(t, s.Apply(t.Context(), []mesh.Change{wanted("x/v1", "one", 1), wanted("y/v1", "one", 2), wanted("x/v1", "two", 3)}))
	first := names(t, dir)
	for _, n := range []string{"shop_Route_one.yaml", "shop_Route.y_one.yaml", "shop_Route_two.yaml"} {
		if first[n] == 0 {
			t.Fatalf("there is no %s in %v", n, first)
		}
	}
	there, err := Load(dir)
	check(t, err)
	if e := there[wanted("y/v1", "one", nil).Key]; len(there) != 3 || !e.Ours || !strings.Contains(string(e.JSON), `"spec":2`) {
		t.Fatalf("there is %v", there)
	}

	old := first["shop_Route_one.yaml"]
	check(t, os.Chtimes(filepath.Join(dir, "shop_Route_one.yaml"), zero, zero))
	s = NewSink(dir) // another run
	check(t, s.Apply(t.Context(), []mesh.Change{wanted("y/v1", "one", 2), wanted("x/v1", "one", 1), gone("x/v1", "two"), gone("x/v1", "none")}))
	second := names(t, dir)
	if len(second) != 2 || second["shop_Route_one.yaml"] != zero.UnixNano() || old == 0 {
		t.Errorf("what did not change was written: %v", second)
	}
	check(t, s.Apply(t.Context(), []mesh.Change{wanted("x/v1", "one", 9)}))
	text, err := os.ReadFile(filepath.Join(dir, "shop_Route_one.yaml"))
	check(t, err)
	if !bytes.Contains(text, []byte("spec: 9")) {
		t.Errorf("the file says %s", text)
	}
}

// TestPrune holds that what another run left behind goes, where it is ours and of our kinds.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	check(t, NewSink(dir).Apply(t.Context(), []mesh.Change{wanted("x/v1", "old", 1), wanted("x/v1", "kept", 1), wanted("y/v1", "other", 1)}))
	write(t, filepath.Join(dir, "mine.yaml"), "apiVersion: x/v1\nkind: Route\nmetadata: {name: mine, namespace: shop}\n")
	s := NewSink(dir, mesh.Kind{APIVersion: "x/v1", Kind: "Route"})
	check(t, s.Apply(t.Context(), []mesh.Change{wanted("x/v1", "kept", 2)}))
	check(t, s.Apply(t.Context(), []mesh.Change{wanted("x/v1", "new", 2)}))
	got := slices.Sorted(maps.Keys(names(t, dir)))
	if want := []string{"mine.yaml", "shop_Route_kept.yaml", "shop_Route_new.yaml", "shop_Route_other.yaml"}; !slices.Equal(got, want) {
		t.Errorf("there is %v, want %v", got, want)
	}
}

// TestForeign holds that nobody else's object is changed or removed, and that the others are written all the same.
func TestForeign(t *testing.T) {
	const head = "apiVersion: x/v1\nkind: Route\nmetadata: {name: %s, namespace: shop%s}\nspec: 0\n"
	const label = ", labels: {app.kubernetes.io/managed-by: anymesh}"
	for name, c := range map[string]struct{ file, text, want string }{
		"no label":       {"shop_Route_one.yaml", fmt.Sprintf(head, "one", ""), "label it"},
		"another file":   {"mine.yaml", fmt.Sprintf(head, "one", ""), "mine.yaml"},
		"several in one": {"all.yaml", fmt.Sprintf(head, "one", label) + "---\n" + fmt.Sprintf(head, "two", label), "all.yaml"},
		"not readable":   {"shop_Route_one.yaml", "foo: [\n", "mend"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.file)
			write(t, path, c.text)
			s := NewSink(dir)
			err := s.Apply(t.Context(), []mesh.Change{wanted("x/v1", "one", 1), wanted("x/v1", "three", 3)})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("the error is %v", err)
			}
			check(t, s.Apply(t.Context(), []mesh.Change{gone("x/v1", "one")}))
			text, err := os.ReadFile(path)
			check(t, err)
			if string(text) != c.text {
				t.Errorf("a foreign file now says %s", text)
			}
			if names(t, dir)["shop_Route_three.yaml"] == 0 {
				t.Error("the other object was not written")
			}
			check(t, os.Remove(path)) // what the error asked for
			check(t, s.Apply(t.Context(), []mesh.Change{wanted("x/v1", "one", 1)}))
			if names(t, dir)["shop_Route_one.yaml"] == 0 {
				t.Error("the object was not written after all")
			}
		})
	}
}

func TestFileName(t *testing.T) {
	long := strings.Repeat("a", 253)
	seen := map[string]bool{}
	for _, parts := range [][]string{{"a_b", "K", "c"}, {"a", "K", "b_c"}, {"a", "K_b", "c"}, {"..", "K", "../../x"}, {"", "K", "x"}, {"a", "K", long + "1"}, {"a", "K", long + "2"}} {
		n := fileName(parts...)
		if seen[n] || len(n) > 255 || strings.ContainsAny(n, "/\\") || walk.Hidden(n) || !walk.Readable(n) {
			t.Errorf("%q is called %s", parts, n)
		}
		seen[n] = true
	}
}

func TestWriteStream(t *testing.T) {
	var b bytes.Buffer
	check(t, WriteStream(&b, []*mesh.Object{wanted("x/v1", "one", 1).Object, wanted("x/v1", "two", 2).Object}))
	in := Parse("x", b.Bytes(), Options{})
	if len(in.Native) != 2 || len(in.Findings) > 0 || in.Native[1].Name != "two" || in.Native[1].Labels[mesh.ManagedBy] != mesh.Us {
		t.Errorf("the stream is\n%s", b.String())
	}
}
