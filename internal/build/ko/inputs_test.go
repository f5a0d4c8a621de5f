package ko_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/ko"
	"github.com/sluice-dev/sluice/internal/fault"
)

// monorepo is one module with two programs, a package that only one of them reaches, and a module that is replaced by a folder.
func monorepo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":                "module example.test/mono\n\ngo 1.26\n\nrequire example.test/other v1.0.0\n\nreplace example.test/other => ./third/other\n",
		"web/main.go":           "package main\n\nimport (\n\t_ \"embed\"\n\n\t\"example.test/mono/lib\"\n\t\"example.test/other/deep\"\n)\n\n//go:embed page/index.html\nvar page string\n\nfunc main() { println(lib.Name, deep.Name, page) }\n",
		"web/page/index.html":   "hello",
		"web/main_test.go":      "package main\n",
		"web/kodata/note.txt":   "note",
		"lib/lib.go":            "package lib\n\nimport \"example.test/mono/lib/inner\"\n\nconst Name = inner.Name\n",
		"lib/inner/inner.go":    "package inner\n\nconst Name = \"lib\"\n",
		"lib/inner/windows.go":  "//go:build windows\n\npackage inner\n",
		"job/main.go":           "package main\n\nfunc main() {}\n",
		"third/other/go.mod":    "module example.test/other\n\ngo 1.26\n",
		"third/other/deep/d.go": "package deep\n\nconst Name = \"deep\"\n",
		"README.md":             "text",
	} {
		write(t, dir, name, content)
	}
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func inputsOf(t *testing.T, dir string, image v1alpha1.Image, environ []string) build.Inputs {
	t.Helper()
	inputs, err := ko.New(ko.Options{Environ: environ}).Inputs(t.Context(), build.Request{Dir: dir, Service: "mono", Name: "web", Image: image})
	if err != nil {
		t.Fatal(err)
	}
	return inputs
}

func TestInputsChangeWithWhatTheProgramReaches(t *testing.T) {
	for name, tt := range map[string]struct {
		file, content string
		same          bool
	}{
		"its own source":               {"web/main.go", "package main\n\nfunc main() {}\n", false},
		"a new file":                   {"web/more.go", "package main\n", false},
		"what it embeds":               {"web/page/index.html", "other", false},
		"a new file that it may embed": {"web/page/new.html", "new", false},
		"kodata":                       {"web/kodata/note.txt", "other", false},
		"a library":                    {"lib/lib.go", "package lib\n\nconst Name = \"new\"\n", false},
		"a library's library":          {"lib/inner/inner.go", "package inner\n\nconst Name = \"new\"\n", false},
		"a file for another system":    {"lib/inner/windows.go", "//go:build windows\n\npackage inner\n\nconst A = 1\n", false},
		"a replaced module":            {"third/other/deep/d.go", "package deep\n\nconst Name = \"new\"\n", false},
		"a replaced module's go.mod":   {"third/other/go.mod", "module example.test/other\n\ngo 1.25\n", false},
		"go.mod":                       {"go.mod", "module example.test/mono\n\ngo 1.25\n\nrequire example.test/other v1.0.0\n\nreplace example.test/other => ./third/other\n", false},
		"go.sum":                       {"go.sum", "example.test/x v1.0.0 h1:x=\n", false},
		"a profile":                    {"web/default.pgo", "profile", false},
		"another program":              {"job/main.go", "package main\n\nfunc main() { println(1) }\n", true},
		"a test":                       {"lib/lib_test.go", "package lib\n\nimport \"testing\"\n\nfunc TestX(*testing.T) {}\n", true},
		"a text":                       {"README.md", "other", true},
		"a package nobody imports":     {"lib/unused/unused.go", "package unused\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := monorepo(t)
			before := inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, nil)
			if len(before) == 0 {
				t.Fatal("nothing is known of the inputs")
			}
			write(t, dir, tt.file, tt.content)
			after := inputsOf(t, dir, v1alpha1.Image{Ko: "web"}, nil)
			if maps.Equal(before, after) != tt.same {
				t.Errorf("the inputs before and after:\n%v\n%v", before, after)
			}
		})
	}
}

func TestInputsAreTheSameElsewhere(t *testing.T) {
	if one, other := inputsOf(t, monorepo(t), v1alpha1.Image{Ko: "web"}, nil), inputsOf(t, monorepo(t), v1alpha1.Image{Ko: "./web"}, nil); !maps.Equal(one, other) {
		t.Errorf("the same sources gave\n%v\n%v", one, other)
	}
}

func TestInputsChangeWithSettings(t *testing.T) {
	dir := monorepo(t)
	plain := inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, nil)
	for name, other := range map[string]build.Inputs{
		"platforms": inputsOf(t, dir, v1alpha1.Image{Ko: "./web", Platforms: []string{"linux/s390x"}}, nil),
		"flags":     inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, append(os.Environ(), "GOFLAGS=-tags=special")),
	} {
		if maps.Equal(plain, other) {
			t.Errorf("other %s gave the same inputs %v", name, plain)
		}
	}
}

func TestInputsAreNotClaimedWhereTheyCannotBeKnown(t *testing.T) {
	dir := monorepo(t)
	if got := inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, append(os.Environ(), "GOFLAGS=-overlay=/some/where.json")); len(got) != 0 {
		t.Errorf("with an overlay the inputs are %v", got)
	}
	write(t, dir, "lib/inner/broken.go", "this is no Go\n")
	if got := inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, nil); len(got) != 0 {
		t.Errorf("with a file that cannot be read the inputs are %v", got)
	}
}

func TestInputsFollowAWorkspaceAndVendoredModules(t *testing.T) {
	dir := monorepo(t)
	write(t, dir, "go.work", "go 1.26\n\nuse (\n\t.\n\t./apart\n)\n")
	write(t, dir, "apart/go.mod", "module example.test/apart\n\ngo 1.26\n")
	write(t, dir, "apart/a.go", "package apart\n")
	write(t, dir, "lib/inner/inner.go", "package inner\n\nimport _ \"example.test/apart\"\n\nconst Name = \"x\"\n")
	before := inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, nil)
	write(t, dir, "apart/a.go", "package apart\n\nconst A = 1\n")
	if after := inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, nil); maps.Equal(before, after) {
		t.Error("a module of the workspace changed, the inputs did not")
	}

	dir = monorepo(t)
	write(t, dir, "vendor/modules.txt", "# example.test/far v1.0.0\nexample.test/far\n")
	write(t, dir, "vendor/example.test/far/f.go", "package far\n")
	write(t, dir, "lib/inner/inner.go", "package inner\n\nimport _ \"example.test/far\"\n\nconst Name = \"x\"\n")
	before = inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, nil)
	write(t, dir, "vendor/example.test/far/f.go", "package far\n\nconst A = 1\n")
	if after := inputsOf(t, dir, v1alpha1.Image{Ko: "./web"}, nil); maps.Equal(before, after) {
		t.Error("a vendored module changed, the inputs did not")
	}
}

func TestInputsFailAsABuildDoes(t *testing.T) {
	for name, image := range map[string]v1alpha1.Image{
		"no folder":   {Ko: "./gone"},
		"no platform": {Ko: "./web", Platforms: []string{"linux"}},
		"no registry": {Ko: "./web", Base: "example.test/base:1"},
	} {
		_, err := ko.New(ko.Options{}).Inputs(t.Context(), build.Request{Dir: monorepo(t), Name: "web", Image: image})
		if !fault.Is(err, fault.Usage) {
			t.Errorf("%s: got %v of kind %v", name, err, fault.KindOf(err))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ko.New(ko.Options{}).Inputs(ctx, build.Request{Dir: monorepo(t), Name: "web", Image: v1alpha1.Image{Ko: "./web"}}); !fault.Is(err, fault.Interrupted) {
		t.Errorf("interrupted, it gave %v", err)
	}
}

// TestSameInputsGiveTheSameImage holds how images are assembled: whoever changes it raises generation in inputs.go, and the digest here.
func TestSameInputsGiveTheSameImage(t *testing.T) {
	const generation, want = "1", "sha256:d37f2a8733ad40335061fd620d1b59765b6fa9ef0a12674021c5f267c52c47c4"
	dir := monorepo(t)
	inputs := inputsOf(t, dir, v1alpha1.Image{Ko: "./job"}, nil)
	if !strings.HasPrefix(inputs["assembly"], generation+" ") {
		t.Errorf("the generation is %q; set the digest here to that of the new one", inputs["assembly"])
	}
	if got := ko.AssembledForTest(t); got != want {
		t.Errorf("a fixed program is assembled to %s, and was to %s: raise generation in inputs.go", got, want)
	}
}
