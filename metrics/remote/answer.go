// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/anymesh/anymesh/metrics"
)

// answer is what the API says.
type answer struct {
	Status string `json:"status"`
	Data   data   `json:"data"`
	Type   string `json:"errorType"`
	Error  string `json:"error"`
}

type data struct {
	Type   string          `json:"resultType"`
	Result json.RawMessage `json:"result"`
}

// samples reads a vector or a number.
func (d *data) samples() ([]metrics.Sample, error) {
	switch d.Type {
	case "vector":
		var list []struct {
			Metric map[string]string `json:"metric"`
			Value  *value            `json:"value"` // none: a histogram, which no caller knows what to do with
		}
		if err := json.Unmarshal(d.Result, &list); err != nil {
			return nil, fmt.Errorf("the vector: %w", err)
		}
		out := make([]metrics.Sample, 0, len(list))
		for _, e := range list {
			if e.Value != nil {
				out = append(out, metrics.Sample{Labels: e.Metric, Value: float64(*e.Value)})
			}
		}
		return out, nil
	case "scalar":
		var v value
		if err := json.Unmarshal(d.Result, &v); err != nil {
			return nil, fmt.Errorf("the number: %w", err)
		}
		return []metrics.Sample{{Value: float64(v)}}, nil
	}
	return nil, fmt.Errorf("the answer is a %q: ask for an instant vector or a number", d.Type)
}

// value is [time, "value"].
type value float64

// UnmarshalJSON reads the second of the two.
func (v *value) UnmarshalJSON(text []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("%s is not a time and a value", text)
	}
	var s string
	if err := json.Unmarshal(pair[1], &s); err != nil {
		return err
	}
	f, err := strconv.ParseFloat(s, 64)
	*v = value(f)
	return err
}
