// Package arch holds the rules of the architecture as tests; it must not be imported.
package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sluice-dev/sluice/"

// source is one parsed Go file.
type source struct {
	// path relative to the repository, with slashes.
	path  string
	set   *token.FileSet
	file  *ast.File
	lines int
}

func (s source) folder() string { return path.Dir(s.path) }

// test says that the file is built for tests only, by its name or by its tag.
func (s source) test() bool {
	for _, g := range s.file.Comments {
		if g.Pos() < s.file.Package && strings.HasPrefix(g.List[0].Text, "//go:build e2e") {
			return true
		}
	}
	return strings.HasSuffix(s.path, "_test.go")
}

func (s source) at(n ast.Node) string {
	return s.path + ":" + strconv.Itoa(s.set.Position(n.Pos()).Line)
}

func parseSource(name string, text []byte) (source, error) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{path: name, set: set, file: f, lines: strings.Count(string(text), "\n")}, err
}

// sources parses every Go file of the repository that people write.
func sources(t *testing.T) []source {
	t.Helper()
	const root = "../.."
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != root && (base == "testdata" || base == "bin" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s, err := parseSource(filepath.ToSlash(relative), text)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d Go files found: these rules look at the wrong folder", len(all))
	}
	return all
}

// layer is a ring of the architecture.
type layer string

const (
	api     layer = "api"
	fault   layer = "fault"
	port    layer = "port"
	suite   layer = "contract suite"
	adapter layer = "adapter"
	core    layer = "core"
	app     layer = "app"
	cli     layer = "cli"
	cmd     layer = "cmd"
	outside layer = "outside"
	unknown layer = "unknown"
)

// layerOf places a folder of the repository in its layer.
func layerOf(folder string) layer {
	parts := strings.Split(folder, "/")
	switch {
	case parts[0] == "api":
		return api
	case parts[0] == "cmd":
		return cmd
	case parts[0] != "internal":
		return outside
	case len(parts) == 1:
		return unknown
	}
	switch parts[1] {
	case "fault":
		return fault
	case "ci", "config", "doctor", "guard", "rollout", "promotion", "plan", "analysis", "release", "provenance", "seal", "testreport", "rbac":
		return core
	case "build", "registry", "variables", "deploy", "traffic", "metric", "gate", "notify", "store", "sbom", "sign", "scan", "check", "identity", "cluster":
		switch {
		case len(parts) == 2:
			return port
		case parts[2] == parts[1]+"test":
			return suite
		default:
			return adapter
		}
	case "app":
		return app
	case "cli", "controller", "web":
		return cli
	case "arch":
		return outside
	default:
		return unknown
	}
}

// rule says what a layer may import of this module, and what of others it must not.
type rule struct {
	may    []layer
	why    string
	banned map[string]string
}

func rules() map[layer]rule {
	const kube = "only adapters speak to Kubernetes, so that the core runs in a test without a cluster"
	const helm = "only deploy/helm speaks to Helm, so that another releaser can stand beside it"
	const web = "only adapters speak to the network, so that the core is decided by values alone"
	const oci = "only adapters speak to a registry, so that builds and releases can be tested in memory"
	clients := map[string]string{"k8s.io/": kube, "sigs.k8s.io/gateway-api": kube, "sigs.k8s.io/controller-runtime": kube, "helm.sh/": helm, "net/http": web, "net": web,
		"oras.land/": oci, "github.com/google/go-containerregistry": oci, "github.com/google/ko": oci,
		"github.com/moby/buildkit": "only adapters build, so that releases can be made in memory",
		"github.com/getsops/sops":  "only adapters hold keys, so that what decides never sees a secret",
		"github.com/prometheus":    "only adapters ask sources of metrics, so that what judges can be tested with numbers alone"}
	withoutNet := map[string]string{}
	for k, v := range clients {
		if !strings.HasPrefix(k, "net") {
			withoutNet[k] = v
		}
	}
	third := map[string]string{"*": "nouns and ports are domain types only; what a vendor's type looks like is an adapter's business"}
	return map[layer]rule{
		api:     {nil, "the nouns depend on nothing, so that anybody can import them", third},
		fault:   {nil, "errors are classified below everything that returns them", third},
		port:    {[]layer{api, fault}, "a port is what core and adapters agree on; it knows neither", third},
		suite:   {[]layer{api, fault, port}, "a contract suite knows only the contract", clients},
		adapter: {[]layer{api, fault, port}, "an adapter serves one port; what adapters share belongs into the port", nil},
		core:    {[]layer{api, fault, port, core}, "the core decides; how things are done is passed in", clients},
		app:     {[]layer{api, fault, port, adapter, core}, "app is the wiring, below the commands", nil},
		cli:     {[]layer{api, fault, port, core, app, cli}, "commands use what app has wired", withoutNet},
		cmd:     {[]layer{cli, fault}, "main only turns signals into a context and an error into an exit code", third},
	}
}

// importProblems says which imports of a file break the rule, with the reason.
func importProblems(s source) []string {
	from := layerOf(s.folder())
	if from == outside || s.test() {
		return nil
	}
	if from == unknown {
		return []string{s.path + ": " + s.folder() + " is in no layer: name it in layerOf, with what it may import"}
	}
	r := rules()[from]
	var problems []string
	for _, i := range s.file.Imports {
		target, _ := strconv.Unquote(i.Path.Value)
		if why := forbidden(r, s.folder(), target); why != "" {
			problems = append(problems, fmt.Sprintf("%s: %s must not import %s: %s", s.at(i), from, target, why))
		}
	}
	return problems
}

func forbidden(r rule, folder, target string) string {
	if own, found := strings.CutPrefix(target, module); found {
		to := layerOf(own)
		same := to == adapter && family(folder) == family(own)
		if slices.Contains(r.may, to) || same {
			return ""
		}
		return r.why
	}
	standard := !strings.Contains(strings.Split(target, "/")[0], ".")
	for prefix, why := range r.banned {
		if prefix == "*" && !standard || target == prefix || strings.HasSuffix(prefix, "/") && strings.HasPrefix(target, prefix) ||
			strings.HasPrefix(target, prefix+"/") && !standard {
			return why
		}
	}
	return ""
}

// family is the folder of an adapter below its port; its inner folders belong to it.
func family(folder string) string {
	parts := strings.Split(folder, "/")
	return strings.Join(parts[:min(3, len(parts))], "/")
}

func TestImportRule(t *testing.T) {
	for _, s := range sources(t) {
		for _, problem := range importProblems(s) {
			t.Error(problem)
		}
	}
}

// TestImportRuleCanFail feeds the rule with what it forbids, and with the nearest thing that it allows.
func TestImportRuleCanFail(t *testing.T) {
	for _, test := range []struct {
		file, imports string
		broken        bool
	}{
		{"//go:build e2e\ninternal/store/storetest/a.go", "k8s.io/client-go/kubernetes", false},
		{"internal/rollout/a.go", "k8s.io/client-go/kubernetes", true},
		{"internal/rollout/a.go", "helm.sh/helm/v4/pkg/action", true},
		{"internal/config/a.go", "net/http", true},
		{"internal/config/a.go", "net/url", false},
		{"internal/config/a.go", "github.com/goccy/go-yaml", false},
		{"internal/rollout/a.go", module + "internal/deploy", false},
		{"internal/rollout/a.go", module + "internal/deploy/helm", true},
		{"internal/rollout/a_test.go", module + "internal/store/storetest", false},
		{"internal/release/a.go", "github.com/google/go-containerregistry/pkg/v1", true},
		{"internal/deploy/helm/a.go", module + "internal/traffic", false},
		{"internal/deploy/helm/a.go", module + "internal/traffic/nginx", true},
		{"internal/deploy/helm/a.go", module + "internal/deploy/helm/chart", false},
		{"internal/deploy/helm/a.go", module + "internal/rollout", true},
		{"internal/deploy/a.go", "k8s.io/api/core/v1", true},
		{"internal/deploy/a.go", module + "internal/store", true},
		{"internal/store/storetest/a.go", module + "internal/store/kube", true},
		{"api/v1alpha1/a.go", module + "internal/fault", true},
		{"api/v1alpha1/a.go", "sigs.k8s.io/yaml", true},
		{"internal/app/a.go", module + "internal/traffic/nginx", false},
		{"internal/app/a.go", module + "internal/cli", true},
		{"internal/cli/a.go", module + "internal/store/kube", true},
		{"internal/cli/a.go", "k8s.io/client-go/rest", true},
		{"internal/cli/a.go", "sigs.k8s.io/gateway-api/apis/v1", true},
		{"internal/cli/a.go", "sigs.k8s.io/yaml", false},
		{"cmd/sluice/main.go", module + "internal/app", true},
		{"internal/variables/a.go", "github.com/getsops/sops/v3", true},
		{"internal/variables/sops/a.go", "github.com/getsops/sops/v3", false},
		{"internal/variables/sops/a.go", module + "internal/config", true},
		{"internal/rollout/a.go", module + "internal/variables", false},
		{"internal/rollout/a.go", module + "internal/metric", false},
		{"internal/rollout/a.go", module + "internal/metric/ingress", true},
		{"internal/metric/a.go", "github.com/prometheus/common/expfmt", true},
		{"internal/metric/ingress/a.go", "github.com/prometheus/common/expfmt", false},
		{"internal/metric/ingress/a.go", module + "internal/traffic", false},
		{"internal/metric/ingress/a.go", module + "internal/traffic/nginx", true},
		{"internal/rollout/a.go", "github.com/prometheus/client_golang/api", true},
		{"internal/cli/a.go", module + "internal/variables/sops", true},
		{"internal/cli/a.go", "github.com/getsops/sops/v3/decrypt", true},
		{"internal/helpers/a.go", "fmt", true},
	} {
		tag, file := "", test.file
		if at := strings.LastIndex(file, "\n"); at >= 0 {
			tag, file = file[:at+1]+"\n", file[at+1:]
		}
		s, err := parseSource(file, []byte(tag+"package p\n\nimport _ \""+test.imports+"\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := importProblems(s); (len(got) > 0) != test.broken {
			t.Errorf("%s imports %s: %q", test.file, test.imports, got)
		}
	}
}
