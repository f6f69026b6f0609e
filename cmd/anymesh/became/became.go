// SPDX-License-Identifier: Apache-2.0

// Package became prints what became of SMI objects in the meshes of a cluster.
package became

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/outcome"
	"github.com/anymesh/anymesh/model"
)

// Objects prints objects as a table, wide with every reason, or as "json" or "yaml".
func Objects(w io.Writer, format string, list []outcome.Object) error {
	if format == "json" || format == "yaml" {
		return report.Write(w, format, append([]outcome.Object{}, list...))
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no SMI objects")
		return err
	}
	rows, reasons := []string{"KIND\tNAMESPACE\tNAME\tACCEPTED\tREFS\tPROGRAMMED"}, []string{""}
	for i := range list {
		o := &list[i]
		s := &o.Status
		rows = append(rows, strings.Join([]string{o.Kind, o.Namespace, o.Name, mark(s, api.Accepted), mark(s, api.ResolvedRefs), meshes(o)}, "\t"))
		reasons = append(reasons, wide(o))
	}
	return table(w, rows, reasons, format == "wide")
}

// table prints rows of cells, each followed by its reasons where they are wanted.
func table(w io.Writer, rows, reasons []string, wide bool) error {
	var b bytes.Buffer
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(t, r)
	}
	_ = t.Flush() // into memory
	lines := strings.SplitAfter(b.String(), "\n")
	for i := range rows {
		text := strings.TrimRight(lines[i], " \n") + "\n"
		if wide {
			text += reasons[i]
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}

// mark is a condition in one sign; where it is not true also its reason.
func mark(s *api.Status, kind string) string { return sign(outcome.Condition(s.Conditions, kind)) }

func sign(c *metav1.Condition) string {
	switch {
	case c == nil:
		return "–"
	case c.Status == metav1.ConditionTrue:
		return report.Verdict(true)
	}
	return report.Verdict(false) + " " + c.Reason
}

// meshes is what each mesh makes of an object.
func meshes(o *outcome.Object) string {
	if o.Stale() {
		return "… not looked at since its last change"
	}
	var parts []string
	for _, v := range o.Status.Meshes {
		c := outcome.Condition(v.Conditions, api.Programmed)
		if c != nil && c.Status == metav1.ConditionTrue && c.Reason != "Programmed" { // nearly
			parts = append(parts, v.Name+" "+report.Mark(model.Approximate)+" "+c.Reason)
			continue
		}
		parts = append(parts, v.Name+" "+sign(c))
	}
	if len(parts) == 0 {
		return mark(&o.Status, api.Programmed)
	}
	return strings.Join(parts, ", ")
}

// wide is a line for each condition that has something to say.
func wide(o *outcome.Object) (out string) {
	for _, c := range o.Status.Conditions {
		out += say("", &c)
	}
	for _, v := range o.Status.Meshes {
		for _, c := range v.Conditions {
			out += say(v.Name+": ", &c)
		}
	}
	return out
}

func say(who string, c *metav1.Condition) string {
	if c == nil || c.Message == "" {
		return ""
	}
	return fmt.Sprintf("    %s%s %s: %s\n", who, c.Type, c.Reason, c.Message)
}

// Meshes prints Mesh objects.
func Meshes(w io.Writer, format string, list []api.Mesh) error {
	if format == "json" || format == "yaml" {
		return report.Write(w, format, append([]api.Mesh{}, list...))
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no Mesh: every mesh that the cluster shows is spoken to")
		return err
	}
	rows, reasons := []string{"NAME\tKIND\tDRIVER\tVERSION\tREADY\tOBJECTS"}, []string{""}
	for i := range list {
		m := &list[i]
		n := int64(0)
		for _, x := range m.Status.Objects {
			n += x
		}
		c := outcome.Condition(m.Status.Conditions, api.Ready)
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d", m.Name, m.Spec.Kind, m.Status.Driver, m.Status.Version, sign(c), n))
		reasons = append(reasons, say("", c))
	}
	return table(w, rows, reasons, format == "wide")
}
