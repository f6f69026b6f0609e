// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"strings"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/object"
)

// Objects are the objects of an installation, in the order in which they are applied, as JSON has them. Of the definitions of kinds
// package deploy knows.
func Objects(v *Values) (out []map[string]any) {
	for _, o := range allObjects() {
		if o.when == nil || o.when.eval(v) {
			x, _ := render(o.body, v)
			out = append(out, x.(map[string]any))
		}
	}
	return out
}

// Files are the generated files, by path below the folder deploy: the manifests and the chart.
func Files() map[string]string {
	out := map[string]string{
		"manifests/anymesh.yaml":            manifests(),
		"chart/anymesh/Chart.yaml":          chart(),
		"chart/anymesh/values.yaml":         made + string(valuesText()),
		"chart/anymesh/.helmignore":         ".*\n*.tgz\n",
		"chart/anymesh/README.md":           readme,
		"manifests/crds.yaml":               made,
		"chart/anymesh/templates/NOTES.txt": notes,
	}
	all := deploy.Files()
	for _, name := range sortedKeys(all) {
		out["chart/anymesh/crds/"+name] = all[name]
		out["manifests/crds.yaml"] += "---\n" + strings.TrimPrefix(all[name], made)
	}
	for _, o := range allObjects() {
		if o.outer {
			continue
		}
		name := "chart/anymesh/templates/" + o.file + ".yaml"
		var w writer
		w.object(&o)
		if out[name] == "" {
			out[name] = "{{- /* Made from the code by make generate. */}}\n"
		}
		out[name] += w.String()
	}
	return out
}

const made = "# Made from the code by `make generate`.\n"

func manifests() string {
	var text []byte
	for _, o := range Objects(Defaults()) {
		text = object.AppendYAML(text, o)
	}
	return made + string(text)
}

func chart() string {
	return made + fmt.Sprintf(`apiVersion: v2
name: anymesh
description: "One voice for every service mesh: the Service Mesh Interface, made real on the meshes of a cluster."
type: application
version: %[1]s
appVersion: %[1]q
kubeVersion: ">=1.27.0-0"
home: https://github.com/anymesh/anymesh
sources: [https://github.com/anymesh/anymesh]
keywords: [service mesh, smi]
`, Release)
}

const readme = "<!-- Made from the code by `make generate`. -->\n\n" + `# anymesh

One voice for every service mesh: the controller and the webhook of anymesh in a cluster.

` + "```sh\nhelm install anymesh ./anymesh --namespace anymesh-system --create-namespace\n```" + `

Where another mesh has made SMI's CustomResourceDefinitions already, Helm leaves them as they are, and it never changes those in its folder
crds after the first time. Then, and after each upgrade, take them over without losing an object:

` + "```sh\nanymesh install --only-crds\n```" + `

The values, with what they mean, stand in values.yaml.
`

const notes = `anymesh runs in {{ .Release.Namespace }}.

Look at it:           anymesh check
What of SMI became:   anymesh status -A
{{- if ne .Release.Namespace "anymesh-system" }}
The CustomResourceDefinitions name the webhook of anymesh-system: run anymesh install --only-crds --namespace {{ .Release.Namespace }}
{{- end }}
{{- if .Release.IsUpgrade }}
Helm does not change CustomResourceDefinitions: run anymesh install --only-crds
{{- end }}
`
