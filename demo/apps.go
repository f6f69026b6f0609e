// SPDX-License-Identifier: Apache-2.0

// Package demo is a small shop on the built-in mesh: processes for the pods of a folder, traffic between them, and a live table of who calls
// whom. It uses the mesh as anyone would, from outside.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/anymesh/anymesh/model"
)

// app is the process of one pod: an HTTP server that tells its name, or one that sends back what it is sent.
type app struct {
	pod  model.Name
	addr string
	http bool
}

// apps lists the processes that the pods of a world want: one for each port that a Service leads to.
func apps(w model.World, facts func(func(model.Fact) bool)) (out []app) {
	for f := range facts {
		s, ok := f.(*model.Service)
		if !ok {
			continue
		}
		for i := range s.Ports {
			for _, a := range w.Addresses(s.Name, &s.Ports[i]) {
				x := app{a.Pod, net.JoinHostPort(a.IP, fmt.Sprint(a.Port)), s.Ports[i].Protocol.CarriesHTTP()}
				out = append(out, x)
			}
		}
	}
	return out
}

// stage runs the processes; each once.
type stage struct {
	mu      sync.Mutex
	wg      sync.WaitGroup
	running map[string]bool
	log     *slog.Logger
}

func (s *stage) run(ctx context.Context, list []app) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range list {
		if s.running[a.addr] {
			continue
		}
		s.running[a.addr] = true
		if err := s.start(ctx, &a); err != nil {
			s.log.Warn("the pod's own process is used", "pod", a.pod.String(), "address", a.addr, "error", err)
		}
	}
}

// start starts one process. The error is that of its port.
func (s *stage) start(ctx context.Context, a *app) error {
	l, err := net.Listen("tcp", a.addr)
	if err != nil {
		return err
	}
	if a.http {
		s.wg.Go(func() { serve(ctx, l, a.pod.Name) })
	} else {
		s.wg.Go(func() { echo(ctx, l) })
	}
	return nil
}

func serve(ctx context.Context, l net.Listener, name string) {
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s from %s\n", r.Method, r.URL.Path, name)
	})}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		panic(err) // a listener of ours, closed by nobody else
	}
}

func echo(ctx context.Context, l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer c.Close()
			end := context.AfterFunc(ctx, func() { c.Close() })
			defer end()
			_, _ = io.Copy(c, c)
		})
	}
}
