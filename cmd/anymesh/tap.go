// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anymesh/anymesh/cmd/anymesh/report"
	"github.com/anymesh/anymesh/up/tap"
)

func tapCommand() *cobra.Command {
	var f tap.Filter
	var admin, namespace, format string
	var count int
	c := &cobra.Command{
		Use: "tap", Short: "Watch requests as they pass the mesh on this machine", GroupID: "ask", Args: nothing,
		Long: `tap prints each request that the mesh of anymesh up has finished: who asked whom for what, what was
answered, and whether it was admitted. A request shows twice, at the proxy of the caller and at that of
the called; --side chooses. Headers and bodies are not seen. Values in a query, and parts of a path that
could be keys, are shown as …. Ctrl-C ends it.`,
		Example: "  anymesh tap\n  anymesh tap --denied --side server\n  anymesh tap --from shop/web --to shop/catalog-v1 --path /products -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			if namespace != "" && f.Workload == "" {
				f.Workload = namespace + "/"
			}
			print := func(e *tap.Event) error { return tellEvent(c.OutOrStdout(), e) }
			if format == "json" {
				enc := json.NewEncoder(c.OutOrStdout())
				enc.SetEscapeHTML(false)
				print = func(e *tap.Event) error { return enc.Encode(e) }
			}
			return watch(ctx, admin, f, count, print)
		},
	}
	fl := c.Flags()
	fl.StringVar(&admin, "admin", adminAddress, "`ADDRESS` of the admin port of anymesh up")
	fl.StringVarP(&namespace, "namespace", "n", "", "what the proxies of `NAMESPACE` see")
	fl.StringVar(&f.Source, "from", "", "what the identity `NS/ACCOUNT` asks")
	fl.StringVar(&f.Workload, "to", "", "what the proxy of the workload `NS/NAME` sees")
	fl.StringVar(&f.Service, "service", "", "what is asked of the service `HOST`, seen by callers")
	fl.StringVar(&f.Method, "method", "", "requests by `METHOD`, such as GET")
	fl.StringVar(&f.Path, "path", "", "requests whose path begins with `PREFIX`")
	fl.StringVar(&f.Side, "side", "", "seen by one `SIDE`: client or server")
	fl.BoolVar(&f.Denied, "denied", false, "what was refused by access")
	fl.IntVar(&count, "count", 0, "end after `N` requests; 0: at Ctrl-C")
	c.MarkFlagsMutuallyExclusive("namespace", "to")
	formatFlag(c, &format, "table", "json")
	complete(c, "side", "client", "server")
	return c
}

// watch reads events until the context ends, which is no error, or until there were so many.
func watch(ctx context.Context, admin string, f tap.Filter, count int, print func(*tap.Event) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/tap?"+f.Query().Encode(), nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("no mesh of this machine answers on %s: start one with anymesh up, or name its admin port with --admin: %w", admin, errors.Unwrap(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
		return fmt.Errorf("%s answers %s: %s", admin, res.Status, strings.TrimSpace(string(text)))
	}
	d := json.NewDecoder(res.Body)
	for n := 1; ; n++ {
		var e tap.Event
		switch err := d.Decode(&e); {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("the mesh ended")
		case err != nil:
			return err
		}
		if err := print(&e); err != nil || n == count {
			return err
		}
	}
}

// tellEvent prints an event as a line.
func tellEvent(w io.Writer, e *tap.Event) error {
	if e.Lost > 0 {
		fmt.Fprintf(w, "‼ %s came faster than they were read\n", report.Count(int(e.Lost), "request"))
	}
	to := e.Workload
	if e.Service != "" {
		to = e.Service
	}
	if e.Backend != "" && e.Backend != e.Service {
		to += " → " + e.Backend
	}
	what := strings.TrimSpace(e.Method + " " + e.Path)
	if what == "" {
		what = "(bytes)"
	}
	answer := fmt.Sprint(e.Code)
	switch {
	case e.Verdict == "denied":
		answer += " refused"
	case e.GRPC != nil:
		answer += fmt.Sprintf(" grpc %d", *e.GRPC)
	case e.Code == 0 && e.Method != "":
		answer = "no response"
	}
	_, err := fmt.Fprintf(w, "%s %s %-6s %s → %s  %s  %s  %s\n", e.Time.Local().Format("15:04:05.000"), report.Verdict(e.Verdict != "denied"), e.Side, e.Source, to, what, answer,
		time.Duration(e.Millis*float64(time.Millisecond)).Round(10*time.Microsecond))
	return err
}
