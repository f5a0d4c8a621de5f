package release_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
)

// tester is a builder whose tests end as it is told.
type tester struct {
	builder
	ended build.Tested
	err   error
	files map[string]string
}

func (f *tester) Test(_ context.Context, _ build.Request, dir string) (build.Tested, error) {
	for name, text := range f.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return build.Tested{}, err
		}
	}
	return f.ended, f.err
}

const (
	good = `<testsuite><testcase name="a"/><testcase name="b"/><testcase name="c"><skipped/></testcase></testsuite>`
	bad  = `<testsuite><testcase name="a"/><testcase name="breaks"><failure message="want 1, got 2"/></testcase></testsuite>`
)

// tested is the shop with a test stage for one image.
func tested(t *testing.T, f *tester) (*release.Maker, release.MakeRequest) {
	t.Helper()
	project, dir := shop(t)
	spec := project.Services["shop"]
	spec.Images["back"] = v1alpha1.Image{Dockerfile: "back/Dockerfile", TestTarget: "testrunner", TestResults: "/results"}
	m := maker(&f.builder, clean(), &registrytest.Memory{})
	m.Builders["dockerfile"] = f
	return m, release.MakeRequest{Project: project, Service: "shop", Dir: dir}
}

func TestPassedTestsAreInTheRelease(t *testing.T) {
	f := &tester{ended: build.Tested{Passed: true, Collected: true}, files: map[string]string{"junit.xml": good}}
	m, req := tested(t, f)
	var lines []string
	req.Progress = func(line string) { lines = append(lines, line) }
	stale := filepath.Join(req.Dir, release.TestsDir("shop", "back"), "stale.xml")
	put(t, req.Dir, filepath.Join(release.TestsDir("shop", "back"), "stale.xml"), bad)
	made, ref, err := m.Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]v1alpha1.Tests{"back": {Passed: 2, Skipped: 1}}
	if diff := cmp.Diff(want, made.Tests); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if loaded, _, err := release.Load(t.Context(), m.Registry, ref.Ref); err != nil || !cmp.Equal(loaded.Tests, want) {
		t.Errorf("the release comes back with %v, %v", loaded.Tests, err)
	}
	if !strings.Contains(strings.Join(lines, "\n"), "tested image back: 2 passed, 1 skipped; results in .sluice/tests/shop/back") {
		t.Errorf("the progress does not tell: %q", lines)
	}
	if _, err := os.Stat(stale); err == nil {
		t.Error("what an earlier run left is still there")
	}
	if ignored, err := os.ReadFile(filepath.Join(req.Dir, ".sluice", ".gitignore")); err != nil || string(ignored) != "*\n" {
		t.Errorf("the results make the checkout look changed: %q, %v", ignored, err)
	}
}

func TestTestsThatDoNotPass(t *testing.T) {
	passed := build.Tested{Passed: true, Collected: true}
	for name, test := range map[string]struct {
		f    *tester
		kind fault.Kind
		says string
	}{
		"a failed test":             {&tester{ended: build.Tested{Reason: "exit code 1", Collected: true}, files: map[string]string{"a.xml": bad}}, fault.Refused, "1 of 2 tests failed\n  breaks: want 1, got 2"},
		"failed, but exit code 0":   {&tester{ended: passed, files: map[string]string{"a.xml": bad}}, fault.Refused, "1 of 2 tests failed"},
		"a crash":                   {&tester{ended: build.Tested{Reason: "exit code 137", Output: "killed", Collected: true}}, fault.Refused, "exit code 137\nkilled"},
		"a crash with good files":   {&tester{ended: build.Tested{Reason: "exit code 2", Collected: true}, files: map[string]string{"a.xml": good}}, fault.Refused, "exit code 2"},
		"a crash while it writes":   {&tester{ended: build.Tested{Reason: "exit code 2", Collected: true}, files: map[string]string{"a.xml": good[:30]}}, fault.Refused, "exit code 2"},
		"no results":                {&tester{ended: passed}, fault.Refused, "left no result file"},
		"results that break off":    {&tester{ended: passed, files: map[string]string{"a.xml": good[:30]}}, fault.Refused, "cannot be told"},
		"no test at all":            {&tester{ended: passed, files: map[string]string{"a.xml": "<testsuite/>"}}, fault.Refused, "no test passed"},
		"a stage that is not built": {&tester{err: fault.New(fault.Usage, "build stage", "undefined: x")}, fault.Usage, "undefined: x"},
		"nobody who builds":         {&tester{err: fault.New(fault.Unreachable, "build stage", "refused")}, fault.Unreachable, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			m, req := tested(t, test.f)
			_, _, err := m.Make(t.Context(), req)
			if !fault.Is(err, test.kind) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v of kind %v", err, fault.KindOf(err))
			}
			if full, err := release.Resolve(prefix, "shop:1.2.4-dev.4.g0123456789"); err != nil {
				t.Fatal(err)
			} else if _, _, err := release.Load(t.Context(), m.Registry, full); !fault.Is(err, fault.NotFound) {
				t.Errorf("a release was pushed: %v", err)
			}
		})
	}
}

func TestTestsByExitCodeAlone(t *testing.T) {
	m, req := tested(t, &tester{ended: build.Tested{Passed: true}})
	made, _, err := m.Make(t.Context(), req)
	if err != nil || made.Tests["back"] != (v1alpha1.Tests{}) || len(made.Tests) != 1 {
		t.Errorf("got %v, %v", made.Tests, err)
	}
}

func TestABuilderThatCannotTestSaysSo(t *testing.T) {
	m, req := tested(t, &tester{})
	m.Builders["dockerfile"] = m.Builders["ko"]
	if _, _, err := m.Make(t.Context(), req); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "cannot test") {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
}

// references is a builder that pushed its image itself.
type references struct{ image build.Image }

func (r references) Build(context.Context, build.Request, string) (build.Image, error) {
	return r.image, nil
}

func TestAnImageThatTheBuilderPushedIsNamedAsItIs(t *testing.T) {
	project, dir := shop(t)
	digest := "sha256:" + strings.Repeat("a", 64)
	project.Services["shop"].Images["back"] = v1alpha1.Image{Script: &v1alpha1.Script{Run: []string{"./build.sh"}}}
	m := maker(&builder{}, clean(), &registrytest.Memory{})
	m.Builders["script"] = references{build.Image{Reference: "other.test/back@" + digest, Digest: digest}}
	made, _, err := m.Make(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir})
	if err != nil || made.Images["back"] != "other.test/back@"+digest || !strings.HasPrefix(made.Images["front"], prefix) {
		t.Errorf("got %v, %v", made.Images, err)
	}
}

func TestResultsDoNotLeaveTheProject(t *testing.T) {
	m, req := tested(t, &tester{ended: build.Tested{Passed: true, Collected: true}})
	outside := t.TempDir()
	put(t, outside, "tests/shop/back/precious", "kept")
	if err := os.Symlink(outside, filepath.Join(req.Dir, ".sluice")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Make(t.Context(), req); !fault.Is(err, fault.Usage) {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
	if _, err := os.Stat(filepath.Join(outside, "tests", "shop", "back", "precious")); err != nil {
		t.Error(err)
	}
}
