package seal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/seal"
)

func TestScanGate(t *testing.T) {
	high := scan.Finding{ID: "CVE-2026-1", Severity: "high", Package: "libfoo", Version: "1.2", Fixed: "1.3", Place: "/lib/libfoo.so"}
	low := scan.Finding{ID: "CVE-2026-2", Severity: "low", Package: "libbar", Version: "2"}
	fresh := time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)
	found := func(findings ...scan.Finding) *scanner {
		return &scanner{result: scan.Result{Scanner: "fake 1", Database: fresh, Findings: findings}}
	}
	ignore := func(until string) v1alpha1.Scan {
		return v1alpha1.Scan{Ignore: []v1alpha1.ScanIgnore{{ID: "cve-2026-1", Reason: "not reachable", Until: until}}}
	}
	stale := found()
	stale.result.Database = fresh.Add(-200 * time.Hour)
	undated := found()
	undated.result.Database = time.Time{}
	missing := &scanner{err: fault.New(fault.Unreachable, "run fake", "there is no program fake")}
	for name, c := range map[string]struct {
		scanner *scanner
		rules   v1alpha1.Scan
		refused string
		note    string
		summary v1alpha1.ScanSummary
	}{
		"nothing found":   {found(), v1alpha1.Scan{}, "", "scanned image web: nothing found by fake 1", v1alpha1.ScanSummary{Scanner: "fake 1", Database: fresh, Limit: "high"}},
		"below the limit": {found(low), v1alpha1.Scan{}, "", "scanned image web: 1 low by fake 1", v1alpha1.ScanSummary{Scanner: "fake 1", Database: fresh, Limit: "high", Found: map[v1alpha1.Severity]int{"low": 1}}},
		"at the limit":    {found(high, low), v1alpha1.Scan{}, "image web: 1 finding of severity high or worse\n  CVE-2026-1 (high) in libfoo 1.2 at /lib/libfoo.so, fixed in 1.3", "1 high, 1 low", v1alpha1.ScanSummary{Scanner: "fake 1", Database: fresh, Limit: "high", Found: map[v1alpha1.Severity]int{"high": 1, "low": 1}}},
		"a lower limit":   {found(low), v1alpha1.Scan{FailOn: "low"}, "CVE-2026-2 (low)", "1 low", v1alpha1.ScanSummary{Scanner: "fake 1", Database: fresh, Limit: "low", Found: map[v1alpha1.Severity]int{"low": 1}}},
		"ignored":         {found(high), ignore("2026-03-04"), "", "1 high by fake 1 (1 ignored)", v1alpha1.ScanSummary{Scanner: "fake 1", Database: fresh, Limit: "high", Found: map[v1alpha1.Severity]int{"high": 1}, Ignored: 1}},
		"no more ignored": {found(high), ignore("2026-03-03"), "CVE-2026-1 (high)", "CVE-2026-1 was ignored until 2026-03-03 (not reachable) and counts again", v1alpha1.ScanSummary{Scanner: "fake 1", Database: fresh, Limit: "high", Found: map[v1alpha1.Severity]int{"high": 1}}},
		"ignored elsewhere": {found(high), v1alpha1.Scan{Ignore: []v1alpha1.ScanIgnore{{ID: "CVE-2026-1", Package: "other", Reason: "x", Until: "2030-01-01"}}}, "CVE-2026-1 (high)", "1 high", v1alpha1.ScanSummary{
			Scanner: "fake 1", Database: fresh, Limit: "high", Found: map[v1alpha1.Severity]int{"high": 1}}},
		"a stale database": {stale, v1alpha1.Scan{}, "the database of fake 1 is of 2026-02-23T16:00:00Z, older than 120h", "", v1alpha1.ScanSummary{
			Scanner: "fake 1", Database: stale.result.Database, Limit: "high", Unavailable: "the database of fake 1 is of 2026-02-23T16:00:00Z, older than 120h"}},
		"a database of unknown age": {undated, v1alpha1.Scan{}, "fake 1 does not say how old its database is", "", v1alpha1.ScanSummary{
			Scanner: "fake 1", Limit: "high", Unavailable: "fake 1 does not say how old its database is"}},
		"no scanner": {missing, v1alpha1.Scan{}, "it could not be scanned: run fake: there is no program fake", "", v1alpha1.ScanSummary{
			Limit: "high", Unavailable: "it could not be scanned: run fake: there is no program fake"}},
		"no scanner, allowed": {missing, v1alpha1.Scan{Unavailable: "warn"}, "", "warning: image web: it could not be scanned", v1alpha1.ScanSummary{
			Limit: "high", Unavailable: "it could not be scanned: run fake: there is no program fake"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.scanner, w.rules = c.scanner, c.rules
			w.rules.MaxAge = v1alpha1.Duration(120 * time.Hour)
			if w.rules.FailOn == "" {
				w.rules.FailOn = "high"
			}
			before := w.beside()
			s := w.sealer()
			err := s.Images(t.Context(), seal.Making{Release: w.release, Layouts: w.layouts, Work: t.TempDir()})
			switch {
			case c.refused == "" && err != nil:
				t.Errorf("it gave %v", err)
			case c.refused != "" && (!fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), c.refused)):
				t.Errorf("it gave %v, want a refusal with %q", err, c.refused)
			case c.refused != "" && w.beside() != before:
				t.Error("it was sealed nevertheless")
			}
			if !strings.Contains(strings.Join(w.notes, "\n"), c.note) {
				t.Errorf("it says %q, and not %q", w.notes, c.note)
			}
			got := w.release.Scans["web"]
			if diff := cmp.Diff(c.summary, got); diff != "" {
				t.Errorf("summary (-want +got)\n%s", diff)
			}
			if len(s.Report().Scans["web"].Findings) != len(c.scanner.result.Findings) {
				t.Errorf("the report lacks findings: %+v", s.Report().Scans)
			}
		})
	}
}

// TestTheErrorStaysReadable: an image with a thousand findings gives the worst ones, and says how many there are.
func TestTheErrorStaysReadable(t *testing.T) {
	w := newWorld(t)
	result := scan.Result{Scanner: "fake 1", Database: w.now}
	for i := range 1000 {
		result.Findings = append(result.Findings, scan.Finding{ID: "CVE-" + strings.Repeat("1", i%7+1), Severity: "critical", Package: "p", Version: string(rune('a' + i%26))})
	}
	result.Findings = scan.Sorted(result.Findings)
	w.scanner, w.rules = &scanner{result: result}, v1alpha1.Scan{FailOn: "high", MaxAge: v1alpha1.Duration(time.Hour)}
	err := w.sealer().Images(t.Context(), seal.Making{Release: w.release, Layouts: w.layouts, Work: t.TempDir()})
	if err == nil || len(err.Error()) > 2000 || !strings.Contains(err.Error(), "182 findings") || !strings.Contains(err.Error(), "and 172 more") {
		t.Errorf("it gave %v", err)
	}
}

// TestWhatIsScanned: what was built here by its layout, what was found in the registry by its reference, for each platform.
func TestWhatIsScanned(t *testing.T) {
	w := newWorld(t)
	s := &scanner{result: scan.Result{Scanner: "fake", Database: w.now}}
	w.scanner, w.rules = s, v1alpha1.Scan{FailOn: "high", MaxAge: v1alpha1.Duration(time.Hour)}
	w.seal(w.release, w.ref)
	if len(s.seen) != 1 || s.seen[0].Layout == "" || s.seen[0].Digest != digestOf(w.release.Images["web"]) {
		t.Errorf("scanned %+v", s.seen)
	}
	s.seen = nil
	delete(w.layouts, "web")
	w.release.Spec.Images["web"] = v1alpha1.Image{Ko: "./web", Platforms: []string{"linux/amd64", "linux/arm64"}}
	w.seal(w.release, w.ref)
	if len(s.seen) != 2 || s.seen[0].Layout != "" || s.seen[0].Platform != "linux/amd64" || s.seen[1].Platform != "linux/arm64" || s.seen[1].Reference != w.release.Images["web"] {
		t.Errorf("scanned %+v", s.seen)
	}
}
