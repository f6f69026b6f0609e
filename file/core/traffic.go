// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anymesh/anymesh/model"
)

// The annotations by which a Service says how its requests are to be spread and bounded. docs/guides/builtin.md explains them.
const (
	Balance    = "anymesh.dev/balance"     // least-request, round-robin, random, or header:NAME
	Timeout    = "anymesh.dev/timeout"     // a duration
	TryTimeout = "anymesh.dev/try-timeout" // a duration
	Retries    = "anymesh.dev/retries"     // 0 to 5
	Limits     = "anymesh.dev/limits"      // requests=100 waiting=50 connections=1000
	Outliers   = "anymesh.dev/outliers"    // off, or failures=5 for=30s share=50%
)

// Fault is an annotation that is not understood, and has no effect.
type Fault struct{ Key, Message, Hint string }

// Traffic reads what the annotations of a Service say. Faults are in the order of their keys.
func Traffic(annotations map[string]string) (model.Traffic, []Fault) {
	r := traffic{}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if read := readers[key]; read != nil {
			was := r.Traffic
			if hint := read(&r.Traffic, strings.TrimSpace(annotations[key])); hint != "" {
				r.Traffic = was
				r.faults = append(r.faults, Fault{key, strconv.Quote(annotations[key]) + " is not understood: it has no effect", hint})
			}
		}
	}
	return r.Traffic, r.faults
}

type traffic struct {
	model.Traffic
	faults []Fault
}

// readers read one annotation each, and say what it should be where it is not.
var readers = map[string]func(*model.Traffic, string) (hint string){
	Balance:    readBalance,
	Timeout:    func(t *model.Traffic, s string) string { return readDuration(&t.Timeout, s) },
	TryTimeout: func(t *model.Traffic, s string) string { return readDuration(&t.TryTimeout, s) },
	Retries: func(t *model.Traffic, s string) string {
		n, err := strconv.ParseUint(s, 10, 32)
		if t.Retries = uint32(n); err != nil || n > 5 {
			return "Write a number from 0 to 5: more would be a storm."
		}
		return ""
	},
	Limits:   readLimits,
	Outliers: readOutliers,
}

func readBalance(t *model.Traffic, s string) string {
	switch name, header, _ := strings.Cut(s, ":"); {
	case s == "least-request":
		t.Balance = model.LeastRequest
	case s == "round-robin":
		t.Balance = model.RoundRobin
	case s == "random":
		t.Balance = model.Random
	case name == "header" && header != "" && strings.Trim(strings.ToLower(header), "abcdefghijklmnopqrstuvwxyz0123456789-_") == "":
		t.Balance, t.Key = model.Hash, strings.ToLower(header)
	default:
		return "Write least-request, round-robin, random, or header:NAME."
	}
	return ""
}

func readDuration(d *time.Duration, s string) string {
	n, err := time.ParseDuration(s)
	if *d = n; err != nil || n < time.Millisecond || n > 24*time.Hour {
		return "Write a duration such as 500ms, 5s or 1m."
	}
	return ""
}

func readLimits(t *model.Traffic, s string) string {
	return readWords(s, "Write it as requests=100 waiting=50 connections=1000; each of them may be left out.", func(key, value string) bool {
		n, err := strconv.ParseUint(value, 10, 31)
		into := map[string]*uint32{"requests": &t.Requests, "waiting": &t.Waiting, "connections": &t.Connections}[key]
		if err != nil || into == nil || n == 0 && key != "waiting" {
			return false
		}
		*into = uint32(n)
		return true
	})
}

func readOutliers(t *model.Traffic, s string) string {
	if s == "off" {
		t.Outliers.Off = true
		return ""
	}
	o := &t.Outliers
	return readWords(s, "Write off, or failures=5 for=30s share=50%; each of them may be left out.", func(key, value string) bool {
		switch key {
		case "for":
			return readDuration(&o.Time, value) == ""
		case "failures":
			n, err := strconv.ParseUint(value, 10, 16)
			o.Failures = uint32(n)
			return err == nil && n > 0
		case "share":
			n, err := strconv.ParseUint(strings.TrimSuffix(value, "%"), 10, 16)
			o.Percent = uint32(n)
			return err == nil && n > 0 && n <= 100
		}
		return false
	})
}

// readWords reads key=value, parted by blanks or commas.
func readWords(s, hint string, take func(key, value string) bool) string {
	words := strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ',' })
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok || !take(key, value) {
			return hint
		}
	}
	if len(words) == 0 {
		return hint
	}
	return ""
}

// traffic reads the annotations of a Service.
func (r *reading) traffic() model.Traffic {
	t, faults := Traffic(r.o.Annotations)
	for _, f := range faults {
		r.find(model.Invalid, model.CodeType, fmt.Sprintf("metadata.annotations[%s]", f.Key), f.Message, f.Hint)
	}
	return t
}
