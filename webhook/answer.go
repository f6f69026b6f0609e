// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/model"
)

// An API server shows a client so much of a warning, and so much of all of them together.
const (
	maxWarning  = 256
	maxWarnings = 10
	maxFaults   = 50
)

// denial says all that is wrong at once: one fault is a line, and a cause that tools can read.
func denial(faults []model.Finding) *metav1.Status {
	more := max(0, len(faults)-maxFaults)
	faults = faults[:len(faults)-more]
	lines := make([]string, len(faults))
	causes := make([]metav1.StatusCause, len(faults))
	for i, f := range faults {
		lines[i] = line(f)
		causes[i] = metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: f.Path, Message: string(f.Code) + " " + f.Message + hint(f)}
	}
	if more > 0 {
		lines = append(lines, "and "+strconv.Itoa(more)+" more")
	}
	return &metav1.Status{Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: strings.Join(lines, "\n"), Details: &metav1.StatusDetails{Causes: causes}}
}

// warnings are the findings that do not stand in the way, the weightiest first.
func warnings(doubts []model.Finding) []string {
	doubts = slices.Clone(doubts)
	slices.SortStableFunc(doubts, func(a, b model.Finding) int { return int(b.Level) - int(a.Level) })
	var out []string
	for i, f := range doubts {
		if i == maxWarnings {
			return append(out, "and "+strconv.Itoa(len(doubts)-i)+" more: anymesh check says all")
		}
		out = append(out, short(f))
	}
	return out
}

// short is a warning with its hint, or without where it would be cut off. It goes into a header of HTTP, which has no line breaks.
func short(f model.Finding) string {
	s := flat(line(f))
	if len(s) > maxWarning {
		f.Hint = ""
		s = flat(line(f))
	}
	if len(s) <= maxWarning {
		return s
	}
	s = s[:maxWarning-len("…")]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

func flat(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// line is code, path, message and hint.
func line(f model.Finding) string {
	s := string(f.Code) + " "
	if f.Path != "" {
		s += f.Path + ": "
	}
	return s + f.Message + hint(f)
}

func hint(f model.Finding) string {
	if f.Hint == "" {
		return ""
	}
	return ". " + f.Hint
}
