// SPDX-License-Identifier: Apache-2.0

package oracle

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/k8s/apis/cilium.io/client"
	v2 "github.com/cilium/cilium/pkg/k8s/apis/cilium.io/v2"
	"github.com/cilium/cilium/pkg/labelsfilter"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
)

var quiet = slog.New(slog.DiscardHandler)

// The story as the driver's test writes it.

type world struct {
	Name    string
	Objects []json.RawMessage
	Asks    []ask
}

type ask struct {
	From, To    map[string]string
	Port        uint16
	Request     request
	Admit, Sure bool
}

type request struct {
	Layer              uint8
	Method, Path, Host string
	Headers            map[string][]string
}

// The layers of a request.
const (
	http = iota
	stream
	datagram
)

// story has the driver's test write what it says now.
func story(t *testing.T) (worlds []world) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "story.json")
	cmd := exec.Command("go", "test", "./mesh/cilium", "-count=1", "-run", "^TestStory$", "-story", path)
	cmd.Dir = filepath.Join("..", "..", "..")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the driver's test does not write the story: %v\n%s", err, text)
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &worlds)
	}
	if err != nil {
		t.Fatal(err)
	}
	return worlds
}

// TestCilium asks Cilium what the policies of every world let through: nothing that is not permitted, and all that is where the driver says that it
// is exact.
func TestCilium(t *testing.T) {
	option.Config.EnableL7Proxy = true
	policy.SetPolicyEnabled(option.DefaultEnforcement)
	if err := labelsfilter.ParseLabelPrefixCfg(quiet, nil, nil, ""); err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*crd{"CiliumNetworkPolicy": newCRD(t, client.CNPCRDName), "CiliumClusterwideNetworkPolicy": newCRD(t, client.CCNPCRDName)}
	var c struct{ Objects, Admitted, Refused, Narrowed int }
	for _, w := range story(t) {
		var rules api.Rules
		for _, text := range w.Objects {
			c.Objects++
			rules = append(rules, parsed(t, schemas, text)...)
		}
		j := newJudge(rules, w.Asks)
		for i := range w.Asks {
			a := &w.Asks[i]
			got, err := j.admits(a)
			switch {
			case err != nil:
				t.Fatal(err)
			case got && !a.Admit, !got && a.Admit && a.Sure:
				t.Fatalf("world %s: %+v: admitted is %v, and should be %v\n%s", w.Name, a, got, a.Admit, w.Objects)
			case got:
				c.Admitted++
			case a.Admit:
				c.Narrowed++
			default:
				c.Refused++
			}
		}
	}
	if t.Logf("%+v", c); c.Admitted < 1000 || c.Refused < 1000 {
		t.Errorf("too few questions were asked: %+v", c)
	}
}

// parsed has Cilium read a policy, with its schema and with all that its agent checks.
func parsed(t *testing.T, schemas map[string]*crd, text json.RawMessage) api.Rules {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(text, &o); err != nil {
		t.Fatal(err)
	}
	kind, _ := o["kind"].(string)
	if problems := schemas[kind].check(o); len(problems) > 0 {
		t.Fatalf("the schema refuses %s: %v", text, problems)
	}
	var rules api.Rules
	var err error
	if kind == "CiliumNetworkPolicy" {
		var p v2.CiliumNetworkPolicy
		if err = json.Unmarshal(text, &p); err == nil {
			rules, err = p.Parse(quiet, "default")
		}
	} else {
		var p v2.CiliumClusterwideNetworkPolicy
		if err = json.Unmarshal(text, &p); err == nil {
			rules, err = p.Parse(quiet, "default")
		}
	}
	if err != nil {
		t.Fatalf("Cilium refuses %s: %v", text, err)
	}
	return rules
}

// crd is one of Cilium's schemas.
type crd struct {
	schema     validation.SchemaCreateValidator
	structural *schema.Structural
}

func newCRD(t *testing.T, name string) *crd {
	t.Helper()
	def := client.GetPregeneratedCRD(quiet, name)
	var props apiextensions.JSONSchemaProps
	err := v1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(def.Spec.Versions[0].Schema.OpenAPIV3Schema, &props, nil)
	if err != nil {
		t.Fatal(err)
	}
	sv, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		t.Fatal(err)
	}
	st, err := schema.NewStructural(&props)
	if err != nil {
		t.Fatal(err)
	}
	return &crd{sv, st}
}

func (c *crd) check(o map[string]any) (problems []string) {
	for _, e := range validation.ValidateCustomResource(nil, o, c.schema) {
		problems = append(problems, e.Error())
	}
	return append(problems, pruning.PruneWithOptions(o, c.structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
}

// outside is who has no pod in the cluster.
const outside = identity.ReservedIdentityWorld
