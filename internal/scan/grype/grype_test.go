package grype_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/grype"
	"github.com/sluice-dev/sluice/internal/scan/scantest"
)

// sample has the fields that grype v0.110 writes, shortened.
const sample = `{"matches":[
 {"vulnerability":{"id":"CVE-2026-2","severity":"Low","fix":{"versions":[],"state":"unknown"}},"artifact":{"name":"zlib1g","version":"1:1.2.13","type":"deb","locations":[{"path":"/var/lib/dpkg/status","layerID":"sha256:1"}]}},
 {"vulnerability":{"id":"GHSA-x","severity":"Critical","description":"it breaks","fix":{"versions":["1.2.4"],"state":"fixed"}},"artifact":{"name":"example.dev/m","version":"v1.2.3","type":"go-module","locations":[{"path":"/ko-app/web"}]}},
 {"vulnerability":{"id":"GHSA-x","severity":"Critical","description":"it breaks","fix":{"versions":["1.2.4"],"state":"fixed"}},"artifact":{"name":"example.dev/m","version":"v1.2.3","type":"go-module","locations":[{"path":"/ko-app/web"}]}},
 {"vulnerability":{"id":"CVE-2026-3","severity":"","fix":{}},"artifact":{"name":"a","version":"1"}}
],"source":{"type":"image"},"distro":{"name":"debian"},
"descriptor":{"name":"grype","version":"0.110.0","db":{"status":{"schemaVersion":"v6.1.2","built":"2026-03-01T02:03:04Z","path":"/db"},"providers":{}}}}`

func want() scan.Result {
	return scan.Result{Scanner: "grype 0.110.0", Database: time.Date(2026, 3, 1, 2, 3, 4, 0, time.UTC), Findings: []scan.Finding{
		{ID: "GHSA-x", Severity: "critical", Package: "example.dev/m", Version: "v1.2.3", Fixed: "1.2.4", Place: "/ko-app/web", Title: "it breaks"},
		{ID: "CVE-2026-2", Severity: "low", Package: "zlib1g", Version: "1:1.2.13", Place: "/var/lib/dpkg/status"},
		{ID: "CVE-2026-3", Severity: "unknown", Package: "a", Version: "1"},
	}}
}

func TestContract(t *testing.T) {
	scantest.Run(t, scantest.Subject{Open: func(p string) scan.Scanner { return grype.New(grype.Options{Path: p}) }, Sample: sample, Want: want()})
}

// TestArguments: a layout is read as one, and an image of several platforms in the registry one by one.
func TestArguments(t *testing.T) {
	program := scantest.Program(t, `echo "$@" >&2; exit 9`)
	layout := scantest.Target()
	remote := layout
	remote.Layout, remote.Platform = "", "linux/arm64"
	for want, target := range map[string]scan.Target{
		"oci-dir:/layout -o json -q":                                          layout,
		"registry:" + remote.Reference + " -o json -q --platform linux/arm64": remote,
	} {
		if _, err := grype.New(grype.Options{Path: program}).Scan(t.Context(), target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it ran with %v, want %s", err, want)
		}
	}
}

func TestDamagedDatabase(t *testing.T) {
	broken := strings.Replace(sample, `"path":"/db"`, `"error":"checksum mismatch"`, 1)
	if _, err := grype.Decode([]byte(broken)); !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "checksum mismatch") {
		t.Errorf("it gave %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"matches":[{}],"descriptor":{"name":"grype"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := grype.Decode(data); err != nil && !fault.Is(err, fault.Fatal) {
			t.Errorf("it gave %+v, %v", r, err)
		}
	})
}
