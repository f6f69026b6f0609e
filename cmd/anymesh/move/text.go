// SPDX-License-Identifier: Apache-2.0

package move

import (
	"fmt"
	"io"
	"strings"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/migrate"
	"github.com/anymesh/anymesh/model"
)

// about says what a step is, beside its name.
var about = map[string]string{
	migrate.Prepare: "nothing changes yet",
	migrate.Switch:  "all of it together",
	migrate.Verify:  "before you go on",
	migrate.Clean:   "at the very end",
}

// Print shows a migration to a person. Dir is where its files were written; empty: nowhere.
func Print(w io.Writer, m *migrate.Move, r *migrate.Result, where report.Places, dir string) error {
	p := printer{dir: dir}
	p.line("%s → %s: %s, %s understood whole, %s kept", m.From.Title, m.To.Title, report.Count(len(r.Plan.Parts), "namespace"), report.Count(r.Whole, "object"), report.Count(len(r.Kept), "object"))
	if m.To.Direct() {
		p.line("%s needs no objects but SMI: anymesh tells its proxies itself", m.To.Title)
	}
	if r.Access != model.AccessTargeted {
		p.line("! who calls without a permission is decided for all of %s, and no object of SMI says so: run anymesh with --access-default %s", m.From.Title, r.Access)
	}
	p.parts(r.Plan.Parts, "")
	p.line("")
	p.line("THE WAY BACK")
	p.parts(r.Plan.Back, "back/")
	p.meaning(r, where)
	p.check(r, where)
	_, err := io.WriteString(w, p.b.String())
	return err
}

type printer struct {
	b   strings.Builder
	dir string
}

func (p *printer) line(format string, args ...any) {
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

func (p *printer) parts(list []migrate.Part, below string) {
	for i := range list {
		part := &list[i]
		p.line("")
		p.line("%s", title(part.Namespace))
		if len(part.Together) > 0 {
			p.line("  ! best moved together with %s: neither mesh knows the certificates of the other, so that these calls are refused while one end has moved and", strings.Join(part.Together, ", "))
			p.line("    the other has not:")
			for _, c := range part.Cut {
				p.line("      %s → %s", c.From, c.To)
			}
		}
		for n, s := range part.Steps {
			what := about[s.Name]
			if s.Name == migrate.Prepare && below != "" {
				what = "what was cleaned up is there again; the rest still is"
			}
			p.line("  %d %s: %s", n+1, s.Name, what)
			for _, c := range commands(p.dir, below, part, &s) { // before any restart
				p.line("    $ %s", c)
			}
			p.step(&s)
		}
	}
}

func title(ns string) string {
	if ns == "" {
		return "The whole cluster"
	}
	return "Namespace " + ns
}

// step prints what is done. What is done for one reason stands under it once.
func (p *printer) step(s *migrate.Step) {
	why := ""
	for _, a := range s.Actions {
		if a.Why != why && a.Why != "" && s.Name != migrate.Verify && a.Do != migrate.Mind {
			p.line("    %s:", a.Why)
		}
		why = a.Why
		indent := "    "
		if a.Why != "" && s.Name != migrate.Verify && a.Do != migrate.Mind {
			indent = "      "
		}
		switch {
		case a.Do == migrate.Mind:
			p.line("    ! %s", a.Why)
		case a.Do == migrate.Run:
			p.line("    %s:\n      $ %s", a.Why, a.Command)
		case a.Command != "":
			p.line("%s$ %s", indent, a.Command)
		default:
			p.line("%s%s %s%s", indent, sign(a.Do), report.Title(model.Ref{Kind: model.Kind(a.Key.Kind), Name: a.Key.Name}), of(a.Of))
		}
	}
}

func sign(v migrate.Verb) string {
	switch v {
	case migrate.Create:
		return "+"
	case migrate.Replace:
		return "~"
	case migrate.Remove:
		return "-"
	case migrate.Keep:
		return "="
	}
	return "↻"
}

func of(whose string) string {
	if whose == "" {
		return ""
	}
	return " (" + whose + ")"
}

// meaning prints the report.
func (p *printer) meaning(r *migrate.Result, where report.Places) {
	p.line("")
	p.line("WHAT CHANGES IN MEANING")
	text := report.Text(r.Findings, where, false)
	if text == "" {
		p.line("%s nothing: all that was moved is said exactly", report.Mark(model.Exact))
		return
	}
	p.b.WriteString(text)
	p.line("%s", report.Summary(r.Findings))
}

func (p *printer) check(r *migrate.Result, where report.Places) {
	c := &r.Check
	p.line("")
	p.line("BOTH SIDES ASKED THE SAME")
	if c.Unasked != "" {
		p.line("! not asked: %s", c.Unasked)
		return
	}
	if len(c.Differences) == 0 {
		p.line("%s no difference in %s", report.Mark(model.Exact), report.Count(c.Requests, "request"))
	} else {
		p.line("%s in %s", report.Count(len(c.Differences), "difference"), report.Count(c.Requests, "request"))
	}
	for i := range c.Differences {
		d := &c.Differences[i]
		p.line("%d %s  %s port %d, in %s", i+1, d.Effect, report.Title(d.At), d.Port, report.Count(d.Requests, "request"))
		p.line("    before: %s", d.Before)
		p.line("    after:  %s", d.After)
		p.line("    $ %s", command(r, d))
		switch {
		case d.Fault():
			p.line("    This is a fault of anymesh: nothing may be admitted that was not. Do not switch, and report it with the input that shows it.")
		case len(d.Said) > 0:
			p.line("    reported: %s %s: %s", report.Title(d.Said[0].Object), d.Said[0].Path, d.Said[0].Message)
		case len(c.Unread) > 0:
			p.line("    not reported: see below what was not read back, which may be all that differs")
		default:
			p.line("    not reported: please report it, with the input that shows it")
		}
	}
	if len(c.Unread) > 0 {
		p.line("not read back of what was written, and taken for refused: a difference may lie here and not in the mesh")
		p.b.WriteString(report.Text(c.Unread, where, false))
	}
}
