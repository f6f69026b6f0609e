// SPDX-License-Identifier: Apache-2.0

package core

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/object"
)

// decode reads objects, and their findings as code and path.
func decode(t testing.TB, text string) ([]model.Fact, []string) {
	t.Helper()
	objects, problems := object.Parse("x", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var facts []model.Fact
	var found []string
	for _, o := range objects {
		o.Namespace = "shop"
		fs, findings := Decode(o)
		facts = append(facts, fs...)
		for _, f := range findings {
			found = append(found, fmt.Sprintf("%s %s %s", f.Level, f.Code, f.Path))
		}
	}
	return facts, found
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", show(got), show(want))
	}
}

func name(n string) model.Name { return model.Name{Namespace: "shop", Name: n} }

func TestService(t *testing.T) {
	facts, found := decode(t, `
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  selector: {app: s}
  sessionAffinity: None
  ports:
  - {port: 80}
  - {name: grpc-x, port: 81, targetPort: 8081}
  - {name: x, port: 82, targetPort: web, appProtocol: kubernetes.io/h2c}
  - {name: x, port: 80, protocol: UDP}
  - {name: x, port: 83, protocol: SCTP}
  - {name: x, port: 70000}
  - {name: x, port: 84, targetPort: "8080"}
  - {name: x, port: 80}
  - {name: x}
  - {name: x, port: text}
`)
	same(t, found, []string{"invalid AM0202 spec.ports[9].port", "notice AM0106 spec.ports[4].protocol", "invalid AM0206 spec.ports[5].port",
		"invalid AM0206 spec.ports[6].targetPort", "invalid AM0206 spec.ports[7].port", "invalid AM0203 spec.ports[8]"})
	same(t, facts, []model.Fact{&model.Service{Name: name("s"), Selector: map[string]string{"app": "s"}, Ports: []model.ServicePort{
		{Number: 80, Target: 80}, {Name: "grpc-x", Number: 81, Target: 8081, Protocol: model.GRPC},
		{Name: "x", Number: 82, TargetName: "web", Protocol: model.HTTP2}, {Name: "x", Number: 80, Target: 80, Protocol: model.UDP},
	}}})

	facts, found = decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {type: ExternalName, externalName: x.org, selector: {a: b}}\n"+
		"---\napiVersion: v1\nkind: Service\nmetadata: {name: h}\nspec: {clusterIP: None, selector: {a: 1, b: x}}\n")
	same(t, found, []string{"invalid AM0202 spec.selector.a"})
	same(t, facts, []model.Fact{&model.Service{Name: name("s")}, &model.Service{Name: name("h"), Headless: true}})
}

func TestProtocol(t *testing.T) {
	for _, c := range []struct {
		transport, app, name string
		want                 model.Protocol
	}{
		{"TCP", "", "http", model.HTTP}, {"", "", "http-web", model.HTTP}, {"", "", "httpx", model.Auto}, {"", "", "http2-x", model.HTTP2},
		{"", "", "grpc", model.GRPC}, {"", "", "grpc-web", model.HTTP}, {"", "", "grpc-web-x", model.HTTP}, {"", "", "grpc-webx", model.GRPC},
		{"", "", "https", model.TLS}, {"", "", "tls-x", model.TLS}, {"", "", "tcp", model.TCP}, {"", "", "mongo", model.TCP},
		{"", "", "redis-cache", model.TCP}, {"", "", "mysql", model.TCP}, {"", "", "udp-dns", model.UDP}, {"UDP", "", "http", model.UDP},
		{"", "HTTP", "tcp", model.HTTP}, {"", "tcp", "http", model.TCP}, {"", "kubernetes.io/h2c", "http", model.HTTP2},
		{"", "kubernetes.io/ws", "", model.HTTP}, {"", "kubernetes.io/wss", "", model.TLS}, {"", "amqp", "http", model.Auto}, {"", "", "", model.Auto},
	} {
		if got := Protocol(c.transport, c.app, c.name); got != c.want {
			t.Errorf("%+v is %s", c, got)
		}
	}
}

func TestSlice(t *testing.T) {
	facts, found := decode(t, `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-1, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: http, port: 8080}, {name: all, port: null}]
endpoints:
- {addresses: [10.0.0.1], targetRef: {kind: Pod, name: p}}
- {addresses: [10.0.0.2], conditions: {ready: false}, targetRef: {kind: Node, name: n}}
- {addresses: [10.0.0.3], conditions: {ready: null}}
- {addresses: [here]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-2, labels: {kubernetes.io/service-name: s}}
addressType: FQDN
endpoints: [{addresses: [x.org]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-3}
addressType: IPv4
`)
	same(t, found, []string{"invalid AM0202 endpoints[3].addresses[0]"})
	same(t, facts, []model.Fact{&model.EndpointSlice{Name: name("s-1"), Service: name("s"), Ports: []model.EndpointPort{{Name: "http", Number: 8080}},
		Endpoints: []model.Endpoint{{Address: "10.0.0.1", Ready: true, Pod: "p"}, {Address: "10.0.0.2"}, {Address: "10.0.0.3", Ready: true}}}})
}

const template1 = `
    metadata: {labels: {app: web, tier: front}}
    spec:
      serviceAccountName: web
      initContainers:
      - {name: once, ports: [{containerPort: 1}]}
      - {name: side, restartPolicy: Always, ports: [{containerPort: 2}]}
      containers:
      - name: main
        image: x
        ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}, {containerPort: 99999}]
        livenessProbe: {httpGet: {path: '/live?x=1', port: http}, periodSeconds: 3}
        readinessProbe: {httpGet: {path: /live, port: 8080}}
        startupProbe: {tcpSocket: {port: nope}}
      - name: second
        livenessProbe: {grpc: {port: 9090}}
        readinessProbe: {httpGet: {port: 9091, scheme: HTTPS}}
        startupProbe: {exec: {command: [x]}}
      - name: third
        livenessProbe: {httpGet: {path: ready, port: 9092}}
        readinessProbe: {httpGet: {path: /, port: 80, host: example.org}}
`

func TestController(t *testing.T) {
	want := model.Workload{Name: name("web"), Account: "web", Labels: map[string]string{"app": "web", "tier": "front"}, Selector: map[string]string{"app": "web"},
		Ports:  []model.ContainerPort{{Number: 2, Protocol: model.TCP}, {Name: "http", Number: 8080, Protocol: model.TCP}, {Number: 53, Protocol: model.UDP}},
		Probes: []model.Probe{{Path: "/live", Port: 8080}, {Path: healthCheck, Port: 9090}, {Port: 9091}, {Path: "/ready", Port: 9092}}}
	for _, kind := range []string{"apps/v1 Deployment", "apps/v1 StatefulSet", "apps/v1 DaemonSet", "apps/v1 ReplicaSet", "batch/v1 Job"} {
		api, k, _ := strings.Cut(kind, " ")
		facts, found := decode(t, "apiVersion: "+api+"\nkind: "+k+"\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n  template:"+template1)
		want.Kind = model.Kind(k)
		same(t, facts, []model.Fact{&want})
		same(t, found, []string{"invalid AM0206 spec.template.spec.containers[0].ports[2].containerPort", "invalid AM0206 spec.template.spec.containers[0].startupProbe.tcpSocket.port"})
	}
	facts, _ := decode(t, "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: {template: {metadata: {labels: {a: b}}, spec: {containers: []}}}}}\n")
	same(t, facts, []model.Fact{&model.Workload{Kind: "CronJob", Name: name("c"), Account: "default", Labels: map[string]string{"a": "b"}}})
	facts, _ = decode(t, "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-6c9f, ownerReferences: [{kind: Deployment, name: web, controller: true}]}\nspec: {template: {spec: {}}}\n")
	if len(facts) > 0 {
		t.Errorf("a Deployment's ReplicaSet says %s", show(facts))
	}
}

// TestUnknownIdentity holds that nothing is said of a workload whose account or labels could only be guessed.
func TestUnknownIdentity(t *testing.T) {
	for _, spec := range []string{"{template: {spec: {serviceAccountName: 7}}}", "{template: {metadata: {labels: [a]}}}", "{template: 3}", "[]", "{selector: {matchLabels: {a: 1}}}"} {
		facts, found := decode(t, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: "+spec+"\n")
		if len(facts) > 0 || len(found) == 0 {
			t.Errorf("%s says %s, findings %v", spec, show(facts), found)
		}
	}
}

func TestPod(t *testing.T) {
	for _, c := range []struct {
		name, meta, status string
		want               model.Pod
		bare               bool
	}{
		{"of a Deployment", "labels: {app: web, pod-template-hash: 6c9f}, ownerReferences: [{kind: Node, name: n}, {kind: ReplicaSet, name: web-6c9f, controller: true}]",
			"{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'True'}]}",
			model.Pod{Address: "10.0.0.1", Ready: true, Workload: model.Ref{Kind: model.KindDeployment, Name: name("web")}, Labels: map[string]string{"app": "web", "pod-template-hash": "6c9f"}}, false},
		{"of a ReplicaSet", "ownerReferences: [{kind: ReplicaSet, name: web-6c9f, controller: true}]", "{podIP: 10.0.0.1, conditions: [{type: Ready, status: 'False'}]}",
			model.Pod{Address: "10.0.0.1", Workload: model.Ref{Kind: "ReplicaSet", Name: name("web-6c9f")}}, false},
		{"of a file", "annotations: {anymesh.dev/address: 127.0.0.2}", "{}", model.Pod{Address: "127.0.0.2", Ready: true, Workload: model.Ref{Kind: model.KindPod, Name: name("p")}}, true},
		{"with UDP", "annotations: {anymesh.dev/udp: '5300=dns:53, 1123=time.ops:123'}", "{}", model.Pod{Workload: model.Ref{Kind: model.KindPod, Name: name("p")},
			Datagrams: map[uint16]string{5300: "dns:53", 1123: "time.ops:123"}}, true},
		{"nowhere yet", "labels: {a: b}", "{}", model.Pod{Workload: model.Ref{Kind: model.KindPod, Name: name("p")}, Labels: map[string]string{"a": "b"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			facts, found := decode(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, "+c.meta+"}\nspec: {containers: [{ports: [{name: http, containerPort: 80}, {containerPort: 0}]}]}\nstatus: "+c.status+"\n")
			c.want.Name, c.want.Account, c.want.Ports = name("p"), "default", []model.ContainerPort{{Name: "http", Number: 80, Protocol: model.TCP}}
			want := []model.Fact{&c.want}
			if c.bare {
				want = []model.Fact{&model.Workload{Kind: model.KindPod, Name: name("p"), Labels: c.want.Labels, Selector: c.want.Labels, Account: "default", Ports: c.want.Ports}, &c.want}
			}
			same(t, facts, want)
			same(t, found, []string{"invalid AM0206 spec.containers[0].ports[1].containerPort"})
		})
	}
	_, found := decode(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {anymesh.dev/address: there}}\nspec: {}\n")
	same(t, found, []string{"invalid AM0202 metadata.annotations[anymesh.dev/address]"})
	for _, bad := range []string{"53", "0=dns:53", "70000=dns:53", "53=dns", "53=dns:0", "53=:53", "1=a:1 1=b:1"} {
		_, found := decode(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {anymesh.dev/udp: '"+bad+"'}}\nspec: {}\n")
		same(t, found, []string{"invalid AM0202 metadata.annotations[anymesh.dev/udp]"})
	}
}

func TestJSON(t *testing.T) {
	facts, findings, err := DecodeJSON([]byte(`{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"a","namespace":"shop"}}`))
	if err != nil || len(findings) > 0 {
		t.Fatal(err, findings)
	}
	same(t, facts, []model.Fact{&model.ServiceAccount{Name: name("a")}})
	for _, bad := range []string{"", "[]", `{"kind":"Pod"}`, `{"apiVersion":"x/v1","kind":"Pod","metadata":{"name":"a"}}`} {
		if _, _, err := DecodeJSON([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80, targetPort: x}]}\n")
	f.Add("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:" + template1)
	f.Add("apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {anymesh.dev/address: 1.2.3.4}}\nstatus: {conditions: [{}]}\n")
	f.Add("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, labels: {kubernetes.io/service-name: s}}\nendpoints: [{addresses: ['::1']}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		objects, _ := object.Parse("x", []byte(text))
		for _, o := range objects {
			if !Known(o.APIVersion, o.Kind) {
				continue
			}
			facts, findings := Decode(o)
			for _, x := range facts {
				if x.Ref().Name.Name != o.Name {
					t.Errorf("%s says a fact of %s", o.Name, x.Ref())
				}
			}
			for _, x := range findings {
				if x.Message == "" || x.Code == "" || x.Path == "" {
					t.Errorf("a finding without %+v", x)
				}
			}
		}
	})
}

// TestTraffic reads what a Service says of its requests.
func TestTraffic(t *testing.T) {
	for _, c := range []struct {
		key, value string
		want       model.Traffic
		bad        bool
	}{
		{Balance, "round-robin", model.Traffic{Balance: model.RoundRobin}, false},
		{Balance, "header:X-User", model.Traffic{Balance: model.Hash, Key: "x-user"}, false},
		{Balance, "header:", model.Traffic{}, true},
		{Balance, "header:a b", model.Traffic{}, true},
		{Balance, "Random", model.Traffic{}, true},
		{Timeout, "1m30s", model.Traffic{Timeout: 90 * time.Second}, false},
		{Timeout, "5", model.Traffic{}, true},
		{Timeout, "-5s", model.Traffic{}, true},
		{TryTimeout, " 500ms ", model.Traffic{TryTimeout: 500 * time.Millisecond}, false},
		{Retries, "2", model.Traffic{Retries: 2}, false},
		{Retries, "6", model.Traffic{}, true},
		{Limits, "requests=100, waiting=0", model.Traffic{Requests: 100}, false},
		{Limits, "connections=7", model.Traffic{Connections: 7}, false},
		{Limits, "requests=0", model.Traffic{}, true},
		{Limits, "request=1", model.Traffic{}, true},
		{Limits, "requests=5 waiting=x", model.Traffic{}, true},
		{Limits, "", model.Traffic{}, true},
		{Outliers, "off", model.Traffic{Outliers: model.Outliers{Off: true}}, false},
		{Outliers, "failures=3 for=1m share=20%", model.Traffic{Outliers: model.Outliers{Failures: 3, Time: time.Minute, Percent: 20}}, false},
		{Outliers, "share=101%", model.Traffic{}, true},
		{"anymesh.dev/other", "x", model.Traffic{}, false},
	} {
		facts, found := decode(t, "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {"+c.key+": '"+c.value+"'}}\nspec: {}\n")
		if got := facts[0].(*model.Service).Traffic; got != c.want {
			t.Errorf("%s: %q is read as %+v", c.key, c.value, got)
		}
		var want []string
		if c.bad {
			want = []string{"invalid AM0202 metadata.annotations[" + c.key + "]"}
		}
		same(t, found, want)
	}
}
