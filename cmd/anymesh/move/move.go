// SPDX-License-Identifier: Apache-2.0

// Package move shows a migration: to a person in numbered steps, to programs in the shape that -o json promises, and as files by step.
package move

import (
	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/migrate"
)

// Shape is a migration as JSON and YAML show it.
type Shape struct {
	From     string         `json:"from"`
	To       string         `json:"to"`
	Access   string         `json:"accessDefault"` // that anymesh has to be told
	Plan     []Part         `json:"plan"`
	Back     []Part         `json:"back"`
	Findings []report.Entry `json:"findings"`
	Check    Check          `json:"check"`
}

// Part is one namespace.
type Part struct {
	Namespace string   `json:"namespace"` // empty: what belongs to no namespace
	Together  []string `json:"together,omitempty"`
	Cut       []Call   `json:"cut,omitempty"`
	Steps     []Step   `json:"steps"`
}

// Call is a permitted call that fails while only one of its ends has moved.
type Call struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Step is one step of a part.
type Step struct {
	Name    string   `json:"name"`
	Actions []Action `json:"actions"`
}

// Action is one thing to do.
type Action struct {
	Do         string `json:"do"`
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
	Of         string `json:"of,omitempty"`
	Why        string `json:"why,omitempty"`
	Command    string `json:"command,omitempty"`
	Object     any    `json:"object,omitempty"`
}

// Check is what came of asking both sides.
type Check struct {
	Asked       bool           `json:"asked"`
	Reason      string         `json:"reason,omitempty"` // why not
	Requests    int            `json:"requests"`
	Differences []Difference   `json:"differences"`
	Unread      []report.Entry `json:"unread"` // of what was written and did not read back
}

// Difference is one way in which the sides differ.
type Difference struct {
	Effect   string   `json:"effect"`
	At       string   `json:"at"`
	Port     uint16   `json:"port"`
	Before   string   `json:"before"`
	After    string   `json:"after"`
	Why      string   `json:"why"` // the command that asks for the simplest request which shows it
	Requests int      `json:"requests"`
	Objects  []string `json:"objects"`
	Reported bool     `json:"reported"` // the findings tell of it
	Fault    bool     `json:"fault"`    // of anymesh
}

// Of shapes a migration.
func Of(m *migrate.Move, r *migrate.Result, where report.Places) *Shape {
	return &Shape{From: m.From.Name, To: m.To.Name, Access: r.Access.String(), Plan: parts(r.Plan.Parts), Back: parts(r.Plan.Back), Findings: report.Entries(r.Findings, where), Check: check(r, where)}
}

func parts(list []migrate.Part) []Part {
	out := make([]Part, 0, len(list))
	for _, p := range list {
		x := Part{Namespace: p.Namespace, Together: p.Together, Steps: []Step{}}
		for _, c := range p.Cut {
			x.Cut = append(x.Cut, Call{c.From.String(), c.To.String()})
		}
		for _, s := range p.Steps {
			y := Step{Name: s.Name, Actions: []Action{}}
			for _, a := range s.Actions {
				z := Action{Do: string(a.Do), APIVersion: a.Key.APIVersion, Kind: a.Key.Kind, Namespace: a.Key.Name.Namespace, Name: a.Key.Name.Name, Of: a.Of, Why: a.Why, Command: a.Command}
				if a.Object != nil {
					z.Object = a.Object
				}
				y.Actions = append(y.Actions, z)
			}
			x.Steps = append(x.Steps, y)
		}
		out = append(out, x)
	}
	return out
}

func check(r *migrate.Result, where report.Places) Check {
	c := &r.Check
	out := Check{Asked: c.Unasked == "", Reason: c.Unasked, Requests: c.Requests, Differences: []Difference{}, Unread: report.Entries(c.Unread, where)}
	for i := range c.Differences {
		d := &c.Differences[i]
		x := Difference{Effect: string(d.Effect), At: d.At.String(), Port: d.Port, Before: d.Before, After: d.After, Why: command(r, d), Requests: d.Requests,
			Objects: []string{}, Reported: len(d.Said) > 0, Fault: d.Fault()}
		for _, o := range d.Objects {
			x.Objects = append(x.Objects, report.Title(o))
		}
		out.Differences = append(out.Differences, x)
	}
	return out
}

func command(r *migrate.Result, d *migrate.Difference) string {
	return migrate.Why(&d.Request) + " " + r.Flags
}
