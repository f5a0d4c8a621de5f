package sarif_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/sarif"
	"github.com/sluice-dev/sluice/internal/scan/scantest"
)

const sample = `{"$schema":"https://json.schemastore.org/sarif-2.1.0.json","version":"2.1.0","runs":[{
 "tool":{"driver":{"name":"any","version":"3","rules":[
  {"id":"CVE-2026-1","shortDescription":{"text":"it breaks"},"properties":{"security-severity":"9.8"}},
  {"id":"CVE-2026-2","defaultConfiguration":{"level":"note"}},
  {"id":"CVE-2026-3","properties":{"security-severity":7.5}}]}},
 "results":[
  {"ruleId":"CVE-2026-2","ruleIndex":1,"message":{"text":"some text"}},
  {"ruleId":"CVE-2026-1","ruleIndex":0,"level":"note","message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"app/web"}}}]},
  {"ruleIndex":2,"level":"warning","message":{"text":"m"},"suppressions":[{"kind":"inSource"}]},
  {"ruleId":"CVE-2026-4","kind":"pass","message":{"text":"in order"}},
  {"ruleId":"CVE-2026-5","message":{"text":"no rule, no level"}},
  {"ruleId":"CVE-2026-6","level":"error","message":{"text":"bad"}},
  {"ruleId":"CVE-2026-7","level":"none","message":{"text":"who knows"}}]}]}`

func want() scan.Result {
	return scan.Result{Scanner: "any 3", Findings: []scan.Finding{
		{ID: "CVE-2026-1", Severity: "critical", Place: "app/web", Title: "it breaks"},
		{ID: "CVE-2026-3", Severity: "high", Title: "m"},
		{ID: "CVE-2026-6", Severity: "high", Title: "bad"},
		{ID: "CVE-2026-5", Severity: "medium", Title: "no rule, no level"},
		{ID: "CVE-2026-2", Severity: "low", Title: "some text"},
		{ID: "CVE-2026-7", Severity: "unknown", Title: "who knows"},
	}}
}

func TestContract(t *testing.T) {
	scantest.Run(t, scantest.Subject{Open: func(p string) scan.Scanner { return sarif.New(sarif.Options{Command: []string{p, "{layout}"}}) }, Sample: sample, Want: want()})
}

// TestReportOfGrype reads what grype 0.110.0 wrote in SARIF about an image, but for the help texts and in another order: its rules are
// vulnerabilities of packages, and are found by the vulnerability's own ID.
func TestReportOfGrype(t *testing.T) {
	data, err := os.ReadFile("testdata/grype-0.110.0.sarif")
	if err != nil {
		t.Fatal(err)
	}
	got, err := sarif.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(scan.Result{Scanner: "grype 0.110.0", Findings: []scan.Finding{
		{ID: "GHSA-2222-3333-4444", Severity: "critical", Package: "example.dev/old", Version: "v1.2.3", Place: "web//ko-app/web", Title: "GHSA-2222-3333-4444 critical vulnerability for example.dev/old package"},
		{ID: "CVE-2026-1000", Severity: "high", Package: "libold", Version: "1.0-2", Place: "web//var/lib/dpkg/status", Title: "CVE-2026-1000 high vulnerability for libold package"},
		{ID: "CVE-2026-1001", Severity: "low", Package: "libold", Version: "1.0-2", Place: "web//var/lib/dpkg/status", Title: "CVE-2026-1001 low vulnerability for libold package"},
	}}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	program := scantest.Program(t, `echo "$PWD $@" >&2; exit 9`)
	s := sarif.New(sarif.Options{Command: []string{program, "--image={image}", "{layout}"}, Dir: dir})
	if _, err := s.Scan(t.Context(), scantest.Target()); err == nil || !strings.Contains(err.Error(), dir+" --image=web /layout") {
		t.Errorf("it ran with %v", err)
	}
	remote := scantest.Target()
	remote.Layout = ""
	if _, err := s.Scan(t.Context(), remote); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "not built here") {
		t.Errorf("without a layout it gave %v", err)
	}
	found := scantest.Program(t, "echo '"+sample+"'; exit 1")
	if got, err := sarif.New(sarif.Options{Command: []string{found}}).Scan(t.Context(), scantest.Target()); err != nil || len(got.Findings) != 6 {
		t.Errorf("exit code 1 means that something was found: %+v, %v", got, err)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	name := "web-" + strings.Repeat("1", 64) + ".sarif"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(sample), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := sarif.New(sarif.Options{File: "{image}-{digest}.sarif", Dir: dir}).Scan(t.Context(), scantest.Target())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want(), got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"none.sarif", "link", "../x"} {
		if _, err := sarif.New(sarif.Options{File: file, Dir: dir}).Scan(t.Context(), scantest.Target()); !fault.Is(err, fault.Unreachable) {
			t.Errorf("%s gave %v", file, err)
		}
	}
}

func TestUnfinishedRun(t *testing.T) {
	report := strings.Replace(sample, `"results"`, `"invocations":[{"executionSuccessful":false}],"results"`, 1)
	if _, err := sarif.Decode([]byte(report)); err == nil || !strings.Contains(err.Error(), "any says that it did not finish") {
		t.Errorf("it gave %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"version":"2.1.0","runs":[{"results":[{"ruleIndex":-1,"ruleId":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := sarif.Decode(data)
		if err != nil && !fault.Is(err, fault.Fatal) && !fault.Is(err, fault.Unreachable) {
			t.Errorf("it gave %v", err)
		}
		for _, found := range r.Findings {
			if !strings.Contains("unknown negligible low medium high critical", string(found.Severity)) || found.Severity == v1alpha1.Severity("") {
				t.Errorf("severity %q", found.Severity)
			}
		}
	})
}
