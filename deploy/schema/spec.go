// SPDX-License-Identifier: Apache-2.0

package schema

import "github.com/anymesh/anymesh/model"

// spec is the spec of a kind in the newest version's shape, with the fields that only older versions have, as strict as a version is.
func spec(k model.Kind, version int) props {
	switch k {
	case model.KindPermission:
		return permission(version)
	case model.KindBinding:
		return binding()
	case model.KindGroup:
		return group()
	case model.KindTCPRoute:
		return ports("TCP")
	case model.KindUDPRoute:
		return ports("UDP")
	case model.KindSplit:
		return split(version)
	}
	panic("schema: SMI has no kind " + string(k))
}

func split(version int) props {
	// v1alpha1 has quantities, and the fraction 0.5 is one: no type of a schema admits it beside 500m.
	weight := free("Share of the traffic, relative to the other backends: a number, or a quantity such as 500m.")
	if version > 1 {
		weight = whole("Share of the traffic, relative to the other backends. 0 is no traffic.", 0)
	}
	return open("How the traffic to a Service is shared out.",
		must("service", word("Service that clients call; it may be one of the backends too.")),
		must("backends", list("Services of the same namespace that receive the traffic.", open("One receiver.",
			must("service", word("Name of the Service.")),
			may("weight", weight).orNull(),
		))),
		may("matches", list("Route groups whose requests are split; all other requests go to the Service itself. Without any, every request is split.", open("One route group of the same namespace.",
			may("apiGroup", text("Group of the kind: specs.smi-spec.io.")).orNull(),
			must("kind", oneOf("Kind of the route group.", model.KindGroup)),
			must("name", word("Name of the route group.")),
		))),
	)
}

func permission(version int) props {
	rules := list("Routes of the same namespace that describe what is allowed.", open("One route.",
		must("kind", oneOf("Kind of the route.", model.KindGroup, model.KindTCPRoute, model.KindUDPRoute)),
		must("name", word("Name of the route.")),
		may("matches", list("Matches of an HTTPRouteGroup that are allowed, by name. Without the list all of them are.", text("Name of a match."))),
	))
	sources := list("Callers that are allowed.", subject("One caller."))
	destination := subject("Workloads that are called, by their identity.")
	destination.Properties["port"] = port("The one port that is allowed. Without it every port is.")
	if version < 3 {
		return open("Who may call whom, and with which requests.",
			must("destination", destination), may("rules", rules), may("sources", sources))
	}
	return open("Who may call whom, and with which requests.",
		must("destination", destination), must("rules", some(rules)), must("sources", some(sources)))
}

func subject(doc string) props {
	return open(doc,
		must("kind", oneOf("ServiceAccount, or IdentityBinding.", model.KindServiceAccount, model.KindBinding)),
		may("group", text("Group of an IdentityBinding: access.smi-spec.io.")).orNull(),
		must("name", word("Its name.")),
		may("namespace", text("Its namespace. Without it that of the TrafficTarget.")).orNull(),
	)
}

func binding() props {
	schemes := open("Ways to say who it is. Each of them counts.",
		may("serviceAccount", text("Service account of the same namespace. It excludes podLabelSelector.")),
		may("spiffeIdentities", list("SPIFFE IDs. The scheme spiffe:// may be left out.",
			matching("A SPIFFE ID.", `^(spiffe://)?[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+$`))),
		may("podLabelSelector", open("Pods of the same namespace.",
			must("matchLabels", some(entries("Labels that the pods have.", text("Value of the label.")))))),
	)
	schemes = rule(some(schemes), `!has(self.podLabelSelector) || !has(self.serviceAccount) || self.serviceAccount == ""`,
		string(model.CodeScheme)+": podLabelSelector and serviceAccount exclude each other: keep one of the two")
	return open("A set of workloads that TrafficTargets can name.", must("schemes", schemes))
}

func group() props {
	return open("Sets of requests.", must("matches", keyed("The sets. A request of any of them is one of the group.", "name", open("One set: a request that meets every condition is in it.",
		must("name", word("Name by which TrafficTargets refer to it.")),
		may("pathRegex", text("Expression (RE2) that the path begins with. Without it any path will do.")),
		may("methods", list("Methods, or * for any. Without the list any method will do.", matching("A method.", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))),
		may("headers", free("Expressions (RE2) by name of the header: one mapping, or a list of mappings. A header must match as a whole.")),
	))))
}

func ports(protocol string) props {
	return open("Which "+protocol+" traffic is meant.", may("matches", open("Without it all ports are meant.",
		may("name", text("Means nothing; some tools write it.")),
		may("ports", set("Ports on which the workload listens. Without any all are meant.", port("A port."))),
	)))
}
