// SPDX-License-Identifier: Apache-2.0

package codes

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEvery asks that each code that can be found is explained once, in order, and that no other is.
func TestEvery(t *testing.T) {
	text, err := os.ReadFile("../model/code.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range regexp.MustCompile(`"(AM\d{4})"`).FindAllStringSubmatch(string(text), -1) {
		want = append(want, m[1])
	}
	for _, e := range All() {
		got = append(got, string(e.Code))
		if e.Title == "" || e.Why == "" || e.Fix == "" || strings.HasSuffix(e.Title, ".") {
			t.Errorf("%s is not explained whole", e.Code)
		}
	}
	slices.Sort(want)
	if len(want) == 0 || !slices.Equal(want, got) {
		t.Errorf("codes are\n%v, explained are\n%v", want, got)
	}
	for _, c := range want {
		if !strings.Contains(Markdown(), "### "+c+"\n") {
			t.Errorf("%s is in no group of the page", c)
		}
	}
}
