package release_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/seal"
)

func TestTryTestsAndBuildsNothingThatHasTests(t *testing.T) {
	f := &tester{ended: build.Tested{Passed: true, Collected: true}, files: map[string]string{"junit.xml": good}}
	m, req := tested(t, f)
	reg := &registrytest.Memory{}
	m.Registry, m.Shelf = reg, reg
	// Without the whole history no version can be told; tests need none.
	m.Sources = &sources{checkout: build.Checkout{Commit: "0123", Shallow: true}, err: nil}
	done, err := m.Try(t.Context(), req, false)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(f.built, "back") || !slices.Contains(f.built, "front") {
		t.Errorf("%v was built", f.built)
	}
	if diff := cmp.Diff(map[string]v1alpha1.Tests{"back": {Passed: 2, Skipped: 1}}, done.Tests); diff != "" || done.Version != "" {
		t.Errorf("version %q, tests (-want +got):\n%s", done.Version, diff)
	}
	if pushed := reg.Pushed(); len(pushed) != 0 {
		t.Errorf("%v was pushed", pushed)
	}
	f.ended = build.Tested{Reason: "exit code 1"}
	if _, err := m.Try(t.Context(), req, false); fault.KindOf(err) != fault.Refused {
		t.Errorf("failing tests end with %v", err)
	}
}

// flaw is a fake scanner that finds one thing in every image.
type flaw struct{ severity v1alpha1.Severity }

func (f flaw) Scan(context.Context, scan.Target) (scan.Result, error) {
	return scan.Result{Scanner: "fake 1", Findings: []scan.Finding{{ID: "CVE-1", Severity: f.severity, Package: "p"}}}, nil
}

func TestTryMakesAndScansImagesAndPushesNothing(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{}
	inputs := build.Inputs{"sources": "one"}
	first, _ := shelved(t, reg, project, dir, "1.0.0", false, knowing{&builder{}, inputs, nil})
	before := len(reg.Pushed())

	try := func(b build.Builder, severity v1alpha1.Severity) (release.Tried, map[string]seal.Scanned, error) {
		m := maker(b, clean(), reg)
		m.Shelf = reg
		m.Seal = &seal.Sealer{Scanner: flaw{severity}, Scan: v1alpha1.Scan{FailOn: "high"}, Now: time.Now}
		done, err := m.Try(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir, Version: "1.1.0"}, true)
		return done, m.Seal.Report().Scans, err
	}
	same := &builder{}
	done, scans, err := try(knowing{same, inputs, nil}, "low")
	if err != nil {
		t.Fatal(err)
	}
	if len(same.built) != 0 || done.Unchanged["front"] != "1.0.0" || !strings.HasSuffix(first.Images["front"], done.Images["front"]) || len(scans) != 2 {
		t.Errorf("%v was built; done %+v, scanned %v", same.built, done, scans)
	}
	other := &builder{salt: "!"}
	done, _, err = try(knowing{other, build.Inputs{"sources": "two"}, nil}, "low")
	if err != nil || len(other.built) != 2 || len(done.Unchanged) != 0 || done.Version != "1.1.0" {
		t.Errorf("%v was built; done %+v, %v", other.built, done, err)
	}
	if _, scans, err := try(knowing{other, inputs, nil}, "high"); fault.KindOf(err) != fault.Refused || len(scans["front"].Findings) != 1 {
		t.Errorf("a high finding ends with %v and %v", err, scans)
	}
	if after := len(reg.Pushed()); after != before {
		t.Errorf("%v was pushed", reg.Pushed()[before:])
	}
}

func TestTryDoesWithoutARegistryThatRefuses(t *testing.T) {
	project, dir := shop(t)
	reg := &registrytest.Memory{Fail: func(string, string) error { return fault.New(fault.Unreachable, "ask", "401 Unauthorized") }}
	b := &builder{}
	var said []string
	m := maker(knowing{b, build.Inputs{"sources": "one"}, nil}, clean(), reg)
	m.Shelf = reg
	_, err := m.Try(t.Context(), release.MakeRequest{
		Project: project, Service: "shop", Dir: dir, Version: "1.0.0", Progress: func(line string) { said = append(said, line) },
	}, true)
	if err != nil || len(b.built) != 2 {
		t.Errorf("%v was built: %v", b.built, err)
	}
	if !slices.ContainsFunc(said, func(line string) bool {
		return strings.Contains(line, "everything is built") && strings.Contains(line, "401")
	}) {
		t.Errorf("%q does not say it", said)
	}
}

func TestTryOfAChartThatIsNone(t *testing.T) {
	project, dir := shop(t)
	if err := os.Remove(filepath.Join(dir, "chart", "Chart.yaml")); err != nil {
		t.Fatal(err)
	}
	m := maker(&builder{}, clean(), &registrytest.Memory{})
	if _, err := m.Try(t.Context(), release.MakeRequest{Project: project, Service: "shop", Dir: dir}, false); fault.KindOf(err) != fault.Usage {
		t.Errorf("it ends with %v", err)
	}
}
