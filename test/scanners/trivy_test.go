package scanners

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/trivy"
)

// offline keeps trivy from asking for anything that the test did not write.
func offline(database string) map[string]string {
	return map[string]string{
		"TRIVY_CACHE_DIR": database, "TRIVY_SKIP_DB_UPDATE": "true", "TRIVY_SKIP_JAVA_DB_UPDATE": "true", "TRIVY_OFFLINE_SCAN": "true",
		"TRIVY_SKIP_VERSION_CHECK": "true", "TRIVY_DISABLE_TELEMETRY": "true",
	}
}

// TestTrivy tells what somebody sees who builds with trivy in PATH.
func TestTrivy(t *testing.T) {
	w := newWorld(t, "trivy", "trivydb")
	fresh := w.database(t, "trivydb", time.Now().Add(-time.Hour))
	old := w.database(t, "trivydb", time.Now().Add(-200*time.Hour))
	none := t.TempDir()
	with := func(database string) map[string]string {
		env := offline(database)
		env["PATH"] = w.programs + ":" + w.env["PATH"]
		return env
	}
	const ignored = "  ignore:\n  - {id: GHSA-2222-3333-4444, reason: not reachable, until: 2099-01-01}\n"

	t.Run("findings end the build", func(t *testing.T) {
		w.rules(t, "  trivy: {}\n")
		got := w.sluice(t, with(fresh), "build", "--version", "1.0.0", "-o", "json")
		got.wants(t, 3, "image web: 2 findings of severity high or worse",
			"GHSA-2222-3333-4444 (critical) in example.dev/old v1.2.3", "fixed in 1.3.0", "CVE-2026-1000 (high) in libold 1.0-2", "fixed in 1.0-3")
		var doc struct {
			Scans map[string]struct {
				Findings []struct{ ID, Severity, Title string }
			}
		}
		if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil {
			t.Fatal(err)
		}
		if found := doc.Scans["web"].Findings; len(found) != 3 || found[0].Title != "it reads beyond the end" || found[2].ID != "CVE-2026-1001" || found[2].Severity != "low" {
			t.Errorf("the findings are %+v", found)
		}
	})
	t.Run("what is ignored does not", func(t *testing.T) {
		w.rules(t, "  trivy: {}\n"+ignored+"  - {id: CVE-2026-1000, package: libold, reason: waits for Debian, until: 2099-01-01}\n")
		w.sluice(t, with(fresh), "build", "--version", "1.0.0").wants(t, 0, "1 critical, 1 high, 1 low by trivy 0.74.0 (2 ignored), database of 20")
	})
	for name, c := range map[string]struct {
		database, rules string
		code            int
		says            []string
	}{
		"an old database": {old, "", 3, []string{"the database of trivy 0.74.0 is of 20", "older than 120h"}},
		"no database":     {none, "", 3, []string{"--skip-db-update cannot be specified on the first run", "--download-db-only", "unavailable: warn"}},
		"no program":      {fresh, "", 3, []string{"there is no program trivy", "install it where sluice runs"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.rules(t, "  trivy: {}\n  failOn: critical\n"+ignored+c.rules)
			env := with(c.database)
			if name == "no program" {
				env["PATH"] = w.env["PATH"]
			}
			got := w.sluice(t, env, "build", "--version", "2.0.0-"+strings.ReplaceAll(name, " ", "-"))
			got.wants(t, c.code, c.says...)
			if strings.Contains(got.stderr, "\x1b") {
				t.Error("the scanner's colours are passed on")
			}
		})
	}
}

// TestTrivyInTheRegistry: an image that is only there is fetched by the scanner, as whoever sluice is.
func TestTrivyInTheRegistry(t *testing.T) {
	w := newWorld(t, "trivy", "trivydb")
	env := offline(w.database(t, "trivydb", time.Now()))
	target := scan.Target{Name: "base", Reference: w.registry.Host + "/base@" + w.base, Digest: w.base, Platform: "linux/amd64"}
	open := func() scan.Scanner {
		return trivy.New(trivy.Options{Path: filepath.Join(w.programs, "trivy"), Env: w.environ(env)})
	}
	got, err := open().Scan(t.Context(), target)
	if err != nil || len(got.Findings) != 2 || got.Findings[0].Fixed != "1.0-3" || got.Findings[1].Fixed != "" || time.Since(got.Database) > time.Hour {
		t.Errorf("it gave %+v, %v", got, err)
	}
	env["DOCKER_CONFIG"] = t.TempDir()
	if _, err := open().Scan(t.Context(), target); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "UNAUTHORIZED") || !strings.Contains(fault.HintOf(err), "docker login") {
		t.Errorf("a stranger gets %v, hint %q", err, fault.HintOf(err))
	}
}
