// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"testing"
)

// TestTemplates holds that an expression is a template only where a template was read as that expression.
func TestTemplates(t *testing.T) {
	if got := ReadTemplates(TemplateExpression("/a.b/{*}/c/{**}")); !slices.Equal(got, []string{"/a.b/{*}/c/{**}"}) {
		t.Errorf("comes back as %v", got)
	}
	for _, e := range []string{"/a" + letters + "]+", letters + "]+", "/" + letters + "]+|/[0-9]+", "/" + letters + "/]*/" + letters + "]+", "/(" + letters + "]+)"} {
		if got := ReadTemplates(e); got != nil {
			t.Errorf("%s is taken for %v", e, got)
		}
	}
}
