// SPDX-License-Identifier: Apache-2.0

package builtin_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/anymesh/anymesh/model"
	"github.com/anymesh/anymesh/store"
)

// The conformance suite has the same flag, and is initialised first where it is linked: one flag then serves both.
var _ = func() bool {
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "write the goldens anew; then read the difference")
	}
	return true
}()

func worlds() map[string]*store.Store {
	api, beta := model.Match{Name: "api", Path: "/api/.*", Methods: []string{"GET", "POST"}}, model.Match{Name: "beta", Headers: []model.Header{{Name: "x-beta", Value: "1|yes"}, {Name: "host", Value: `shop\..*`}}}
	return map[string]*store.Store{
		"http": world(
			service("catalog", port(80, 8080, model.HTTP), port(9090, 9090, model.GRPC)),
			service("catalog-v1", port(80, 8080, model.HTTP)), service("catalog-v2", port(80, 8080, model.HTTP)),
			group("some", api, beta),
			split("beta", "catalog", []string{"some"}, model.Backend{Service: "catalog-v2", Weight: 1}),
			split("canary", "catalog", nil, model.Backend{Service: "catalog-v1", Weight: 90}, model.Backend{Service: "catalog-v2", Weight: 10}, model.Backend{Service: "catalog", Weight: 0}),
		),
		"bytes": world(
			service("db", port(5432, 5432, model.TCP), port(80, 8080, model.Auto), port(53, 53, model.UDP)),
			service("db-new", port(5432, 5432, model.TCP), port(53, 53, model.UDP)),
			split("move", "db", nil, model.Backend{Service: "db", Weight: 3}, model.Backend{Service: "db-new", Weight: 1}),
		),
		"access": world(
			service("catalog", port(80, 8080, model.HTTP), port(5432, 5432, model.TCP), port(7000, 7000, model.Auto)), workload("catalog"),
			group("some", api, beta, model.Match{Name: "all"}), tcpRoute("db", 5432), tcpRoute("web", 8080, 7000),
			&model.Binding{Name: name("partners"), SPIFFE: []string{"spiffe://partner.example/billing"}},
			allow("api", account("catalog"), []model.Subject{account("web"), binding("partners")}, requests("some", "api", "beta"), stream("web")),
			allow("db", account("catalog"), []model.Subject{account("batch")}, stream("db")),
			allow("nobody", account("catalog"), nil, requests("some", "all")),
		),
		"open": world(
			service("catalog", port(80, 8080, model.Auto)), workload("catalog"),
			pod("catalog", "10.0.0.1", true), pod("catalog", "10.0.0.2", false), pod("catalog", "fd00::3", true),
			service("orphan", port(80, 8080, model.HTTP)),
		),
	}
}

// TestGoldens holds what stands on the wire, for a reader of the README.
func TestGoldens(t *testing.T) {
	update := flag.Lookup("update").Value.(flag.Getter).Get().(bool)
	for title, s := range worlds() {
		t.Run(title, func(t *testing.T) {
			all := translate(s)
			accepted(t, all.objects)
			var b bytes.Buffer
			for _, f := range all.findings {
				fmt.Fprintf(&b, "# %s %s %s: %s\n", f.Level, f.Object, f.Path, f.Message)
			}
			for i := range all.objects {
				text, err := json.MarshalIndent(all.objects[i].Spec, "", "  ")
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "--- %s\n%s\n", all.objects[i].Key(), text)
			}
			path := filepath.Join("testdata", "wire", title+".golden")
			if update {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v; run the test with -update and read what it writes", err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s differs; run the test with -update and read the difference. Got:\n%s", path, b.Bytes())
			}
		})
	}
}
