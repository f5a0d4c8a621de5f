package trivy_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/scantest"
	"github.com/sluice-dev/sluice/internal/scan/trivy"
)

const version = `{"Version":"0.74.0","VulnerabilityDB":{"Version":2,"NextUpdate":"2026-03-02T07:00:00Z","UpdatedAt":"2026-03-01T01:02:03Z","DownloadedAt":"2026-03-01T05:00:00Z"}}`

func open(path string) scan.Scanner { return trivy.New(trivy.Options{Path: path}) }

// TestContract: the sample is what trivy 0.74.0 wrote of the image in test/scanners, without its list of packages.
func TestContract(t *testing.T) {
	sample, err := os.ReadFile("testdata/trivy-0.74.0.json")
	if err != nil {
		t.Fatal(err)
	}
	scantest.Run(t, scantest.Subject{Open: open, Sample: string(sample), Answers: map[string]string{"version": version}, Want: scan.Result{
		Scanner: "trivy 0.74.0", Database: time.Date(2026, 3, 1, 1, 2, 3, 0, time.UTC), Findings: []scan.Finding{
			{ID: "GHSA-2222-3333-4444", Severity: "critical", Package: "example.dev/old", Version: "v1.2.3", Fixed: "1.3.0", Place: "ko-app/web", Title: "it reads beyond the end"},
			{ID: "CVE-2026-1000", Severity: "high", Package: "libold", Version: "1.0-2", Fixed: "1.0-3", Place: "/layout (debian 12.5)", Title: "it writes beyond the end"},
			{ID: "CVE-2026-1001", Severity: "low", Package: "libold", Version: "1.0-2", Place: "/layout (debian 12.5)", Title: "it prints nonsense"},
		}}})
}

func TestPlaces(t *testing.T) {
	got, err := trivy.Decode([]byte(`{"SchemaVersion":2,"ArtifactType":"container_image","Results":[{"Target":"clean"},
	 {"Target":"python","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-5","PkgName":"x","PkgPath":"app/x.whl","Severity":"UNKNOWN"}]}]}`))
	if err != nil || len(got.Findings) != 1 || got.Findings[0].Place != "app/x.whl" || got.Findings[0].Severity != "unknown" {
		t.Errorf("it gave %+v, %v", got, err)
	}
}

func TestFailuresAreCured(t *testing.T) {
	for says, hint := range map[string]string{
		"init error: DB error: database error: --skip-db-update cannot be specified on the first run": "--download-db-only",
		"remote error: GET http://registry/oauth2/token: UNAUTHORIZED: wrong password":                "docker login",
	} {
		program := scantest.Program(t, `printf '2026-11-27T23:30:45Z\tFATAL\tFatal error\trun error: `+says+`\n' >&2; exit 1`)
		_, err := open(program).Scan(t.Context(), scantest.Target())
		if !fault.Is(err, fault.Unreachable) || !strings.HasSuffix(err.Error(), "exit status 1: run error: "+says) || !strings.Contains(fault.HintOf(err), hint) {
			t.Errorf("%v, hint %q", err, fault.HintOf(err))
		}
	}
}

func TestArguments(t *testing.T) {
	program := scantest.Program(t, `echo "$@" >&2; exit 9`)
	layout := scantest.Target()
	remote, platform := layout, layout
	remote.Layout, platform.Layout, platform.Platform = "", "", "linux/arm64"
	for want, target := range map[string]scan.Target{
		"image --quiet --scanners vuln --format json --input /layout":                                                 layout,
		"image --quiet --scanners vuln --format json --image-src=remote " + remote.Reference:                          remote,
		"image --quiet --scanners vuln --format json --image-src=remote --platform linux/arm64 " + platform.Reference: platform,
	} {
		if _, err := open(program).Scan(t.Context(), target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it ran with %v, want %s", err, want)
		}
	}
}

// TestNoDatabase: a program that has none says so by leaving it out, and the result has no date.
func TestNoDatabase(t *testing.T) {
	got, err := open(scantest.Program(t, `case $1 in version) echo '{"Version":"0.74.0"}';; *) echo '{"SchemaVersion":2,"ArtifactType":"container_image"}';; esac`)).Scan(t.Context(), scantest.Target())
	if err != nil || !got.Database.IsZero() {
		t.Errorf("it gave %+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	sample, err := os.ReadFile("testdata/trivy-0.74.0.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sample)
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := trivy.Decode(data); err != nil && !fault.Is(err, fault.Fatal) {
			t.Errorf("it gave %+v, %v", r, err)
		}
	})
}
