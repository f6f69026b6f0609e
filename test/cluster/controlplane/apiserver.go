// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/spf13/pflag"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"github.com/anymesh/anymesh/test/cluster/pki"
)

// grace is how long requests that are under way may take when the API server ends.
const grace = 3 * time.Second

// serve runs kube-apiserver on a listener until the context ends.
func serve(ctx context.Context, l net.Listener, etcd string, o *Options, keys pki.Folder) error {
	s := options.NewServerRunOptions()
	flags := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	for _, f := range s.Flags().FlagSets {
		flags.AddFlagSet(f)
	}
	if err := flags.Parse(arguments(l.Addr().(*net.TCPAddr).Port, etcd, o, keys)); err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	s.SecureServing.Listener = l
	// What its command does before it runs. The command itself may be made once in a process only, and takes the signals.
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	completed, err := s.Complete(ctx)
	if err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("kube-apiserver: %w", utilerrors.NewAggregate(errs))
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, completed) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case err = <-ended:
		case <-time.After(grace): // it would wait a minute for clients that watch
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	return nil
}

func arguments(port int, etcd string, o *Options, keys pki.Folder) []string {
	return []string{
		"--etcd-servers=http://" + etcd,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", // a loopback address is not allowed in an EndpointSlice
		"--tls-cert-file=" + keys.Cert(pki.Server), "--tls-private-key-file=" + keys.Key(pki.Server),
		"--client-ca-file=" + keys.CA(),
		"--authorization-mode=RBAC", "--allow-privileged",
		// The aggregation layer.
		"--requestheader-client-ca-file=" + keys.FrontCA(), "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + keys.Cert(pki.Front), "--proxy-client-key-file=" + keys.Key(pki.Front),
		// Tokens of service accounts.
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + keys.Tokens(), "--service-account-signing-key-file=" + keys.Tokens(),
		// Nodes, for logs.
		"--kubelet-certificate-authority=" + keys.CA(), "--kubelet-client-certificate=" + keys.Cert(pki.Kubelet),
		"--kubelet-client-key=" + keys.Key(pki.Kubelet), "--kubelet-preferred-address-types=InternalIP",
		"--service-cluster-ip-range=" + o.ServiceCIDR.String(),
		"--enable-priority-and-fairness=false", // its clients are all of one house
		"--profiling=false",
	}
}

// first is the ClusterIP of the API server: the first address of the range.
func first(n *net.IPNet) net.IP {
	ip := append(net.IP{}, n.IP.To4()...)
	ip[3]++
	return ip
}

// The ports among which a free one is chosen. They lie below those that systems give to outgoing connections: a client that calls a stopped
// server on one of those again and again at last gets its own port as source, and is connected to itself.
const lowest, beyond = 20000, 32000

func listen(port int) (net.Listener, error) {
	if port != 0 {
		return net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	}
	var err error
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(beyond-lowest))); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no free port from %d to %d: %w", lowest, beyond, err)
}
