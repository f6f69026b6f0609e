// SPDX-License-Identifier: Apache-2.0

package pods

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// soon is how often a container is asked that is not ready yet: sooner than a kubelet would, for somebody waits.
const soon = 50 * time.Millisecond

// probe asks a running container whether it is ready, until the context ends with the process. One without a probe is ready at once.
func (c *container) probe(ctx context.Context, env []string) {
	p := c.spec.ReadinessProbe
	if p == nil {
		c.set(func() { c.ready(ctx, true) })
		return
	}
	for failures := int32(0); ctx.Err() == nil; {
		limit, cancel := context.WithTimeout(ctx, time.Duration(p.TimeoutSeconds)*time.Second)
		err := c.ask(limit, p, env)
		cancel()
		pause := time.Duration(p.PeriodSeconds) * time.Second
		if failures++; err == nil {
			failures = 0
		}
		c.u.mu.Lock()
		is := c.status.Ready
		c.u.mu.Unlock()
		switch {
		case err == nil && !is:
			c.set(func() { c.ready(ctx, true) })
		case err != nil && is && failures >= p.FailureThreshold:
			c.set(func() { c.ready(ctx, false) })
		case err != nil && !is:
			pause = soon
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// ready notes what a probe found, unless the process has ended since. The caller holds the lock.
func (c *container) ready(ctx context.Context, is bool) {
	if ctx.Err() == nil && c.process != 0 {
		c.status.Ready = is
	}
}

func (c *container) ask(ctx context.Context, p *corev1.Probe, env []string) error {
	switch {
	case p.HTTPGet != nil:
		return c.get(ctx, p.HTTPGet)
	case p.TCPSocket != nil:
		return c.connect(ctx, p.TCPSocket.Host, p.TCPSocket.Port)
	case p.GRPC != nil:
		return c.connect(ctx, "", intstr.FromInt32(p.GRPC.Port)) // that it listens has to do
	case p.Exec != nil && len(p.Exec.Command) > 0:
		x := exec.CommandContext(ctx, p.Exec.Command[0], p.Exec.Command[1:]...)
		x.Env = env
		return x.Run()
	}
	return nil
}

func (c *container) get(ctx context.Context, g *corev1.HTTPGetAction) error {
	at, err := c.place(g.Host, g.Port)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ToLower(string(g.Scheme))+"://"+at+"/"+strings.TrimPrefix(g.Path, "/"), nil)
	if err != nil {
		return err
	}
	for _, h := range g.HTTPHeaders {
		r.Header.Add(h.Name, h.Value)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // as a kubelet
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return fmt.Errorf("%s: %s", r.URL, resp.Status)
	}
	return nil
}

func (c *container) connect(ctx context.Context, host string, port intstr.IntOrString) error {
	at, err := c.place(host, port)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return err
	}
	return conn.Close()
}

// place is where a probe asks: the pod's own address unless it names another.
func (c *container) place(host string, port intstr.IntOrString) (string, error) {
	if host == "" {
		host = Dial(c.u.ip).String()
	}
	number := port.IntValue()
	for _, p := range c.spec.Ports {
		if port.Type == intstr.String && p.Name == port.StrVal {
			number = int(p.ContainerPort)
		}
	}
	if number == 0 {
		return "", fmt.Errorf("the container has no port %s", port.String())
	}
	return net.JoinHostPort(host, fmt.Sprint(number)), nil
}
