// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/model"
)

// The exit codes. Those of the levels tell a script how near to its wish an input came.
const (
	exitOK          = 0
	exitFailure     = 1
	exitApproximate = 3
	exitUnsupported = 4
	exitInvalid     = 5
	exitDifferent   = 6
	exitDenied      = 7
)

// exitLevels is how help tells of them.
const exitLevels = "Exit codes: 0 all exact, 1 failure, 3 approximate, 4 unsupported, 5 invalid input; the worst counts."

// exit is an error that only carries an exit code: what there was to say has been said.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// worst is the exit code of a list of findings.
func worst(list []model.Finding) error {
	level := model.Exact
	for _, f := range list {
		level = max(level, f.Level)
	}
	switch level {
	case model.Approximate:
		return exit(exitApproximate)
	case model.Unsupported:
		return exit(exitUnsupported)
	case model.Invalid:
		return exit(exitInvalid)
	}
	return nil
}

// output is what every command that makes objects is told about what it writes.
type output struct {
	format string // yaml or json
	report string // a file; empty: standard error
	all    bool
}

func (o *output) flags(c *cobra.Command) {
	formatFlag(c, &o.format, "yaml", "json")
	c.Flags().StringVar(&o.report, "report", "", "write the report to `FILE`, and not to standard error; as JSON with -o json and to *.json")
}

// made is what a command made: objects, and what is to be said of them.
type made[T any] struct {
	objects  []T
	findings []model.Finding
	where    report.Places
	summary  string // the last line of the report
}

// write puts objects on standard output and the report beside it. Its error carries the exit code.
func (m *made[T]) write(c *cobra.Command, o *output) error {
	err := m.file(o) // first, so that a report which cannot be written is no half of a success
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if o.format == "json" {
		err = report.Write(c.OutOrStdout(), "json", struct {
			Objects  []T            `json:"objects"`
			Findings []report.Entry `json:"findings"`
		}{append([]T{}, m.objects...), report.Entries(m.findings, m.where)})
	} else {
		err = report.Stream(c.OutOrStdout(), m.objects)
	}
	if err != nil {
		return fmt.Errorf("write the objects: %w", err)
	}
	if o.report == "" && o.format != "json" { // which has the findings already
		fmt.Fprint(c.ErrOrStderr(), m.text(o))
	}
	return worst(m.findings)
}

// text is the report for a person.
func (m *made[T]) text(o *output) string {
	return report.Text(m.findings, m.where, o.all) + m.summary + "\n"
}

// file writes the report into a file, where one is named.
func (m *made[T]) file(o *output) error {
	switch {
	case o.report == "":
		return nil
	case o.format == "json" || filepath.Ext(o.report) == ".json":
		var b bytes.Buffer
		if err := report.Write(&b, "json", report.Entries(m.findings, m.where)); err != nil {
			return err
		}
		return os.WriteFile(o.report, b.Bytes(), 0o644)
	}
	return os.WriteFile(o.report, []byte(m.text(o)), 0o644)
}

// result prints a value in a format of -o, or as a table.
func result(c *cobra.Command, format string, v any, table func() error) error {
	if format == "table" {
		return table()
	}
	return report.Write(c.OutOrStdout(), format, v)
}
