// SPDX-License-Identifier: Apache-2.0

// Package codes explains every code of a finding: what it means, why it matters and what to do. The page docs/codes.md and the command
// `anymesh explain` are made from it.
package codes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/anymesh/anymesh/model"
)

// Entry explains one code.
type Entry struct {
	Code  model.Code
	Title string
	Why   string // what follows from it
	Fix   string
}

// Find is the explanation of a code.
func Find(c model.Code) (Entry, bool) {
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Code == c })
	if i < 0 {
		return Entry{}, false
	}
	return entries[i], true
}

// All lists every entry, by code.
func All() []Entry { return slices.Clone(entries) }

// Text is the entry for a terminal.
func (e *Entry) Text() string {
	return fmt.Sprintf("%s  %s\n\n%s\n\nWhat to do: %s\n", e.Code, e.Title, e.Why, e.Fix)
}

// groups are the families of codes, by their first two digits.
var groups = []struct{ digits, title string }{
	{"01", "The text of an object"},
	{"02", "The fields of an object"},
	{"03", "Splits and their surroundings"},
	{"04", "Permissions and their surroundings"},
	{"05", "Conversion between versions"},
	{"06", "What a mesh can say"},
	{"07", "Reading a mesh's own objects"},
	{"08", "Writing to a cluster"},
}

// Markdown is the page docs/codes.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Codes\n\nEvery finding has a code that never changes its meaning. `anymesh explain AM0303` prints the same text.\n")
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## AM%sxx: %s\n", g.digits, g.title)
		for _, e := range entries {
			if strings.HasPrefix(string(e.Code), "AM"+g.digits) {
				fmt.Fprintf(&b, "\n### %s\n\n**%s.** %s\n\nWhat to do: %s\n", e.Code, e.Title, e.Why, e.Fix)
			}
		}
	}
	return b.String()
}
