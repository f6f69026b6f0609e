// SPDX-License-Identifier: Apache-2.0

package facade

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// peek reads the parameters of a request and gives it back whole, for whoever is next.
func peek(r *http.Request) (url.Values, *http.Request, error) {
	form := r.URL.Query()
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return form, r, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return nil, nil, fmt.Errorf("the form: %w", err)
	}
	if len(body) > most {
		return nil, nil, fmt.Errorf("the form is longer than %d bytes", most)
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	posted, err := url.ParseQuery(string(body))
	for k, v := range posted {
		form[k] = append(v, form[k]...) // what is posted comes first, as net/http has it
	}
	return form, r, err
}

// moment reads a time: seconds since 1970, or RFC 3339.
func moment(text string) (time.Time, error) {
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		if math.IsNaN(f) || math.Abs(f) > math.MaxInt64/1e4 {
			return time.Time{}, fmt.Errorf("no time: %s", text)
		}
		return time.UnixMilli(int64(math.Round(f * 1000))), nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

func refuse(w http.ResponseWriter, code int, kind string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": kind, "error": err.Error()})
}

// alone answers where there is no real Prometheus.
func alone(w http.ResponseWriter, r *http.Request) {
	switch form, _, err := peek(r); {
	case err == nil && strings.ReplaceAll(form.Get("query"), " ", "") == "vector(1)" && r.URL.Path == "/api/v1/query":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[%d,"1"]}]}}`, time.Now().Unix())
	case r.URL.Path == "/api/v1/status/buildinfo":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status":"success","data":{"version":"3.16.0","revision":"anymesh"}}`)
	default:
		refuse(w, http.StatusNotFound, "not_found", errors.New("whom this asks about is in no mesh that is known here, and there is no other Prometheus to ask (--prometheus)"))
	}
}
