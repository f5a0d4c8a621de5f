package cli

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/plan"
)

// shop is a project of two services.
const shop = `apiVersion: sluice.dev/v1alpha1
kind: Project
name: shop
registry: localhost:5000/shop
services:
  basket: {images: {web: {ko: basket}}, chart: chart, imageValues: {web: image}}
  catalog: {images: {web: {ko: catalog}}, chart: chart, imageValues: {web: image}}
environments:
  dev: {cluster: {context: sluice-local}, namespace: dev, strategy: {direct: {}}}
`

func newShop(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.write("sluice.yaml", shop)
	w.write("basket/main.go", "package main\n")
	w.write("catalog/main.go", "package main\n")
	return w
}

// git puts the shop under Git, with one commit per set of files.
func (w *world) git(args ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "git", args...)
	cmd.Dir = w.dir
	cmd.Env = []string{"HOME=" + w.t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.test", "PATH=/usr/bin:/bin:/usr/local/bin"}
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func TestBuildWithoutAServiceBuildsAll(t *testing.T) {
	w := newShop(t)
	text := w.must(0, "build").stdout
	for _, want := range []string{"release  basket 1.0.0  ", "release  catalog 1.0.0  "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	doc := decode[buildsDocument](t, w.must(0, "build", "catalog", "basket", "catalog", "-o", "json").stdout)
	if len(doc.Results) != 2 || doc.Kind != "BuildResult" || doc.Results[0].Service != "basket" || doc.Results[1].Release.Version != "1.0.0" {
		t.Errorf("the result is %+v", doc)
	}
	if one := decode[releaseDocument](t, w.must(0, "build", "basket", "-o", "json").stdout); one.Kind != "ReleaseResult" {
		t.Errorf("one service gives a %s", one.Kind)
	}
}

func TestBuildGoesOnPastAFailure(t *testing.T) {
	w := newShop(t)
	w.broken = map[string]error{"basket": fault.New(fault.Refused, "test image web", "1 of 3 tests failed").WithHint("repair it")}
	r := w.must(3, "build", "-o", "json")
	doc := decode[buildsDocument](t, r.stdout)
	if got := doc.Results[0].Error; got == nil || got.ExitCode != 3 || got.Reason != "refused" || got.Hint != "repair it" {
		t.Errorf("the failure is %+v", got)
	}
	if doc.Results[1].Release == nil {
		t.Error("the other service was not released")
	}
	for _, want := range []string{"1 of 2 services failed", "basket: test image web: 1 of 3 tests failed", "hint: repair it"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("no %q in\n%s", want, r.stderr)
		}
	}
}

func TestBuildRefusesWhatDoesNotGoTogether(t *testing.T) {
	w := newShop(t)
	for _, c := range []struct{ args, want string }{
		{"build --version 1.0.0", "--version is that of one service"},
		{"build basket --planned --version 1.0.0", "--version is that of one service"},
		{"build --base main", "add --planned"},
		{"build baskt", "did you mean basket"},
	} {
		if r := w.must(2, strings.Fields(c.args)...); !strings.Contains(r.stderr, c.want) {
			t.Errorf("%s: no %q in\n%s", c.args, c.want, r.stderr)
		}
	}
	w.must(0, "build", "basket", "--version", "1.0.0")
}

func TestBuildDoesWhatIsPlanned(t *testing.T) {
	w := newShop(t)
	w.git("init", "-q", "-b", "main")
	w.git("add", ".")
	w.git("commit", "-q", "-m", "first")
	w.git("checkout", "-q", "-b", "topic/basket/gifts")
	w.write("basket/gift.go", "package main\n")
	w.git("add", ".")
	w.git("commit", "-q", "-m", "gifts")

	r := w.must(0, "build", "--planned")
	if !strings.Contains(r.stdout, "tests    web  3 passed\ntested   basket  nothing was pushed\nnothing is done for 1 service: nothing of it changed\n") {
		t.Errorf("a topic is built as\n%s", r.stdout)
	}
	if !strings.Contains(r.stderr, "push of topic/basket/gifts: 1 path changed since") {
		t.Errorf("it does not say what it is for:\n%s", r.stderr)
	}
	doc := decode[buildsDocument](t, w.must(0, "build", "--planned", "--event", "pullRequest", "--base", "main", "-o", "json").stdout)
	stages := map[string]plan.Stage{}
	for _, result := range doc.Results {
		stages[result.Service] = result.Stage
	}
	if diff := cmp.Diff(map[string]plan.Stage{"basket": plan.Verify, "catalog": plan.None}, stages); diff != "" || doc.Results[0].Tried.Images["web"] == "" {
		t.Errorf("a pull request is built as %+v:\n%s", doc.Results[0], diff)
	}
	doc = decode[buildsDocument](t, w.must(0, "build", "--planned", "--ref", "main", "-o", "json").stdout)
	if len(doc.Results) != 2 || doc.Results[0].Release == nil || !strings.HasPrefix(doc.Results[0].Release.Version, "0.1.0-dev.2.g") {
		t.Errorf("the trunk is built as %+v", doc.Results[0])
	}
	if len(w.releases) != 1 {
		t.Errorf("there are %d releases", len(w.releases))
	}
	w.broken = map[string]error{"basket": fmt.Errorf("it does not build")}
	w.must(1, "build", "--planned")
}
