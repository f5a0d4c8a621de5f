package trivy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/scantest"
	"github.com/sluice-dev/sluice/internal/scan/trivy"
)

// sample is written by hand after the types of trivy v0.69, which was not run: it has the names of their fields, shortened.
const sample = `{"SchemaVersion":2,"Trivy":{"Version":"0.69.3"},"CreatedAt":"2026-03-02T00:00:00Z","ArtifactName":"/layout","ArtifactType":"container_image","Results":[
 {"Target":"/layout (debian 12.5)","Class":"os-pkgs","Type":"debian","Vulnerabilities":[
  {"VulnerabilityID":"CVE-2026-2","PkgName":"zlib1g","InstalledVersion":"1:1.2.13","Severity":"LOW","Title":"zlib: it overflows"},
  {"VulnerabilityID":"CVE-2026-1","PkgName":"libc6","InstalledVersion":"2.36","FixedVersion":"2.36-9","Severity":"HIGH"}]},
 {"Target":"ko-app/web","Class":"lang-pkgs","Type":"gobinary","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-9","PkgName":"stdlib","InstalledVersion":"v1.26.0","FixedVersion":"1.26.1","Severity":"CRITICAL"}]},
 {"Target":"python","Class":"lang-pkgs","Vulnerabilities":[{"VulnerabilityID":"CVE-2026-5","PkgName":"x","PkgPath":"app/x.whl","Severity":"UNKNOWN"}]},
 {"Target":"clean"}]}`

const version = `{"Version":"0.69.3","VulnerabilityDB":{"Version":2,"NextUpdate":"2026-03-02T07:00:00Z","UpdatedAt":"2026-03-01T01:02:03Z","DownloadedAt":"2026-03-01T05:00:00Z"}}`

func open(path string) scan.Scanner { return trivy.New(trivy.Options{Path: path}) }

func TestContract(t *testing.T) {
	scantest.Run(t, scantest.Subject{Open: open, Sample: sample, Answers: map[string]string{"version": version}, Want: scan.Result{
		Scanner: "trivy 0.69.3", Database: time.Date(2026, 3, 1, 1, 2, 3, 0, time.UTC), Findings: []scan.Finding{
			{ID: "CVE-2026-9", Severity: "critical", Package: "stdlib", Version: "v1.26.0", Fixed: "1.26.1", Place: "ko-app/web"},
			{ID: "CVE-2026-1", Severity: "high", Package: "libc6", Version: "2.36", Fixed: "2.36-9", Place: "/layout (debian 12.5)"},
			{ID: "CVE-2026-2", Severity: "low", Package: "zlib1g", Version: "1:1.2.13", Place: "/layout (debian 12.5)", Title: "zlib: it overflows"},
			{ID: "CVE-2026-5", Severity: "unknown", Package: "x", Place: "app/x.whl"},
		}}})
}

func TestArguments(t *testing.T) {
	program := scantest.Program(t, `echo "$@" >&2; exit 9`)
	layout := scantest.Target()
	remote, platform := layout, layout
	remote.Layout, platform.Layout, platform.Platform = "", "", "linux/arm64"
	for want, target := range map[string]scan.Target{
		"image --quiet --scanners vuln --format json --input /layout":                              layout,
		"image --quiet --scanners vuln --format json " + remote.Reference:                          remote,
		"image --quiet --scanners vuln --format json --platform linux/arm64 " + platform.Reference: platform,
	} {
		if _, err := open(program).Scan(t.Context(), target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it ran with %v, want %s", err, want)
		}
	}
}

// TestNoDatabase: a program that has none says so by leaving it out, and the result has no date.
func TestNoDatabase(t *testing.T) {
	got, err := open(scantest.Program(t, `case $1 in version) echo '{"Version":"0.69.3"}';; *) echo '{"SchemaVersion":2,"ArtifactType":"container_image"}';; esac`)).Scan(t.Context(), scantest.Target())
	if err != nil || !got.Database.IsZero() {
		t.Errorf("it gave %+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := trivy.Decode(data); err != nil && !fault.Is(err, fault.Fatal) {
			t.Errorf("it gave %+v, %v", r, err)
		}
	})
}
