package scanners

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
	"github.com/sluice-dev/sluice/internal/scan/grype"
)

// TestGrype tells what somebody sees who builds with grype in PATH.
func TestGrype(t *testing.T) {
	w := newWorld(t, "grype", "grypedb")
	none := t.TempDir()
	fresh := w.database(t, "grypedb", time.Now().Add(-time.Hour))
	old := w.database(t, "grypedb", time.Now().Add(-200*time.Hour))
	broken := w.database(t, "grypedb", time.Now())
	if err := os.WriteFile(filepath.Join(broken, "6", "vulnerability.db"), []byte("no database"), 0o644); err != nil {
		t.Fatal(err)
	}
	with := func(database string) map[string]string {
		return map[string]string{"GRYPE_DB_AUTO_UPDATE": "false", "GRYPE_DB_CACHE_DIR": database, "PATH": w.programs + ":" + w.env["PATH"]}
	}
	const ignored = "  ignore:\n  - {id: GHSA-2222-3333-4444, reason: not reachable, until: 2099-01-01}\n"

	t.Run("findings end the build", func(t *testing.T) {
		got := w.sluice(t, with(fresh), "build", "--version", "1.0.0", "-o", "json")
		got.wants(t, 3, "image web: 2 findings of severity high or worse",
			"GHSA-2222-3333-4444 (critical) in example.dev/old v1.2.3 at /ko-app/web, fixed in 1.3.0",
			"CVE-2026-1000 (high) in libold 1.0-2 at /var/lib/dpkg/status, fixed in 1.0-3", "ignore:")
		var doc struct {
			Scans map[string]struct {
				Findings []struct{ ID, Severity, Package, Version, Fixed, Title string }
			}
		}
		if err := json.Unmarshal([]byte(got.stdout), &doc); err != nil {
			t.Fatal(err)
		}
		if found := doc.Scans["web"].Findings; len(found) != 3 || found[0].Title != "it reads beyond the end" || found[2].ID != "CVE-2026-1001" || found[2].Severity != "low" {
			t.Errorf("the findings are %+v", found)
		}
		if strings.Contains(got.stderr, "GHSA-5555") {
			t.Error("a vulnerability of another version is found")
		}
	})
	t.Run("what is ignored does not, until its day is over", func(t *testing.T) {
		w.rules(t, "  grype: {}\n"+ignored+"  - {id: CVE-2026-1000, package: libold, reason: waits for Debian, until: 2026-01-01}\n")
		w.sluice(t, with(fresh), "build", "--version", "1.0.0").wants(t, 3, "1 finding of severity high or worse",
			"CVE-2026-1000 was ignored until 2026-01-01 (waits for Debian) and counts again")
		w.rules(t, "  grype: {}\n"+ignored+"  - {id: CVE-2026-1000, package: libold, reason: waits for Debian, until: 2099-01-01}\n")
		w.sluice(t, with(fresh), "build", "--version", "1.0.0").wants(t, 0, "1 critical, 1 high, 1 low by grype 0.110.0 (2 ignored), database of 20")
		w.sluice(t, nil, "release", "show", "shop:1.0.0").wants(t, 0, "scan of web  1 critical, 1 high, 1 low by grype 0.110.0 (2 ignored), database of 20")
	})
	t.Run("an image that is not built again is scanned in the registry", func(t *testing.T) {
		w.sluice(t, with(fresh), "build", "--version", "1.0.0").wants(t, 0, "image web unchanged since 1.0.0", "1 critical, 1 high, 1 low by grype")
		stranger := with(fresh)
		stranger["GRYPE_REGISTRY_INSECURE_USE_HTTP"] = "true"
		w.sluice(t, stranger, "build", "--version", "1.0.0").wants(t, 0, "unchanged", "1 critical, 1 high, 1 low by grype")
	})
	t.Run("a limit that nothing reaches", func(t *testing.T) {
		w.rules(t, "  grype: {}\n  failOn: critical\n"+ignored)
		w.sluice(t, with(fresh), "build", "--version", "1.1.0").wants(t, 0, "(1 ignored)")
	})
	t.Run("its report in SARIF says the same", func(t *testing.T) {
		w.rules(t, "  sarif: {command: [grype, \"oci-dir:{layout}\", -o, sarif]}\n"+ignored+"  - {id: CVE-2026-1000, package: libold, reason: waits for Debian, until: 2099-01-01}\n")
		w.sluice(t, with(fresh), "build", "--version", "1.2.0", "--rebuild").wants(t, 0, "1 critical, 1 high, 1 low by grype 0.110.0 (2 ignored)")
	})
	for name, c := range map[string]struct {
		database, rules string
		code            int
		says            []string
	}{
		"an old database":                 {old, "", 3, []string{"the database of grype 0.110.0 is of 20", "older than 120h", "unavailable: warn"}},
		"an old database, allowed longer": {old, "  maxAge: 300h\n", 0, []string{"1 critical, 1 high, 1 low by grype"}},
		"no database":                     {none, "", 3, []string{"failed to load vulnerability db: database does not exist", "grype db update", "unavailable: warn"}},
		"no database, said":               {none, "  unavailable: warn\n", 0, []string{"warning: image web: it could not be scanned", "scan     web  not known: it could not be scanned"}},
		"a broken database":               {broken, "", 3, []string{"failed to load vulnerability db", "grype db delete"}},
		"no program":                      {fresh, "", 3, []string{"there is no program grype", "install it where sluice runs"}},
		"no program at the path that sluice.yaml has": {fresh, "path", 3, []string{"there is no program tools/grype"}},
	} {
		t.Run(name, func(t *testing.T) {
			program := "  grype: {}\n"
			if c.rules == "path" {
				program, c.rules = "  grype: {path: tools/grype}\n", ""
			}
			w.rules(t, program+"  failOn: critical\n"+ignored+c.rules)
			env := with(c.database)
			if strings.HasPrefix(name, "no program") {
				env["PATH"] = w.env["PATH"]
			}
			got := w.sluice(t, env, "build", "--version", "2.0.0-"+strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), ",", ""))
			got.wants(t, c.code, c.says...)
			if strings.Contains(got.stderr, "\x1b") {
				t.Error("the scanner's colours are passed on")
			}
		})
	}
}

// TestGrypeInTheRegistry: an image that is only there is fetched by the scanner, as whoever sluice is.
func TestGrypeInTheRegistry(t *testing.T) {
	w := newWorld(t, "grype", "grypedb")
	env := map[string]string{"GRYPE_DB_AUTO_UPDATE": "false", "GRYPE_DB_CACHE_DIR": w.database(t, "grypedb", time.Now())}
	target := scan.Target{Name: "base", Reference: w.registry.Host + "/base@" + w.base, Digest: w.base, Platform: "linux/amd64"}
	open := func() scan.Scanner {
		return grype.New(grype.Options{Path: filepath.Join(w.programs, "grype"), Env: w.environ(env)})
	}
	got, err := open().Scan(t.Context(), target)
	if err != nil || len(got.Findings) != 2 || got.Findings[0].Fixed != "1.0-3" || got.Findings[1].Fixed != "" || time.Since(got.Database) > time.Hour {
		t.Errorf("it gave %+v, %v", got, err)
	}
	env["DOCKER_CONFIG"] = t.TempDir()
	if _, err := open().Scan(t.Context(), target); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "UNAUTHORIZED") || !strings.Contains(fault.HintOf(err), "docker login") {
		t.Errorf("a stranger gets %v, hint %q", err, fault.HintOf(err))
	}
	target.Reference = w.registry.Host + "/base@sha256:" + strings.Repeat("1", 64)
	env["DOCKER_CONFIG"] = w.env["DOCKER_CONFIG"]
	if _, err := open().Scan(t.Context(), target); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
		t.Errorf("an image that is not there gives %v", err)
	}
}
