// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/anymesh/anymesh/metrics/local"
)

// TestServe asks over HTTP, by GET and by POST.
func TestServe(t *testing.T) {
	s := open(t, local.Options{})
	text := ""
	w := s.Scraper(says(&text))
	at := start()
	for i := range 4 {
		text = fmt.Sprintf("hits{code=\"200\"} %d\nbad NaN\n", i*10)
		check(t, w.Scrape(t.Context(), at.Add(time.Duration(i)*10*time.Second)))
	}
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	now := at.Add(30 * time.Second).Unix()
	for _, c := range []struct {
		path, form string
		code       int
		data       string // of data, or of error
	}{
		{"query", fmt.Sprintf("query=hits&time=%d", now), 200,
			fmt.Sprintf(`{"resultType":"vector","result":[{"metric":{"__name__":"hits","code":"200","job":"app","pod":"web-1"},"value":[%d,"30"]}]}`, now)},
		{"query", "query=nothing", 200, `{"resultType":"vector","result":[]}`},
		{"query", fmt.Sprintf("query=bad%%2B0&time=%d", now), 200, fmt.Sprintf(`{"resultType":"vector","result":[{"metric":{"job":"app","pod":"web-1"},"value":[%d,"NaN"]}]}`, now)},
		{"query", fmt.Sprintf("query=1&time=%d", now), 200, fmt.Sprintf(`{"resultType":"scalar","result":[%d,"1"]}`, now)},
		{"query", "query=sum(", 400, "parse error"},
		{"query", "query=up&time=never", 400, "cannot parse \"never\""},
		{"query", "query=up&timeout=x", 400, "cannot parse \"x\""},
		{"query_range", fmt.Sprintf("query=sum(hits)&start=%d&end=%d&step=10", now-10, now), 200,
			fmt.Sprintf(`{"resultType":"matrix","result":[{"metric":{},"values":[[%d,"20"],[%d,"30"]]}]}`, now-10, now)},
		{"query_range", fmt.Sprintf("query=hits&start=%d&end=%d&step=1s", now, now-1), 400, "before start"},
		{"query_range", fmt.Sprintf("query=hits&start=0&end=%d&step=1s", now), 400, "larger step"},
		{"query_range", fmt.Sprintf("query=hits&start=%d&end=%d&step=0", now, now), 400, "more than zero"},
		{"query_range", "query=hits", 400, "start"},
		{"labels", "", 200, `["__name__","code","job","pod"]`},
		{"labels", "match[]=bad", 200, `["__name__","job","pod"]`},
		{"label/__name__/values", "", 200, `["bad","hits","scrape_duration_seconds","scrape_samples_scraped","up"]`},
		{"label/code/values", "match[]=hits", 200, `["200"]`},
		{"label/code/values", "start=0&end=1", 200, `[]`},
		{"series", "match[]=hits&match[]=hits", 200, `[{"__name__":"hits","code":"200","job":"app","pod":"web-1"}]`},
		{"series", "match[]={}", 400, "match[]"},
		{"series", "", 400, "no match[]"},
		{"status/buildinfo", "", 200, "version"},
	} {
		form, err := url.ParseQuery(c.form)
		check(t, err)
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			var res *http.Response
			if method == http.MethodGet {
				res, err = srv.Client().Get(srv.URL + "/api/v1/" + c.path + "?" + form.Encode())
			} else {
				res, err = srv.Client().PostForm(srv.URL+"/api/v1/"+c.path, form)
			}
			check(t, err)
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			check(t, err)
			var v struct {
				Status, Error string
				Data          json.RawMessage
			}
			if err := json.Unmarshal(body, &v); err != nil {
				t.Errorf("%s %s?%s: %s", method, c.path, c.form, body)
				continue
			}
			got, status := string(v.Data), "success"
			if c.code != 200 {
				got, status = v.Error, "error"
			}
			if res.StatusCode != c.code || v.Status != status || got != c.data && !(strings.Contains(got, c.data) && c.data[0] != '{' && c.data[0] != '[') {
				t.Errorf("%s %s?%s: %d %s", method, c.path, c.form, res.StatusCode, body)
			}
		}
	}
}
