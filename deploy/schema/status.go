// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/model"
)

func generation() field {
	return may("observedGeneration", whole("The metadata.generation that the status speaks of.", 0))
}

// status is the status of every SMI object, in every version.
func status() props {
	return closed("What became of the object. Written by anymesh.",
		generation(),
		may("conditions", conditions("Over all meshes: Accepted, ResolvedRefs, Programmed.")),
		may("meshes", keyed("Mesh by mesh.", "name", closed("One mesh.",
			must("name", text("Name of the Mesh.")),
			must("driver", text("Driver that speaks to it.")),
			may("conditions", conditions("In this mesh: Accepted, ResolvedRefs, Programmed.")),
		))),
	)
}

func conditions(doc string) props {
	when := text("When the status last changed.")
	when.Format = "date-time"
	return keyed(doc, "type", closed("One condition.",
		must("type", word("What it is about.")),
		must("status", oneOf("Whether it holds.", "True", "False", "Unknown")),
		generation(),
		must("lastTransitionTime", when),
		must("reason", word("Why, in one word.")),
		must("message", text("Why, for people.")),
	))
}

// mesh is the schema of the kind Mesh.
func mesh() props {
	return closed("A service mesh of the cluster that anymesh speaks for.", append(head(),
		must("spec", closed("Which mesh it is, and what holds in all of it.",
			must("kind", word("Driver of the mesh: istio, linkerd, kuma and others. The command anymesh matrix lists them.")),
			may("namespaces", selector()),
			may("accessDefault", oneOf("What holds for workloads that no TrafficTarget names: targeted (open until one does), deny (closed), allow (open, and nothing is enforced). Without it targeted.",
				api.Targeted, api.Deny, api.Allow)),
			may("trustDomain", text("Trust domain of the mesh's identities. Without it the driver's default.")),
			may("clusterDomain", text("Domain of the cluster's DNS names. Without it cluster.local.")),
			may("metrics", closed("Which Prometheus scrapes the mesh, for TrafficMetrics. Without it the installation's.",
				must("url", matching("Base of its API: http://prometheus.istio-system:9090.", "^https?://[^?#]+$")),
				may("interval", matching("Between two scrapes. Without it 15s.", "^([0-9]+(ms|s|m|h))+$")),
				may("credentials", matching("Name of a folder among the controller's credentials: ca.crt, tls.crt and tls.key, token, or username and password.", "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")),
				may("headers", entries("Headers sent along: X-Scope-OrgID names a tenant.", text("Value of the header."))),
			)),
			may("helpers", list("Means beside the mesh's own language that may be used where it has no word for a wish. Without any none is used.", oneOf("expressions: on Istio, EnvoyFilters that permit by regular expression.",
				model.HelperNames()...))),
			may("options", entries("Options that the driver alone understands.", text("Value of the option."))),
		)),
		may("status", closed("What was found of the mesh. Written by anymesh.",
			generation(),
			may("driver", text("Driver that serves the mesh: for an earlier release one of its own.")),
			may("version", text("Version of the mesh, where it says one.")),
			may("kinds", list("Kinds of the mesh that the cluster serves.", text("A kind: virtualservices.networking.istio.io."))),
			may("capabilities", keyed("What the mesh can say of SMI.", "feature", closed("One feature.",
				must("feature", text("The feature.")),
				must("level", oneOf("How well.", "exact", "approximate", "unsupported")),
				may("note", text("How near, or why not.")),
			))),
			may("objects", entries("How many objects are kept in the mesh, by kind.", whole("How many.", 0))),
			may("conditions", conditions("Ready, and others.")),
		)),
	)...)
}

// selector is the API machinery's LabelSelector.
func selector() props {
	return closed("Namespaces that the mesh serves, by their labels. Without it all.",
		may("matchLabels", entries("Labels with their values.", text("Value of the label."))),
		may("matchExpressions", list("Conditions on labels; all must hold.", closed("One condition.",
			must("key", text("The label.")),
			must("operator", oneOf("How the label relates to the values.", "In", "NotIn", "Exists", "DoesNotExist")),
			may("values", list("The values, for In and NotIn.", text("A value."))),
		))),
	)
}

// head are the fields that every object has.
func head() []field {
	return []field{
		may("apiVersion", text("Group and version of the object's API.")),
		may("kind", text("Kind of the object.")),
		may("metadata", props{Type: "object"}),
	}
}
