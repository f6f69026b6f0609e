// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/deploy/schema"
	"github.com/anymesh/anymesh/metrics/traffic"
)

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
	meshPort    = 15010

	metricsAPIPort = 8443
	facadePort     = 9091
)

// extension holds where TrafficMetrics are served.
var extension = on("metricsAPI.enabled")

// facade holds where Prometheus' API is served besides.
var facade = cond{"and .Values.metricsAPI.enabled .Values.metricsAPI.facade", func(v *Values) bool { return truth(v.at("metricsAPI.enabled")) && truth(v.at("metricsAPI.facade")) }}

// builtinMesh holds where the controller runs the built-in mesh.
var builtinMesh = on("builtin.enabled")

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
		service(WebhookName, item{servicePort("webhook", schema.Port), nil}, item{servicePort("metrics-api", metricsAPIPort), &extension}),
		service(Name+"-metrics", item{servicePort("metrics", metricsPort), nil}),
		prometheus(), deployment(), budget(), policy(), monitor(), admission(), controlPlane(), injection(),
	}
	for n, v := range traffic.Versions() {
		out = append(out, apiService(v.Version, 100-n))
	}
	return out
}

func roleRef(kind string) dict {
	return dict{f("apiGroup", "rbac.authorization.k8s.io"), f("kind", kind), f("name", Name)}
}

func subjects() list {
	return list{dict{f("kind", "ServiceAccount"), f("name", Name), f("namespace", namespace)}}
}

func service(name string, ports ...item) Object {
	var all list
	for _, p := range ports {
		if p.when == nil {
			all = append(all, p.value)
		} else {
			all = append(all, p)
		}
	}
	return Object{file: "service", body: dict{f("apiVersion", "v1"), f("kind", "Service"), f("metadata", meta(name)), f("spec", dict{
		f("selector", selector()), f("ports", all),
	})}}
}

// prometheus is where tools find the façade.
func prometheus() Object {
	o := service(Name+"-prometheus", item{dict{f("name", "prometheus"), f("port", 9090), f("targetPort", "prometheus"), f("protocol", "TCP")}, nil})
	o.when = &facade
	return o
}

func servicePort(name string, number int) dict {
	return dict{f("name", name), f("port", number), f("targetPort", name), f("protocol", "TCP")}
}

// apiService has the cluster's API server hand on what is asked of TrafficMetrics. The controller writes the bundle that proves it.
func apiService(version string, priority int) Object {
	return Object{file: "apiservice", when: &extension, body: dict{f("apiVersion", "apiregistration.k8s.io/v1"), f("kind", "APIService"),
		f("metadata", wide(version+"."+traffic.Group)), f("spec", dict{
			f("group", traffic.Group), f("version", version), f("groupPriorityMinimum", 100), f("versionPriority", priority),
			f("service", dict{f("name", WebhookName), f("namespace", namespace), f("port", metricsAPIPort)}),
		})}}
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
		f("volumes", list{dict{f("name", "metrics"), f("secret", dict{f("secretName", ref("metricsAPI.secret"))})}}).if_(on("metricsAPI.secret")),
		f("containers", list{container()}),
	}
}

func spread(key string) dict {
	return dict{f("maxSkew", 1), f("topologyKey", key), f("whenUnsatisfiable", "ScheduleAnyway"), f("labelSelector", dict{f("matchLabels", selector())})}
}

func container() dict {
	return dict{
		f("name", "controller"),
		f("image", image),
		f("imagePullPolicy", ref("image.pullPolicy")),
		f("args", list{"controller",
			expr{`printf "--namespace=%s" .Release.Namespace | quote`, func(v *Values) any { return "--namespace=" + v.Namespace }},
			"--metrics-addr=:9090", "--health-addr=:8081", "--webhook-addr=:9443", item{"--metrics-api-addr=:8443", &extension}, item{"--prometheus-api-addr=:9091", &facade},
			item{expr{`printf "--prometheus=%s" .Values.metricsAPI.prometheus | quote`, func(v *Values) any { return "--prometheus=" + scalar(v.at("metricsAPI.prometheus")) }}, ptr(on("metricsAPI.prometheus"))},
			"--leader-elect", item{"--mesh-addr=:15010", &builtinMesh},
			item{expr{`printf "--proxy-image=%s" (` + strings.TrimSuffix(image.text, " | quote") + `) | quote`, func(v *Values) any { return "--proxy-image=" + image.eval(v).(string) }}, &builtinMesh},
			spliced{"extraArgs"}}),
		f("env", list{dict{f("name", "GOMEMLIMIT"), f("valueFrom", dict{f("resourceFieldRef", dict{f("resource", "limits.memory"), f("divisor", "1")})})}}),
		f("ports", list{port("webhook", webhookPort), port("metrics", metricsPort), port("health", healthPort), item{port("metrics-api", metricsAPIPort), &extension}, item{port("prometheus", facadePort), &facade}, item{port("mesh", meshPort), &builtinMesh}}),
		f("startupProbe", probe("/healthz", 2, 60)),
		f("livenessProbe", probe("/healthz", 10, 3)),
		f("readinessProbe", probe("/readyz", 5, 2)),
		f("volumeMounts", list{dict{f("name", "metrics"), f("readOnly", true),
			f("mountPath", expr{`printf "/etc/anymesh/metrics/%s" .Values.metricsAPI.secret | quote`, func(v *Values) any { return "/etc/anymesh/metrics/" + scalar(v.at("metricsAPI.secret")) }}),
		}}).if_(on("metricsAPI.secret")),
		f("resources", block{"resources"}),
		f("securityContext", dict{f("allowPrivilegeEscalation", false), f("readOnlyRootFilesystem", true),
			f("capabilities", dict{f("drop", list{"ALL"})})}),
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
	ports = append(ports, item{dict{f("port", "metrics-api"), f("protocol", "TCP")}, &extension}, item{dict{f("port", "prometheus"), f("protocol", "TCP")}, &facade})
	ports = append(ports, item{dict{f("port", "mesh"), f("protocol", "TCP")}, &builtinMesh})
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

// admission is the configuration by which the API server asks the webhook. It calls the Service of this installation.
func admission() Object {
	c := deploy.Validation()
	d := configuration(c, c.Name)
	for _, h := range d.at("webhooks").(list) {
		h.(dict).put("failurePolicy", ref("webhook.failurePolicy"))
	}
	return Object{file: "webhook", body: d}
}

// injection is the configuration by which the API server has proxies of the built-in mesh put into pods, and never into ours.
func injection() Object {
	c := deploy.Injection()
	d := configuration(c, c.Name)
	for _, h := range d.at("webhooks").(list) {
		for _, e := range h.(dict).at("namespaceSelector").(dict).at("matchExpressions").(list) {
			if e.(dict).at("key") == "kubernetes.io/metadata.name" {
				e.(dict).put("values", list{"kube-system", namespace})
			}
		}
	}
	return Object{file: "webhook", when: &builtinMesh, body: d}
}

// controlPlane is where proxies of the built-in mesh find their control plane.
func controlPlane() Object {
	o := service(deploy.ControlPlane, item{servicePort("mesh", meshPort), nil})
	o.when = &builtinMesh
	return o
}

// configuration is one of the API server's, with the Service of this installation.
func configuration(c any, name string) dict {
	raw, err := json.Marshal(c)
	var n yaml.Node // which keeps the order
	if err == nil {
		err = yaml.Unmarshal(raw, &n)
	}
	if err != nil {
		panic("manifest: the configuration of the webhook does not marshal: " + err.Error())
	}
	d := plain(n.Content[0]).(dict)
	d.put("metadata", wide(name))
	for _, h := range d.at("webhooks").(list) {
		h.(dict).at("clientConfig").(dict).at("service").(dict).put("namespace", namespace)
	}
	return d
}

// plain is a tree as a description.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		d := dict{}
		for i := 0; i < len(n.Content); i += 2 {
			d = append(d, f(n.Content[i].Value, plain(n.Content[i+1])))
		}
		return d
	case yaml.SequenceNode:
		l := list{}
		for _, x := range n.Content {
			l = append(l, plain(x))
		}
		return l
	}
	var v any
	if err := n.Decode(&v); err != nil {
		panic("manifest: " + err.Error())
	}
	return v
}

func (d dict) at(key string) any {
	for _, x := range d {
		if x.key == key {
			return x.value
		}
	}
	panic("manifest: no field " + key)
}

// put changes a field, which must be there.
func (d dict) put(key string, value any) {
	for i := range d {
		if d[i].key == key {
			d[i].value = value
			return
		}
	}
	panic("manifest: no field " + key)
}

func ptr[T any](v T) *T { return &v }
