// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/anymesh/anymesh/test/cluster/pki"
)

// serveLogs gives the API server what containers wrote, as kubelets do, and tells it where: kubectl logs then works. Nobody else is answered.
func (r *Runner) serveLogs(ctx context.Context) error {
	pair, err := tls.LoadX509KeyPair(r.Keys.Cert(pki.Kubelet), r.Keys.Key(pki.Kubelet))
	if err != nil {
		return fmt.Errorf("keys of the node: %w", err)
	}
	ca, err := os.ReadFile(r.Keys.CA())
	if err != nil {
		return fmt.Errorf("keys of the node: %w", err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(ca)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", r.log)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}}
	context.AfterFunc(ctx, func() { s.Close() })
	r.wg.Go(func() {
		if err := s.ServeTLS(r.logs, "", ""); !errors.Is(err, http.ErrServerClosed) {
			klog.ErrorS(err, "logs are not served")
		}
	})
	patch := fmt.Appendf(nil, `{"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":%d}}}}`, r.logs.Addr().(*net.TCPAddr).Port)
	if _, err := r.Client.CoreV1().Nodes().Patch(ctx, r.Node, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("the node's port: %w", err)
	}
	return nil
}

// log answers with the last lines, or all, of what a container wrote, and with follow of what it writes until the pod is gone.
func (r *Runner) log(w http.ResponseWriter, q *http.Request) {
	f, err := os.Open(logFile(r.Dir, q.PathValue("namespace"), q.PathValue("pod"), q.PathValue("container")))
	if err != nil {
		http.Error(w, "the container has written nothing", http.StatusNotFound)
		return
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if n, err := strconv.Atoi(q.FormValue("tailLines")); err == nil {
		text = tail(text, n)
	}
	_, _ = w.Write(text)
	for q.FormValue("follow") == "true" && q.Context().Err() == nil && r.has(q.PathValue("namespace"), q.PathValue("pod")) {
		_ = http.NewResponseController(w).Flush()
		time.Sleep(100 * time.Millisecond)
		if _, err := io.Copy(w, f); err != nil {
			return
		}
	}
}

// tail is the last n lines.
func tail(text []byte, n int) []byte {
	at := len(text)
	for ; n > 0 && at > 0; n-- {
		at = bytes.LastIndexByte(text[:at-1], '\n') + 1
	}
	return text[at:]
}
