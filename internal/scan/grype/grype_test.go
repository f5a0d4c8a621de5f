package grype_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/grype"
	"github.com/sluice-dev/sluice/internal/scan/scantest"
)

// sample is what grype 0.110.0 wrote about an image, without what is not read, in another order, and with one finding twice.
func sample(t testing.TB) string {
	t.Helper()
	data, err := os.ReadFile("testdata/grype-0.110.0.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func want() scan.Result {
	return scan.Result{Scanner: "grype 0.110.0", Database: time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC), Findings: []scan.Finding{
		{ID: "GHSA-2222-3333-4444", Severity: "critical", Package: "example.dev/old", Version: "v1.2.3", Fixed: "1.3.0", Place: "/ko-app/web", Title: "it reads beyond the end"},
		{ID: "CVE-2026-1000", Severity: "high", Package: "libold", Version: "1.0-2", Fixed: "1.0-3", Place: "/var/lib/dpkg/status", Title: "it writes beyond the end"},
		{ID: "CVE-2026-1001", Severity: "low", Package: "libold", Version: "1.0-2", Place: "/var/lib/dpkg/status", Title: "it prints nonsense"},
	}}
}

func TestContract(t *testing.T) {
	scantest.Run(t, scantest.Subject{Open: func(p string) scan.Scanner { return grype.New(grype.Options{Path: p}) }, Sample: sample(t), Want: want()})
}

// TestFailures: what is repeated of a failure are the program's errors, and what it is known for has a cure. The texts are those of grype 0.110.0.
func TestFailures(t *testing.T) {
	for name, c := range map[string]struct{ said, want, hint string }{
		"no database": {
			`[0000]  WARN unable to check for vulnerability database update
[0007] ERROR \033[31mfailed to load vulnerability db: database does not exist\033[0m
`, "run scanner: exit status 1: failed to load vulnerability db: database does not exist", "grype db update"},
		"several lines": {
			`[0000] ERROR \033[31mfailed to catalog: errors occurred attempting to resolve X:
  - oci-registry: GET X: UNAUTHORIZED: authentication required
\033[0m
[0001]  WARN more
`, "failed to catalog: errors occurred attempting to resolve X:; - oci-registry: GET X: UNAUTHORIZED: authentication required", "docker login"},
		"another way": {"no such flag\n", "exit status 1: no such flag", ""},
		"no word":     {"", "exit status 1: it does not say why", ""},
	} {
		program := scantest.Program(t, "printf '"+c.said+"' >&2; exit 1")
		_, err := grype.New(grype.Options{Path: program}).Scan(t.Context(), scantest.Target())
		if !fault.Is(err, fault.Unreachable) || !strings.HasSuffix(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) {
			t.Errorf("%s: it gave %v, hint %q", name, err, fault.HintOf(err))
		}
	}
}

// TestSettings: what the environment says of the program wins.
func TestSettings(t *testing.T) {
	program := scantest.Program(t, `echo "$GRYPE_DB_VALIDATE_AGE $GRYPE_CHECK_FOR_APP_UPDATE" >&2; exit 9`)
	o := grype.Options{Path: program, Env: []string{"PATH=" + os.Getenv("PATH"), "GRYPE_DB_VALIDATE_AGE=true"}}
	if _, err := grype.New(o).Scan(t.Context(), scantest.Target()); err == nil || !strings.Contains(err.Error(), "true false") {
		t.Errorf("it ran with %v", err)
	}
}

// TestArguments: a layout is read as one, and an image of several platforms in the registry one by one.
func TestArguments(t *testing.T) {
	program := scantest.Program(t, `echo "$@" >&2; exit 9`)
	layout := scantest.Target()
	remote := layout
	remote.Layout, remote.Platform = "", "linux/arm64"
	for want, target := range map[string]scan.Target{
		"oci-dir:/layout -o json": layout,
		"registry:" + remote.Reference + " -o json --platform linux/arm64": remote,
	} {
		if _, err := grype.New(grype.Options{Path: program}).Scan(t.Context(), target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it ran with %v, want %s", err, want)
		}
	}
}

func TestDamagedDatabase(t *testing.T) {
	broken := strings.Replace(sample(t), `"valid": true`, `"error": "checksum mismatch"`, 1)
	if _, err := grype.Decode([]byte(broken)); !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "checksum mismatch") {
		t.Errorf("it gave %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample(f)))
	f.Add([]byte(`{"matches":[{}],"descriptor":{"name":"grype"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := grype.Decode(data); err != nil && !fault.Is(err, fault.Fatal) {
			t.Errorf("it gave %+v, %v", r, err)
		}
	})
}
