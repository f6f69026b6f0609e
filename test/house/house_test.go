// SPDX-License-Identifier: Apache-2.0

// Package house holds the rules of the house as tests: who may import whom, and how large a thing may grow. The reasons are in the
// messages.
package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/anymesh/anymesh/"

// source is one Go file of the project that is not a test.
type source struct {
	folder string // from the root: mesh/istio
	name   string
	lines  []string
	ast    *ast.File
	set    *token.FileSet
}

// sources reads every package of the module, without tests and nested modules.
func sources(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var out []source
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := os.Stat(filepath.Join(path, "go.mod"))
			if path != root && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, parser.ParseComments)
		if err != nil {
			return err
		}
		folder, _ := filepath.Rel(root, filepath.Dir(path))
		out = append(out, source{filepath.ToSlash(folder), d.Name(), strings.Split(string(text), "\n"), file, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("found %d files: the rules look at nothing", len(out))
	}
	return out
}

// rule says what the packages under a folder may import of the project, and why no more.
type rule struct {
	folder string
	may    []string // folders; "name/" means all below it too
	why    string
}

var layers = []rule{
	{"model", nil, "the model says what is known in words of no mesh: it knows nobody"},
	{"pattern", nil, "expressions are classified without knowing who asks"},
	{"object", []string{"model"}, "an object is text with places: it knows only how findings are named"},
	{"smi", []string{"model", "object"}, "SMI is a shape around the model"},
	{"store", []string{"model"}, "the store keeps facts and knows nobody who reads them"},
	{"mesh", []string{"model", "object"}, "the contract knows the model and not the engine"},
	{"mesh/all", []string{"mesh", "mesh/"}, "the one list of drivers"},
	{"mesh/meshtest", []string{"model", "object", "smi", "store", "mesh", "engine", "file"}, "the conformance story knows the contract and no driver"},
	{"mesh/dialect", []string{"model", "object", "smi", "mesh"}, "SMI as the native language of the meshes that read it themselves"},
	{"mesh/osm", []string{"model", "object", "pattern", "mesh", "mesh/dialect"}, "its native language is SMI"},
	{"mesh/traefik", []string{"model", "object", "pattern", "mesh", "mesh/dialect"}, "its native language is SMI"},
	{"mesh/nginx", []string{"model", "object", "pattern", "mesh", "mesh/dialect"}, "its native language is SMI"},
	{"mesh/gateway", []string{"model", "object", "pattern", "mesh"}, "what drivers share is no driver, and knows none"},
	{"mesh/istio/policy", []string{"model", "pattern", "mesh"}, "what drivers share is no driver, and knows none"},
	{"mesh/gamma", []string{"model", "mesh", "mesh/gateway"}, "the Gateway API alone"},
	{"mesh/cilium", []string{"model", "object", "pattern", "mesh", "mesh/gateway"}, "permissions of its own, and the Gateway API for splits"},
	{"mesh/ambient", []string{"model", "object", "pattern", "mesh", "mesh/gateway", "mesh/istio/policy"}, "the other Istio: it shares what its policies say, and not the driver"},
	{"mesh/", []string{"model", "object", "pattern", "mesh"}, "a driver knows the model and the contract, never another driver and never a cluster"},
	{"engine", []string{"model", "store", "mesh"}, "the engine knows no driver, no source and no sink: they come to it"},
	{"file", []string{"model", "object", "smi", "store", "mesh", "engine", "file/"}, "files are a source and a sink"},
	{"migrate", []string{"model", "object", "smi", "store", "mesh", "engine"}, "a move is planned from what is given: it reads nothing, and writes nothing"},
	{"codes", []string{"model"}, "codes are explained, not found"},
	{"kube", []string{"model", "mesh"}, "how a cluster is reached does not depend on what is said there"},
	{"kube/facts", []string{"model", "file/core"}, "Kubernetes' own objects in the words of the model"},
	{"kube/source", []string{"model", "object", "smi", "store", "engine", "file/core", "kube", "kube/facts"}, "a cluster is a source of facts: it knows nobody who reads them"},
	{"kube/apply", []string{"model", "mesh", "engine", "kube"}, "a cluster is a sink of objects: it knows nobody who says them"},
	{"kube/read", []string{"model", "object", "mesh", "kube"}, "objects of a mesh as they are in a cluster: what they mean is the driver's"},
	{"kube/inventory", []string{"model", "object", "smi", "metrics", "kube"}, "which resources there are does not depend on who counts their traffic"},
	{"kube/status", []string{"model", "engine", "kube", "kube/api", "kube/source"}, "a status is made of findings"},
	{"kube/controller", []string{"model", "object", "smi", "store", "mesh", "engine", "kube", "kube/"}, "the controller puts the parts together and is given its drivers"},
	{"identity", nil, "who a workload is does not depend on what is known of it"},
	{"identity/join", []string{"identity", "identity/issue"}, "a token is one proof among others"},
	{"kube/keys", []string{"identity", "kube"}, "a Secret is a place to keep a CA in"},
	{"kube/attest", []string{"identity", "identity/issue"}, "a cluster's word for who a pod is, and nothing else of a cluster"},
	{"proxy", []string{"proxy/"}, "the proxy knows only what xDS tells it"},
	{"xds", []string{"model", "mesh", "mesh/builtin"}, "the xDS server serves what the built-in driver says"},
	{"bench/gen", []string{"model", "store"}, "the workload of the benchmarks is made of facts"},
	{"up/world", []string{"model", "metrics"}, "metrics ask which resources there are; facts tell it"},
	{"up/tap", []string{"proxy", "proxy/"}, "what passes is told by the proxies"},
	{"up/learn", []string{"up/tap"}, "a proposal is made of what was seen"},
	{"up", []string{"metrics", "metrics/", "model", "mesh", "mesh/builtin", "store", "engine", "file", "file/", "identity", "xds", "proxy", "proxy/"}, "one machine's mesh puts the parts together"},
	{"control", []string{"model", "mesh", "engine", "identity", "identity/", "xds"}, "a control plane is told what there is and serves it: it reads no source"},
	{"intercept", nil, "rules of the kernel know only ports"},
	{"sidecar", []string{"identity", "identity/", "proxy", "proxy/"}, "what runs beside a process knows the control plane by its port alone"},
	{"demo", []string{"model", "up", "file", "file/", "engine", "proxy", "proxy/"}, "the demo is a user of the mesh"},
	{"demo/kubernetes", []string{"*"}, "a program that puts a cluster, its source and the demo together"},
	{"kube/connect", []string{"kube"}, "a cluster as the commands see it"},
	{"kube/adopt", []string{"model", "smi", "mesh", "kube/connect"}, "definitions are taken over by what conversion knows, whoever wrote them"},
	{"kube/outcome", []string{"model", "smi", "kube/api", "kube/connect"}, "what became of objects is read, not worked out"},
	{"kube/install", []string{"model", "smi", "mesh", "mesh/all", "deploy", "deploy/", "kube", "kube/adopt", "kube/apply", "kube/connect"}, "an installation applies what is described elsewhere"},
	{"kube/preview", []string{"model", "store", "mesh", "mesh/all", "engine", "kube", "kube/"}, "what would be is worked out as the controller does it"},
	{"kube/check", []string{"metrics/traffic", "model", "smi", "mesh", "mesh/all", "deploy", "deploy/", "kube", "kube/"}, "a check looks at everything and changes nothing"},
	{"kube/api", nil, "what anymesh says in a cluster is plain data"},
	{"webhook", []string{"model", "object", "smi", "smi/version"}, "an API server asks about objects, one by one; what the mesh thinks of them comes as a function"},
	{"webhook/inject", nil, "a pod is changed by what it says and what the mesh is called"},
	{"webhook/certs", nil, "certificates do not depend on what is served with them"},
	{"deploy", []string{"object", "deploy/"}, "what is installed is made from what the rooms say of themselves"},
	{"deploy/manifest", []string{"model", "object", "smi", "mesh", "mesh/all", "metrics/traffic", "deploy", "deploy/schema"}, "permissions follow from the kinds that drivers write"},
	{"deploy/schema", []string{"model", "smi/version", "kube/api"}, "schemas come from the table that conversion works by"},
	{"metrics", nil, "what can be asked of traffic does not depend on who asks or who answers"},
	{"metrics/traffic", []string{"metrics"}, "answers as objects, whoever serves them"},
	{"metrics/plain", []string{"metrics", "metrics/traffic"}, "the API without a cluster shows what is answered, and knows no mesh"},
	{"metrics/query", []string{"mesh", "metrics"}, "PromQL is made of what a mesh says of its series"},
	{"metrics/kept", nil, "what is kept does not depend on what it is"},
	{"metrics/lens", []string{"mesh", "metrics", "metrics/query"}, "who a label means is told by what there is"},
	{"metrics/ask", []string{"mesh", "metrics", "metrics/kept", "metrics/lens", "metrics/query"}, "who answers a question is decided by what is there, not by who asks"},
	{"metrics/remote", []string{"metrics"}, "a Prometheus is reached without knowing what is asked"},
	{"metrics/local", []string{"metrics"}, "a Prometheus is run without knowing what is asked"},
	{"metrics/api", []string{"metrics", "metrics/traffic"}, "the API shows what is answered, and knows no mesh"},
	{"metrics/metricstest", []string{"metrics"}, "tests run Prometheus' engine over series of their own"},
	{"metrics/facade", []string{"metrics"}, "other tools' questions, asked of whoever can answer"},
	{"examples", nil, "examples are data"},
	{"cmd/", []string{"*"}, "the binary puts everything together"},
	{"test/", []string{"*"}, "tests look at everything"},
}

// find is the rule of a folder: its own, or that of the nearest folder above which says "/".
func find(folder string) *rule {
	for i := range layers {
		if layers[i].folder == folder {
			return &layers[i]
		}
	}
	for up := folder; up != ""; {
		i := strings.LastIndexByte(up, '/')
		if i < 0 {
			break
		}
		up = up[:i]
		for k := range layers {
			if layers[k].folder == up+"/" {
				return &layers[k]
			}
		}
	}
	if top, _, ok := strings.Cut(folder, "/"); ok {
		return find(top)
	}
	return nil
}

func (r *rule) allows(folder, to string) bool {
	if strings.HasPrefix(to, folder+"/") || strings.HasPrefix(folder, to+"/") && !strings.HasPrefix(folder, "mesh/") {
		return true
	}
	for _, m := range r.may {
		if m == "*" || m == to || strings.HasSuffix(m, "/") && strings.HasPrefix(to, m) {
			return true
		}
	}
	return false
}

// outside says which folders may import modules whose types must not spread.
var outside = []struct {
	prefix string
	by     []string
	why    string
}{
	{"k8s.io/client-go", []string{"kube", "webhook", "metrics", "hub", "test/kubetest"}, "a cluster is one source and one sink among others"},
	{"github.com/envoyproxy/", []string{"xds", "mesh/builtin", "proxy", "up", "control"}, "Envoy's protos are the language of the built-in mesh alone"},
	{"k8s.io/apiextensions-apiserver", []string{"mesh/meshtest", "kube", "webhook", "deploy", "metrics/api"}, "schemas judge in tests, never an object at run time"},
}

func TestLayers(t *testing.T) {
	for _, s := range sources(t) {
		r := find(s.folder)
		if r == nil {
			t.Errorf("%s is a new room: say in layers what it may import, and why", s.folder)
			continue
		}
		for _, spec := range s.ast.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if to, ours := strings.CutPrefix(path, module); ours && !r.allows(s.folder, to) {
				t.Errorf("%s/%s imports %s: %s", s.folder, s.name, to, r.why)
			}
			for _, o := range outside {
				if strings.HasPrefix(path, o.prefix) && !in(s.folder, o.by) {
					t.Errorf("%s/%s imports %s: %s", s.folder, s.name, path, o.why)
				}
			}
		}
	}
}

func in(folder string, list []string) bool {
	for _, f := range list {
		if folder == f || strings.HasPrefix(folder, f+"/") {
			return true
		}
	}
	return false
}

// The sizes beyond which a thing needs a reason: a comment `// sizes: why` right above a function, in a file's first lines, or `// sizes: package: why`.
const fileLines, functionLines, parameters, packageLines = 400, 60, 5, 1500

func TestSizes(t *testing.T) {
	total := map[string]int{}
	excused := map[string]bool{}
	for _, s := range sources(t) {
		total[s.folder] += len(s.lines)
		excuse := map[int]bool{} // lines under an excuse
		for i, l := range s.lines {
			if strings.HasPrefix(l, "// sizes: ") || strings.HasPrefix(l, "//sizes: ") {
				excuse[i+2] = true
				excused[s.folder] = excused[s.folder] || strings.Contains(l, "sizes: package")
				excuse[0] = excuse[0] || i < 10
			}
		}
		if len(s.lines) > fileLines && !excuse[0] {
			t.Errorf("%s/%s has %d lines: more than %d are two rooms", s.folder, s.name, len(s.lines), fileLines)
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || excuse[s.set.Position(f.Pos()).Line] {
				continue
			}
			if n := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1; n > functionLines {
				t.Errorf("%s/%s: %s has %d lines: more than %d do not fit a screen", s.folder, s.name, f.Name.Name, n, functionLines)
			}
			if n := f.Type.Params.NumFields(); n > parameters {
				t.Errorf("%s/%s: %s has %d parameters: more than %d want a type", s.folder, s.name, f.Name.Name, n, parameters)
			}
		}
	}
	for folder, n := range total {
		if n > packageLines && !excused[folder] && !strings.HasPrefix(folder, "test/") {
			t.Errorf("%s has %d lines: a package of more than %d has a second purpose", folder, n, packageLines)
		}
	}
}

func TestLicence(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines[0] != "// SPDX-License-Identifier: Apache-2.0" {
			t.Errorf("%s/%s does not begin with its licence", s.folder, s.name)
		}
	}
}
