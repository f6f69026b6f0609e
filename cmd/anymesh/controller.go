// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/serve"
	"github.com/anymesh/anymesh/control"
	"github.com/anymesh/anymesh/deploy"
	"github.com/anymesh/anymesh/engine"
	"github.com/anymesh/anymesh/kube"
	"github.com/anymesh/anymesh/kube/api"
	"github.com/anymesh/anymesh/kube/controller"
	"github.com/anymesh/anymesh/mesh/all"
)

// controlling is what `controller` is told by its flags.
type controlling struct {
	access  kube.Access
	serve   serve.Options
	elect   bool
	adopt   bool
	rate    float32
	config  string
	mesh    string // address of the built-in mesh's control plane
	public  string // where proxies find it
	image   string // of the proxies
	verbose bool
	format  string
	traffic serve.Traffic
}

func controllerCommand() *cobra.Command {
	var o controlling
	c := &cobra.Command{
		Use: "controller", Short: "Run on a cluster: program the meshes that are there, check and convert SMI", GroupID: "run", Args: count(0, 0, "no arguments"),
		Long: `controller is what runs in a cluster once it is installed. It reads SMI, Services and workloads, programs
each mesh that is there, writes on every SMI object what became of it, and answers the API server that
validates and converts SMI.

Which meshes there are is said by objects of the kind Mesh, or by a file of the same objects. Where
neither says one, every mesh whose kinds the cluster serves is programmed.

Of several replicas one writes; another takes over where it stops.`,
		Example: "  anymesh controller --kubeconfig ~/.kube/config --webhook-addr ''\n  anymesh controller --config meshes.yaml --leader-elect",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			return o.run(ctx, c.ErrOrStderr())
		},
	}
	o.flags(c)
	return c
}

func (o *controlling) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.access.Kubeconfig, "kubeconfig", "", "`FILE` that says how the cluster is reached; what kubectl would take, or the cluster it runs in, without")
	f.StringVar(&o.access.Context, "context", "", "`NAME` of the kubeconfig's context")
	f.StringVar(&o.config, "config", "", "`FILE` of Mesh objects, beside those of the cluster")
	f.StringVar(&o.serve.Namespace, "namespace", "anymesh-system", "`NAMESPACE` that it is installed in: of its lease, its Service and its Secret")
	f.BoolVar(&o.elect, "leader-elect", false, "let one of several replicas write")
	f.BoolVar(&o.adopt, "adopt", false, "take over objects of the meshes that are there and were written by nobody that says so")
	f.Float32Var(&o.rate, "writes-per-second", 50, "`NUMBER` of objects written to each mesh in a second, at most")
	f.StringVar(&o.serve.Metrics, "metrics-addr", ":9090", "`ADDRESS` of Prometheus' metrics; empty: none")
	f.StringVar(&o.serve.Health, "health-addr", ":8081", "`ADDRESS` of /healthz and /readyz; empty: none")
	f.StringVar(&o.serve.Webhook, "webhook-addr", ":9443", "`ADDRESS` that the API server calls; empty: none")
	f.StringVar(&o.serve.MetricsAPI, "metrics-api-addr", "", "`ADDRESS` that the API server calls for TrafficMetrics, with the webhook's certificate; empty: none")
	f.StringVar(&o.serve.PrometheusAPI, "prometheus-api-addr", "", "`ADDRESS` of Prometheus' API for tools such as Flagger, whatever mesh they ask for; in the clear and without permissions; empty: none")
	f.StringVar(&o.traffic.Prometheus, "prometheus", "", "`URL` of the Prometheus that scrapes the meshes, for those whose Mesh names none")
	f.StringVar(&o.traffic.Credentials, "metrics-credentials", "/etc/anymesh/metrics", "`DIR` of folders that Meshes name as spec.metrics.credentials")
	f.StringVar(&o.serve.Certificates, "webhook-certs", "", "`DIR` with tls.crt and tls.key that someone else keeps, such as cert-manager; its own without")
	f.StringVar(&o.serve.Pprof, "pprof-addr", "", "`ADDRESS` of Go's profiles; empty: none")
	f.StringVar(&o.mesh, "mesh-addr", "", "`ADDRESS` that proxies of the built-in mesh ask; empty: it is not run")
	f.StringVar(&o.public, "mesh-service", "", "`HOST:PORT` by which proxies find it; its Service in --namespace without")
	f.StringVar(&o.image, "proxy-image", "", "`IMAGE` of the proxies that are put into pods")
	f.DurationVar(&o.serve.Drain, "drain", 5*time.Second, "`TIME` for which the webhook still answers at the end, until nobody calls any more")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "log every write")
	f.StringVar(&o.format, "log-format", "json", "json or text")
	complete(c, "log-format", "json", "text")
	_ = c.MarkFlagFilename("kubeconfig")
	_ = c.MarkFlagFilename("config")
	_ = c.MarkFlagDirname("webhook-certs")
}

func (o *controlling) run(ctx context.Context, errs io.Writer) error {
	log, err := o.logger(errs)
	if err != nil {
		return err
	}
	kube.LogTo(log)
	var meshes []*api.Mesh
	if o.config != "" {
		if meshes, err = controller.ReadMeshes(o.config); err != nil {
			return unread("--config", err)
		}
	}
	cfg, _, err := o.access.Load()
	if err != nil {
		return err
	}
	cluster, err := kube.Connect(cfg)
	if err != nil {
		return err
	}
	name, err := os.Hostname() // a pod's name
	if err != nil {
		return err
	}
	if o.serve.MetricsAPI != "" && o.serve.Webhook == "" {
		return fmt.Errorf("--metrics-api-addr: it has the certificate of the webhook, which --webhook-addr turns off")
	}
	if o.serve.PrometheusAPI != "" && o.serve.MetricsAPI == "" {
		return fmt.Errorf("--prometheus-api-addr: what it answers with is read for --metrics-api-addr, which must be given too")
	}
	o.traffic.Logger, o.serve.Traffic = log, &o.traffic
	options := controller.Options{Cluster: cluster, Told: o.traffic.Told, Drivers: all.Meshes(), Meshes: meshes, Namespace: o.serve.Namespace, Name: fmt.Sprintf("%s-%d", name, os.Getpid()),
		Elect: o.elect, Adopt: o.adopt, Rate: o.rate, Logger: log}
	o.serve.Logger, o.serve.Version = log, build()
	var ctl *controller.Controller
	if o.mesh != "" {
		o.serve.Builtin = serve.NewBuiltin(ctx, serve.BuiltinOptions{Cluster: cluster, Namespace: o.serve.Namespace, At: o.mesh, Logger: log,
			Engine: func() *engine.Engine { return ctl.Engine() }})
		o.serve.Proxy.Image, o.serve.Proxy.ControlPlane = o.image, o.public
		if o.public == "" {
			o.serve.Proxy.ControlPlane = fmt.Sprintf("%s.%s.svc:%d", deploy.ControlPlane, o.serve.Namespace, control.DefaultPort)
		}
		options.Direct = o.serve.Builtin.Direct
	}
	ctl = controller.New(options)
	return serve.Run(ctx, ctl, cluster, o.serve)
}

func (o *controlling) logger(w io.Writer) (*slog.Logger, error) {
	h := &slog.HandlerOptions{Level: slog.LevelInfo}
	if o.verbose {
		h.Level = slog.LevelDebug
	}
	switch o.format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, h)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, h)), nil
	}
	return nil, fmt.Errorf("--log-format is json or text, not %q", o.format)
}
