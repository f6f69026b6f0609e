// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// goldens compares what a driver says of each case, objects and report in one file, with what was read and found good before.
func goldens(t *testing.T, s Subject, cases []Case) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			got, path := golden(s, &c), filepath.Join("testdata", "cases", c.Name+".golden")
			if *update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; run the test with -update and read what it writes", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s differs; run the test with -update and read the difference. Got:\n%s", path, got)
			}
		})
	}
}

// golden is the text of a golden: the report in comments, then the objects.
func golden(s Subject, c *Case) []byte {
	w, findings := c.World()
	t := translate(s.Driver, w)
	findings = append(findings, t.faults...)
	for _, list := range t.findings {
		findings = append(findings, list...)
	}
	var b bytes.Buffer
	for _, f := range engine.Sort(findings) {
		fmt.Fprintf(&b, "# %s\n", line(f))
	}
	for i := range t.objects {
		if s.Show != nil {
			b.WriteString(s.Show(&t.objects[i]))
			continue
		}
		b.WriteString("---\n")
		b.Write(object.AppendYAML(nil, &t.objects[i]))
	}
	return b.Bytes()
}

func line(f model.Finding) string {
	out := fmt.Sprintf("%s %s %s %s", f.Level, f.Code, f.Object, f.Path)
	if f.Wish {
		out += " (" + f.Feature.String() + ")"
	}
	return out + ": " + f.Message
}
