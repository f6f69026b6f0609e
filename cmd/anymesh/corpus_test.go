// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// question is a line such as "# ask: web > catalog:80 GET /api [x-user: beta] = catalog-v1:90 catalog-v2:10".
var question = regexp.MustCompile(`^# ask: (\S+) > (\S+) (tcp|udp|(\S+) (\S+))((?: \[[^\]]*\])*) = (.*)$`)

// TestCorpus puts every question of the cases to why, as a person would write it, and holds that its exit code and its shares are the
// expected ones.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("../../testdata/cases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range files {
		text := load(t, path)
		var settings []string
		for line := range strings.Lines(text) {
			if s, ok := strings.CutPrefix(strings.TrimSpace(line), "# settings: "); ok {
				for f := range strings.FieldsSeq(s) {
					switch name, value, _ := strings.Cut(f, "="); name {
					case "access":
						settings = append(settings, "--access-default="+value)
					case "cross-namespace":
						settings = append(settings, "--allow-cross-namespace")
					default:
						t.Fatalf("%s: setting %s", path, name)
					}
				}
			}
			if m := question.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				n++
				put(t, path, append(settings, "-f", path, "-n", "shop", "-o", "json"), m)
			}
		}
	}
	if n < 300 {
		t.Errorf("only %d questions were asked", n)
	}
}

func put(t *testing.T, path string, args, m []string) {
	t.Helper()
	caller, service, want := m[1], m[2], m[7]
	if caller == "-" {
		caller = "nobody"
	}
	args = append([]string{"why", "--from", caller, "--to", service}, args...)
	for h := range strings.SplitSeq(m[6], "]") {
		if h = strings.TrimPrefix(strings.TrimSpace(h), "["); h != "" {
			args = append(args, "-H", h)
		}
	}
	if m[3] == "tcp" || m[3] == "udp" {
		args = append(args, "--"+m[3])
	} else {
		args = append(args, "--", m[4], m[5])
	}
	r := anymesh(t, "", args...)
	if says, ok := strings.CutPrefix(want, "error: "); ok {
		if r.code != exitFailure || !strings.Contains(r.errs, says) {
			t.Errorf("%s: %s: exit %d: %s", path, m[0], r.code, r.errs)
		}
		return
	}
	code := exitOK
	if want == "refused" || strings.Contains(want, "!") {
		code = exitDenied
	}
	if r.code != code {
		t.Errorf("%s: %s: exit %d\n%s%s", path, m[0], r.code, r.out, r.errs)
		return
	}
	v := parsed[answer](t, r.out)
	if want == "refused" {
		for _, b := range v.Backends {
			if b.Allowed {
				t.Errorf("%s: %s: %s is allowed", path, m[0], b.Service)
			}
		}
		return
	}
	var got, wants []string
	for _, b := range v.Backends {
		got = append(got, fmt.Sprintf("%s %.4f %t", strings.TrimPrefix(b.Service, "shop/"), b.Share, b.Allowed))
	}
	total := 0.0
	for _, weighed := range []bool{false, true} { // first all weights, then the share of each
		for f := range strings.FieldsSeq(want) {
			name, weight, ok := strings.Cut(f, ":")
			w := 1.0
			if ok {
				var err error
				if w, err = strconv.ParseFloat(weight, 64); err != nil {
					t.Fatalf("%s: %s: %v", path, m[0], err)
				}
			}
			if !weighed {
				total += w
				continue
			}
			name, refused := strings.CutPrefix(name, "!")
			wants = append(wants, fmt.Sprintf("%s %.4f %t", name, w/total, !refused))
		}
	}
	slices.Sort(got)
	slices.Sort(wants)
	if !slices.Equal(got, wants) {
		t.Errorf("%s: %s: got %q", path, m[0], got)
	}
}
