// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// most is how much one target may say at once.
const most = 32 << 20

// Target is somebody who counts.
type Target struct {
	Name   string            // in errors: what a person knows it by
	Labels map[string]string // put on each of its series; what it says itself under the same name goes to exported_NAME, as Prometheus does
	Read   Read
	// FromZero says that a counter which it says for the first time had been zero until then: true of one that never forgets a series.
	FromZero bool
}

// Read gives what a target says now, in a text format of Prometheus, and the Content-Type by which it says which.
type Read func(context.Context) (text []byte, contentType string, err error)

// Gather reads what is counted in this process.
func Gather(g prometheus.Gatherer) Read {
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	return func(context.Context) ([]byte, string, error) {
		families, err := g.Gather()
		if err != nil {
			return nil, "", err
		}
		var b bytes.Buffer
		enc := expfmt.NewEncoder(&b, format)
		for _, f := range families {
			if err := enc.Encode(f); err != nil {
				return nil, "", err
			}
		}
		return b.Bytes(), string(format), nil
	}
}

// accept lists the formats that the parser reads without a binary one among them.
const accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.6,*/*;q=0.1"

// HTTP reads a page of metrics.
func HTTP(c *http.Client, url string) Read {
	return func(ctx context.Context) ([]byte, string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, "", err
		}
		r.Header.Set("Accept", accept)
		res, err := c.Do(r)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, "", fmt.Errorf("%s answers %s", url, res.Status)
		}
		text, err := io.ReadAll(io.LimitReader(res.Body, most+1))
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", url, err)
		}
		return text, res.Header.Get("Content-Type"), nil
	}
}
