// Package trivy is the scan.Scanner over the program of that name; it must not install it.
package trivy

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/scan"
)

var _ scan.Dater = (*Scanner)(nil)

// schema is the version of the report that is understood.
const schema = 2

// Options of the scanner.
type Options struct {
	// Path of the program. Default: trivy, from PATH.
	Path string
	// Env is the environment of the program; its own settings (TRIVY_…) are kept. Default: that of the process.
	Env []string
}

// Scanner runs trivy. It is safe for concurrent use.
type Scanner struct{ o Options }

// New makes a scanner; whether the program is there the first scan finds out.
func New(o Options) *Scanner {
	if o.Path == "" {
		o.Path = "trivy"
	}
	return &Scanner{o: o}
}

// Dated says that the program tells the time of its database.
func (*Scanner) Dated() bool { return true }

// Scan looks into an image. The report does not say how old the database is, so the program is asked for that after the scan, which may have updated it.
func (s *Scanner) Scan(ctx context.Context, target scan.Target) (scan.Result, error) {
	args := []string{"image", "--quiet", "--scanners", "vuln", "--format", "json"}
	switch {
	case target.Layout != "":
		args = append(args, "--input", target.Layout)
	case target.Platform != "":
		args = append(args, remote, "--platform", target.Platform, target.Reference)
	default:
		args = append(args, remote, target.Reference)
	}
	data, err := scan.Program{Name: s.o.Path, Args: args, Env: s.o.Env, Complaint: complaint}.Run(ctx)
	if err != nil {
		return scan.Result{}, scan.Cured(err, cures()...)
	}
	result, err := Decode(data)
	if err != nil {
		return scan.Result{}, err
	}
	version, err := scan.Program{Name: s.o.Path, Args: []string{"version", "--format", "json"}, Env: s.o.Env}.Run(ctx)
	if err != nil {
		return scan.Result{}, err
	}
	result.Scanner, result.Database, err = decodeVersion(version)
	return result, err
}

// remote keeps the program from asking every container runtime of the machine first: what was built lies in the registry.
const remote = "--image-src=remote"

// complaint is what the program calls fatal, without the time and its own words for it.
func complaint(text string) string {
	_, why, _ := strings.Cut(text, "\tFATAL\tFatal error\t")
	return strings.TrimSpace(why)
}

// cures are those for what the program is known to fail with.
func cures() []scan.Cure {
	return []scan.Cure{
		{Says: "--skip-db-update cannot be specified on the first run", Hint: "`trivy image --download-db-only` fetches a database; without internet copy the folder db/ of another machine's cache (TRIVY_CACHE_DIR)"},
		{Says: "failed to download vulnerability DB", Hint: "let the machine reach the database's registry, or name a mirror of it by TRIVY_DB_REPOSITORY"},
		{Says: "UNAUTHORIZED", Hint: "`docker login` to the registry where sluice runs; the scanner uses the credentials that are kept there"},
	}
}

func decodeVersion(data []byte) (string, time.Time, error) {
	var v struct {
		Version         string
		VulnerabilityDB struct{ UpdatedAt time.Time }
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return "", time.Time{}, scan.Damaged("read the version of trivy", err)
	}
	return strings.TrimSpace("trivy " + v.Version), v.VulnerabilityDB.UpdatedAt, nil
}

// report is what is read of a report; its form is that of trivy v0.74.
type report struct {
	SchemaVersion int
	ArtifactType  string
	Results       []struct {
		Target          string
		Vulnerabilities []struct {
			VulnerabilityID, PkgName, InstalledVersion, FixedVersion, Severity, Title, PkgPath string
		}
	}
}

// Decode reads a report in trivy's JSON. It does not hold the scanner's version nor the time of its database.
func Decode(data []byte) (scan.Result, error) {
	const op = "read the report of trivy"
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return scan.Result{}, scan.Damaged(op, err)
	}
	if r.SchemaVersion != schema || r.ArtifactType == "" {
		return scan.Result{}, scan.Damaged(op, fmt.Errorf("it is no report of schema version %d", schema))
	}
	var result scan.Result
	for _, part := range r.Results {
		for _, v := range part.Vulnerabilities {
			if err := scan.CheckID(op, v.VulnerabilityID); err != nil {
				return scan.Result{}, err
			}
			place := v.PkgPath
			if place == "" {
				place = part.Target
			}
			result.Findings = append(result.Findings, scan.Finding{
				ID: v.VulnerabilityID, Severity: scan.ParseSeverity(v.Severity), Package: v.PkgName, Version: v.InstalledVersion,
				Fixed: v.FixedVersion, Place: place, Title: v.Title,
			})
		}
	}
	if err := scan.CheckCount(op, len(result.Findings)); err != nil {
		return scan.Result{}, err
	}
	result.Findings = scan.Sorted(result.Findings)
	return result, nil
}
