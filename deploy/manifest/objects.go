// SPDX-License-Identifier: Apache-2.0

package manifest

// Object is one object of the description.
type Object struct {
	file  string // of the chart
	when  *cond
	outer bool // not in the chart: Helm makes it, or leaves it to the user
	body  dict
}

// The ports of a pod.
const (
	webhookPort = 9443
	metricsPort = 9090
	healthPort  = 8081
)

var (
	namespace = expr{".Release.Namespace", func(v *Values) any { return v.Namespace }}
	managedBy = expr{".Release.Service", func(v *Values) any { return v.manager }}
	image     = expr{`printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote`, func(v *Values) any {
		tag, _ := v.at("image.tag").(string)
		if tag == "" {
			tag = Release
		}
		return scalar(v.at("image.repository")) + ":" + tag
	}}
)

// selector are the labels by which the pods are known.
func selector() dict {
	return dict{f("app.kubernetes.io/name", Name), f("app.kubernetes.io/component", "controller")}
}

// PartOf is the label that all objects of an installation carry, beside the one that says who manages them.
const PartOf = "app.kubernetes.io/part-of"

// common are the labels of every object.
func common() dict {
	return append(selector(), f(PartOf, Name), f("app.kubernetes.io/managed-by", managedBy))
}

func meta(name string) dict {
	return dict{f("name", name), f("namespace", namespace), f("labels", common())}
}

// wide is the metadata of an object of no namespace.
func wide(name string) dict { return dict{f("name", name), f("labels", common())} }

// allObjects lists every object, in the order in which they are applied.
func allObjects() []Object {
	out := []Object{
		{file: "namespace", outer: true, body: dict{f("apiVersion", "v1"), f("kind", "Namespace"), f("metadata", dict{f("name", namespace),
			f("labels", append(common(), f("pod-security.kubernetes.io/enforce", "restricted")))})}},
		{file: "rbac", body: dict{f("apiVersion", "v1"), f("kind", "ServiceAccount"), f("metadata", meta(Name))}},
		{file: "rbac", body: dict{f("apiVersion", "rbac.authorization.k8s.io/v1"), f("kind", "ClusterRole"), f("metadata", wide(Name)),
			f("rules", clusterRules())}},
		{file: "rbac", body: dict{f("apiVersion", "rbac.authorization.k8s.io/v1"), f("kind", "ClusterRoleBinding"), f("metadata", wide(Name)),
			f("roleRef", roleRef("ClusterRole")), f("subjects", subjects())}},
		{file: "rbac", body: dict{f("apiVersion", "rbac.authorization.k8s.io/v1"), f("kind", "Role"), f("metadata", meta(Name)),
			f("rules", localRules())}},
		{file: "rbac", body: dict{f("apiVersion", "rbac.authorization.k8s.io/v1"), f("kind", "RoleBinding"), f("metadata", meta(Name)),
			f("roleRef", roleRef("Role")), f("subjects", subjects())}},
		shared("view", reads, "view", "edit", "admin"),
		shared("edit", list{"create", "update", "patch", "delete", "deletecollection"}, "edit", "admin"),
		service(WebhookName, "webhook", 443),
		service(Name+"-metrics", "metrics", metricsPort),
		settings(), deployment(), budget(), policy(), monitor(),
	}
	return out
}

func roleRef(kind string) dict {
	return dict{f("apiGroup", "rbac.authorization.k8s.io"), f("kind", kind), f("name", Name)}
}

func subjects() list {
	return list{dict{f("kind", "ServiceAccount"), f("name", Name), f("namespace", namespace)}}
}

func service(name, port string, number int) Object {
	return Object{file: "service", body: dict{f("apiVersion", "v1"), f("kind", "Service"), f("metadata", meta(name)), f("spec", dict{
		f("selector", selector()),
		f("ports", list{dict{f("name", port), f("port", number), f("targetPort", port), f("protocol", "TCP")}}),
	})}}
}

// settings is the controller's file.
func settings() Object {
	when := on("config")
	content := expr{"toYaml .Values.config | quote", func(v *Values) any { return yamlText(v.at("config")) }}
	return Object{file: "config", when: &when, body: dict{f("apiVersion", "v1"), f("kind", "ConfigMap"), f("metadata", meta(Name)),
		f("data", dict{f("config.yaml", content)})}}
}

func deployment() Object {
	return Object{file: "deployment", body: dict{f("apiVersion", "apps/v1"), f("kind", "Deployment"), f("metadata", meta(Name)), f("spec", dict{
		f("replicas", ref("replicas")),
		f("revisionHistoryLimit", 3),
		f("selector", dict{f("matchLabels", selector())}),
		f("strategy", dict{f("type", "RollingUpdate"), f("rollingUpdate", dict{f("maxSurge", 1), f("maxUnavailable", 0)})}),
		f("template", dict{
			f("metadata", dict{f("labels", append(selector(), f(PartOf, Name))), f("annotations", block{"podAnnotations"})}),
			f("spec", pod()),
		}),
	})}}
}

func pod() dict {
	config := on("config")
	return dict{
		f("serviceAccountName", Name),
		f("imagePullSecrets", block{"image.pullSecrets"}),
		f("priorityClassName", ref("priorityClassName")).if_(on("priorityClassName")),
		f("nodeSelector", block{"nodeSelector"}),
		f("tolerations", block{"tolerations"}),
		f("affinity", block{"affinity"}),
		f("topologySpreadConstraints", list{spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")}),
		f("securityContext", dict{f("runAsNonRoot", true), f("runAsUser", 65532), f("runAsGroup", 65532), f("fsGroup", 65532),
			f("seccompProfile", dict{f("type", "RuntimeDefault")})}),
		f("terminationGracePeriodSeconds", 30),
		f("containers", list{container()}),
		f("volumes", list{dict{f("name", "config"), f("configMap", dict{f("name", Name)})}}).if_(config),
	}
}

func spread(key string) dict {
	return dict{f("maxSkew", 1), f("topologyKey", key), f("whenUnsatisfiable", "ScheduleAnyway"), f("labelSelector", dict{f("matchLabels", selector())})}
}

func container() dict {
	config := on("config")
	return dict{
		f("name", "controller"),
		f("image", image),
		f("imagePullPolicy", ref("image.pullPolicy")),
		f("args", list{"controller",
			expr{`printf "--namespace=%s" .Release.Namespace | quote`, func(v *Values) any { return "--namespace=" + v.Namespace }},
			"--metrics-addr=:9090", "--health-addr=:8081", "--webhook-addr=:9443", "--leader-elect",
			item{"--config=/etc/anymesh/config.yaml", &config}, spliced{"extraArgs"}}),
		f("env", list{dict{f("name", "GOMEMLIMIT"), f("valueFrom", dict{f("resourceFieldRef", dict{f("resource", "limits.memory"), f("divisor", "1")})})}}),
		f("ports", list{port("webhook", webhookPort), port("metrics", metricsPort), port("health", healthPort)}),
		f("startupProbe", probe("/healthz", 2, 60)),
		f("livenessProbe", probe("/healthz", 10, 3)),
		f("readinessProbe", probe("/readyz", 5, 2)),
		f("resources", block{"resources"}),
		f("securityContext", dict{f("allowPrivilegeEscalation", false), f("readOnlyRootFilesystem", true),
			f("capabilities", dict{f("drop", list{"ALL"})})}),
		f("volumeMounts", list{dict{f("name", "config"), f("mountPath", "/etc/anymesh"), f("readOnly", true)}}).if_(config),
	}
}

func port(name string, number int) dict {
	return dict{f("name", name), f("containerPort", number), f("protocol", "TCP")}
}

func probe(path string, every, failures int) dict {
	return dict{f("httpGet", dict{f("path", path), f("port", "health")}), f("periodSeconds", every), f("failureThreshold", failures)}
}

func budget() Object {
	when := on("podDisruptionBudget.enabled")
	return Object{file: "deployment", when: &when, body: dict{f("apiVersion", "policy/v1"), f("kind", "PodDisruptionBudget"), f("metadata", meta(Name)),
		f("spec", dict{f("maxUnavailable", 1), f("selector", dict{f("matchLabels", selector())})})}}
}

// policy lets in what must come in. API servers and kubelets have no labels that one could name.
func policy() Object {
	when := on("networkPolicy.enabled")
	var ports list
	for _, p := range []string{"webhook", "metrics", "health"} {
		ports = append(ports, dict{f("port", p), f("protocol", "TCP")})
	}
	return Object{file: "networkpolicy", when: &when, body: dict{f("apiVersion", "networking.k8s.io/v1"), f("kind", "NetworkPolicy"), f("metadata", meta(Name)),
		f("spec", dict{f("podSelector", dict{f("matchLabels", selector())}), f("policyTypes", list{"Ingress"}), f("ingress", list{dict{f("ports", ports)}})})}}
}

func monitor() Object {
	when := on("serviceMonitor.enabled")
	m := meta(Name)
	m[2].value = merged{common(), "serviceMonitor.labels"}
	return Object{file: "servicemonitor", when: &when, body: dict{f("apiVersion", "monitoring.coreos.com/v1"), f("kind", "ServiceMonitor"), f("metadata", m),
		f("spec", dict{f("selector", dict{f("matchLabels", selector())}),
			f("endpoints", list{dict{f("port", "metrics"), f("interval", ref("serviceMonitor.interval"))}})})}}
}
