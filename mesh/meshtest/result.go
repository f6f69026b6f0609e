// SPDX-License-Identifier: Apache-2.0

package meshtest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Result is what the suites said of a driver when its goldens were last written: docs/suites.md is made of all of them.
type Result struct {
	Mesh      string `json:"mesh"`
	Title     string `json:"title"`
	Version   string `json:"version,omitempty"`
	Cases     int    `json:"cases"`
	Mutants   int    `json:"mutants"`             // that were tried
	Noticed   int    `json:"noticed"`             // of a hundred that are mistakes
	Unnoticed string `json:"unnoticed,omitempty"` // why they may be fewer than 95
	RoundTrip bool   `json:"roundTrip"`
	Schema    bool   `json:"schema"`
}

// ResultFile is where a driver's result stands, in the folder of its test.
const ResultFile = "testdata/suites.json"

// fresh writes the result of a driver, or holds that the one which stands there is still true. A new case moves the figures a little.
func (r *Result) fresh(t *testing.T) {
	if *update {
		text, err := json.MarshalIndent(r, "", "  ")
		if err == nil {
			err = os.MkdirAll(filepath.Dir(ResultFile), 0o755)
		}
		if err == nil {
			err = os.WriteFile(ResultFile, append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(ResultFile)
	if err != nil {
		t.Fatalf("%v; run the test with -update", err)
	}
	var was Result
	if err := json.Unmarshal(text, &was); err != nil {
		t.Fatal(err)
	}
	now := *r
	if apart(was.Noticed, r.Noticed) <= 5 && apart(was.Cases, r.Cases)*10 <= r.Cases {
		now.Noticed, now.Cases, now.Mutants = was.Noticed, was.Cases, was.Mutants
	}
	if now != was {
		t.Errorf("%s says %+v, and it is %+v; run the test with -update", ResultFile, was, *r)
	}
}

func apart(a, b int) int { return max(a-b, b-a) }
