// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/check"
	"github.com/anymesh/anymesh/kube/outcome"
	"github.com/anymesh/anymesh/test/kubetest"
)

var shared kubetest.Shared

func TestMain(m *testing.M) {
	if code, is := pretend(os.Args[1:]); is {
		os.Exit(code)
	}
	os.Exit(shared.Main(m))
}

// taking is a definition that takes anything.
func taking(group, kind, version string) string {
	plural := strings.ToLower(kind) + "s"
	if strings.HasSuffix(kind, "y") {
		plural = strings.ToLower(kind[:len(kind)-1]) + "ies"
	}
	return fmt.Sprintf(`{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: %[1]s.%[2]s}, spec: {group: %[2]s, scope: Namespaced,
  names: {kind: %[3]s, plural: %[1]s, singular: %[4]s, listKind: %[3]sList}, versions: [{name: %[5]s, served: true, storage: true,
  schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}`, plural, group, kind, strings.ToLower(kind), version)
}

// inShop are objects with what a controller would have said of the one.
const inShop = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: NS}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-v1, namespace: NS}, spec: {selector: {app: web, v: "1"}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: idle, namespace: NS}, spec: {selector: {app: idle}, ports: [{name: http, port: 80}]}}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: web, namespace: NS}
spec: {service: web, backends: [{service: web-v1, weight: 1}]}
status:
  observedGeneration: 1
  conditions:
  - {type: Accepted, status: "True", reason: Accepted, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}
  - {type: ResolvedRefs, status: "False", reason: BackendNotFound, message: there is no Service web-v1, lastTransitionTime: "2026-01-01T00:00:00Z"}
  - {type: Programmed, status: "False", reason: Unsupported, message: "", lastTransitionTime: "2026-01-01T00:00:00Z"}
  meshes:
  - name: istio
    driver: istio
    conditions: [{type: Programmed, status: "False", reason: Unsupported, message: it cannot be said, lastTransitionTime: "2026-01-01T00:00:00Z"}]
---
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: unseen, namespace: NS}, spec: {service: idle, backends: [{service: idle, weight: 1}]}}
`

// TestCluster goes with the commands through the life of an installation, as a person at a shell does. Nothing runs in the pods: what works is
// tested beside the packages that do it.
func TestCluster(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	c.Apply(t, taking("networking.istio.io", "VirtualService", "v1"), taking("security.istio.io", "AuthorizationPolicy", "v1"))
	at := func(args ...string) ran { return anymesh(t, "", append(args, "--kubeconfig", c.Kubeconfig)...) }

	pre := parsed[[]check.Line](t, at("check", "--pre", "-o", "json").wants(t, exitOK).out)
	if !slices.ContainsFunc(pre, func(l check.Line) bool {
		return l.Group == "meshes" && l.Check == "Istio is here" && l.Result == check.OK
	}) {
		t.Errorf("Istio is not seen: %+v", pre)
	}
	has(t, at("check").wants(t, exitFailure).out, "smi-crds\n  ✘ httproutegroups.specs.smi-spec.io: it is not there\n      → Run anymesh install.", "controller\n  ✘ the Deployment is ready")
	has(t, at("status", "-A").wants(t, exitOK).out, "no SMI objects")
	dry := at("install", "--dry-run").wants(t, exitOK).out
	has(t, dry, "+ trafficsplits.split.smi-spec.io\n", "+ Deployment anymesh-system/anymesh\n")
	lacks(t, c.Kubectl(t, "get", "crds", "-o", "name"), "smi-spec.io")

	has(t, at("install", "--wait", "0").wants(t, exitOK).out, "✔ anymesh is installed in anymesh-system")
	has(t, c.Kubectl(t, "get", "crds", "-o", "name"), "trafficsplits.split.smi-spec.io", "meshes.anymesh.dev")
	has(t, at("install", "--dry-run").wants(t, exitOK).out, "= trafficsplits.split.smi-spec.io\n", "~ Deployment anymesh-system/anymesh\n")
	has(t, at("check").wants(t, exitFailure).out, "no object is converted", "✘ one replica leads: nobody has ever led")

	c.Apply(t, strings.ReplaceAll(inShop, "NS", ns))
	testStatus(t, at, ns)
	testDiff(t, at, ns)
	testUninstall(t, at, ns)
}

func testStatus(t *testing.T, at func(...string) ran, ns string) {
	table := at("status", "-n", ns).wants(t, exitUnsupported).out
	has(t, table, "KIND", "ACCEPTED", "✘ BackendNotFound", "istio ✘ Unsupported", "not looked at since its last change")
	wide := at("status", "ts/web", "-n", ns, "-o", "wide").wants(t, exitUnsupported).out
	has(t, wide, "    ResolvedRefs BackendNotFound: there is no Service web-v1\n", "    istio: Programmed Unsupported: it cannot be said\n")
	lacks(t, wide, "unseen")
	list := parsed[[]outcome.Object](t, at("status", "trafficsplits", "-A", "-o", "json").wants(t, exitUnsupported).out)
	if len(list) != 2 || list[1].Name != "web" || outcome.Condition(list[1].Status.Conditions, api.Accepted) == nil {
		t.Errorf("as JSON it is %+v", list)
	}
	has(t, at("status", "ts/other", "-n", ns).wants(t, exitFailure).errs, "there is no ts/other in namespace "+ns)
	has(t, at("status", "trafficsplit5").wants(t, exitFailure).errs, "Did you mean trafficsplits?")
	has(t, at("status", "mesh").wants(t, exitOK).out, "no Mesh")
}

func testDiff(t *testing.T, at func(...string) ran, ns string) {
	has(t, at("diff").wants(t, exitDifferent).out, "+ create VirtualService "+ns+"/web", "2 to create, 0 to change")
	text := save(t, "split.yaml", strings.ReplaceAll(`{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: other, namespace: NS}, spec: {service: web-v1, backends: [{service: idle, weight: 1}]}}`, "NS", ns))
	has(t, at("diff", "-f", text).wants(t, exitDifferent).out, "+ create VirtualService "+ns+"/web-v1", "3 to create")
	has(t, at("diff", "--to", "kuma").wants(t, exitFailure).errs, `the cluster has no mesh "kuma"`)
}

func testUninstall(t *testing.T, at func(...string) ran, ns string) {
	has(t, at("uninstall", "--dry-run").wants(t, exitOK).out, "- Deployment anymesh-system/anymesh\n", "v1alpha2, v1alpha1, which only conversion can serve: wants --drop-versions")
	has(t, at("uninstall").wants(t, exitInvalid).errs, "nothing was done", "--drop-versions")
	has(t, at("uninstall", "--crds").wants(t, exitFailure).errs, "say --delete-all-smi-objects too")
	has(t, at("uninstall", "--drop-versions").wants(t, exitOK).out, "✔ anymesh is out of anymesh-system")
	has(t, at("status", "-n", ns).wants(t, exitUnsupported).out, "istio ✘ Unsupported")
	at("uninstall", "--crds", "--delete-all-smi-objects").wants(t, exitOK)
	kubetest.Eventually(t, func() error {
		if r := at("status", "-A"); r.out != "no SMI objects\n" {
			return fmt.Errorf("there is still %s", r.out)
		}
		return nil
	})
}

// TestAdoptionShown holds that install says what it would do to definitions that are there, and does nothing where an object would not survive.
func TestAdoptionShown(t *testing.T) {
	c := shared.Cluster(t)
	ns := c.Namespace(t)
	at := func(args ...string) ran { return anymesh(t, "", append(args, "--kubeconfig", c.Kubeconfig)...) }
	split := `{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: NAME, namespace: ` + ns + `}, spec: {service: web, backends: [{service: a, weight: WEIGHT}]}}`
	c.Apply(t, taking("split.smi-spec.io", "TrafficSplit", "v1alpha2"), strings.NewReplacer("NAME", "sound", "WEIGHT", "1").Replace(split))
	defer c.Kubectl(t, "delete", "crd", "trafficsplits.split.smi-spec.io")
	has(t, at("install", "--dry-run").wants(t, exitOK).out, `~ trafficsplits.split.smi-spec.io: someone else's, stored as v1alpha2, 1 object
    1. add v1alpha4, v1alpha3, v1alpha1 and the conversion webhook; go on storing v1alpha2
    2. wait until the webhook converts
    3. try each object: read as v1alpha4, write without effect
    4. store v1alpha4
    5. write each object anew, as v1alpha4
    6. strike all but v1alpha4 off the stored versions
`)
	c.Apply(t, strings.NewReplacer("NAME", "half", "WEIGHT", "0.5").Replace(split))
	for _, args := range [][]string{{"install", "--dry-run"}, {"install"}} {
		r := at(args...).wants(t, exitInvalid)
		has(t, r.errs, "nothing was done", "‼ "+ns+"/half: spec.backends[0].weight: ", "    → ", "anymesh:")
		lacks(t, r.errs, "sound")
	}
	lacks(t, c.Kubectl(t, "get", "crds", "-o", "name"), "meshes.anymesh.dev")
	has(t, at("check", "--pre").wants(t, exitFailure).out, "✘ trafficsplits.split.smi-spec.io: someone else's, and cannot be taken over: "+ns+"/half: ")
}

// TestInstallManifests holds that -o writes what the files in deploy say, without a cluster.
func TestInstallManifests(t *testing.T) {
	got := kinds(t, anymesh(t, "", "install", "-o", "yaml").wants(t, exitOK).out)
	want := append(kinds(t, load(t, "../../deploy/manifests/crds.yaml")), kinds(t, load(t, "../../deploy/manifests/anymesh.yaml"))...)
	same(t, got, want)
	if only := kinds(t, anymesh(t, "", "install", "-o", "yaml", "--only-crds").wants(t, exitOK).out); len(only) == 0 || slices.ContainsFunc(only, func(s string) bool {
		return !strings.HasPrefix(s, "CustomResourceDefinition ")
	}) {
		t.Errorf("only the definitions are %v", only)
	}
	for args, says := range map[string]string{
		"--set replcas=3":   "Did you mean replicas?",
		"--set meshes=isto": `there is no mesh "isto"; there are `,
		"--set replicas=x":  "--set replicas=x",
		"--set image":       "write NAME=VALUE",
		"-o xml":            "the formats are yaml, json",
	} {
		has(t, anymesh(t, "", append([]string{"install", "-o", "yaml"}, strings.Fields(args)...)...).wants(t, exitFailure).errs, says)
	}
}
