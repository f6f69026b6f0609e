// SPDX-License-Identifier: Apache-2.0

package all_test

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/mesh/all"
	"github.com/anymesh/anymesh/mesh/meshtest"
)

const page = "../../docs/suites.md"

// TestSuitesPage holds that the page which says how each mesh is proved is made of what the suites said last.
func TestSuitesPage(t *testing.T) {
	results := map[string]meshtest.Result{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(filepath.ToSlash(path), meshtest.ResultFile) {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var r meshtest.Result
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		results[r.Mesh] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("<!-- Made by `go test ./mesh/all -update` of what the suites of each mesh said last. -->\n\n# How each mesh is proved\n\n" +
		"Every driver passes the suites of [mesh/meshtest](../mesh/README.md) on every case of the corpus: cases (goldens), claims, safe and meaning. Beside them stand how many " +
		"mistakes put into its output the suites notice, whether what it wrote is read back with the same meaning, whether the mesh's own schema accepts it, and whether the " +
		"mesh's own control plane is asked.\n\n| mesh | releases | cases | mistakes noticed | round trip | schema | own control plane |\n|---|---|--:|--:|:-:|:-:|:-:|\n")
	var notes []string
	for _, d := range all.Drivers() {
		r, ok := results[d.Name]
		if !ok {
			if d.Writes() {
				notes = append(notes, fmt.Sprintf("%s: its tests run suites of their own.", d.Title))
			}
			continue
		}
		_, err := os.Stat("../../test/oracle/" + d.Name)
		fmt.Fprintf(&b, "| %s | %s | %d | %d %% of %d | %s | %s | %s |\n", r.Title, cmp.Or(r.Version, "any"), r.Cases, r.Noticed, r.Mutants, mark(r.RoundTrip), mark(r.Schema), mark(err == nil))
		if r.Unnoticed != "" {
			notes = append(notes, fmt.Sprintf("%s is not held to 95 %%: %s.", r.Title, r.Unnoticed))
		}
	}
	b.WriteString("\n")
	slices.Sort(notes)
	for _, n := range notes {
		b.WriteString("- " + n + "\n")
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if was, err := os.ReadFile(page); err != nil || string(was) != b.String() {
		t.Errorf("%s is not what the suites say (%v); run go test ./mesh/all -update", page, err)
	}
}

func mark(yes bool) string {
	if yes {
		return "✔"
	}
	return "—"
}
