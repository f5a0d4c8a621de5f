// Package grype is the scan.Scanner over the program of that name; it must not update its database or install it.
package grype

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
)

var _ scan.Dater = (*Scanner)(nil)

// Options of the scanner.
type Options struct {
	// Path of the program. Default: grype, from PATH.
	Path string
	// Env is the environment of the program; its own settings (GRYPE_…) are kept. Default: that of the process.
	Env []string
}

// Scanner runs grype. It is safe for concurrent use.
type Scanner struct{ o Options }

// New makes a scanner; whether the program is there the first scan finds out.
func New(o Options) *Scanner {
	if o.Path == "" {
		o.Path = "grype"
	}
	return &Scanner{o: o}
}

// Dated says that reports carry the time of the database.
func (*Scanner) Dated() bool { return true }

// Scan looks into an image.
func (s *Scanner) Scan(ctx context.Context, target scan.Target) (scan.Result, error) {
	// Not -q: with it the program fails without a word.
	args := []string{"registry:" + target.Reference, "-o", "json"}
	switch {
	case target.Layout != "":
		args[0] = "oci-dir:" + target.Layout
	case target.Platform != "":
		args = append(args, "--platform", target.Platform)
	}
	report, err := scan.Program{Name: s.o.Path, Args: args, Env: s.o.Env, Set: settings(), Complaint: complaint}.Run(ctx)
	if err != nil {
		return scan.Result{}, scan.Cured(err, cures()...)
	}
	return Decode(report)
}

// settings are the program's where nobody sets them otherwise. It leaves the age of its database to the rules, which may allow for more
// than its own five days, and does not ask for a newer self.
func settings() []string {
	return []string{"GRYPE_CHECK_FOR_APP_UPDATE=false", "GRYPE_DB_VALIDATE_AGE=false"}
}

// complaint is what the program calls errors among what it writes about itself; an error may have several lines.
func complaint(text string) string {
	var errs []string
	inside := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "[") {
			_, line, inside = strings.Cut(line, " ERROR ")
		}
		if line = strings.TrimSpace(line); inside && line != "" {
			errs = append(errs, line)
		}
	}
	return strings.Join(errs, "; ")
}

// cures are those for what the program is known to fail with.
func cures() []scan.Cure {
	return []scan.Cure{
		{Says: "database does not exist", Hint: "`grype db update` fetches one; without internet `grype db import FILE` takes one that was fetched elsewhere"},
		{Says: "failed to load vulnerability db", Hint: "`grype db delete` and `grype db update` fetch a new one"},
		{Says: "server gave HTTP response to HTTPS client", Hint: "the registry speaks plain http: set GRYPE_REGISTRY_INSECURE_USE_HTTP=true where sluice runs"},
		{Says: "UNAUTHORIZED", Hint: "`docker login` to the registry where sluice runs; the scanner uses the credentials that are kept there"},
	}
}

// report is what is read of a document; its form is that of grype v0.110.
type report struct {
	Matches    *[]match   `json:"matches"`
	Descriptor descriptor `json:"descriptor"`
}

type descriptor struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	DB      struct {
		Status struct {
			Built time.Time `json:"built"`
			Error string    `json:"error"`
		} `json:"status"`
	} `json:"db"`
}

type match struct {
	Vulnerability struct {
		ID          string `json:"id"`
		Severity    string `json:"severity"`
		Description string `json:"description"`
		Fix         struct {
			Versions []string `json:"versions"`
		} `json:"fix"`
	} `json:"vulnerability"`
	Artifact struct {
		Name      string `json:"name"`
		Version   string `json:"version"`
		Locations []struct {
			Path string `json:"path"`
		} `json:"locations"`
	} `json:"artifact"`
}

// Decode reads a report in grype's JSON.
func Decode(data []byte) (scan.Result, error) {
	const op = "read the report of grype"
	var r report
	if err := json.Unmarshal(data, &r); err != nil {
		return scan.Result{}, scan.Damaged(op, err)
	}
	if r.Matches == nil || r.Descriptor.Name != "grype" {
		return scan.Result{}, scan.Damaged(op, errors.New("it is no document of grype"))
	}
	if err := scan.CheckCount(op, len(*r.Matches)); err != nil {
		return scan.Result{}, err
	}
	if problem := r.Descriptor.DB.Status.Error; problem != "" {
		return scan.Result{}, fault.New(fault.Fatal, op, "its database is not sound: %s", problem)
	}
	result := scan.Result{Scanner: strings.TrimSpace("grype " + r.Descriptor.Version), Database: r.Descriptor.DB.Status.Built}
	for _, m := range *r.Matches {
		if err := scan.CheckID(op, m.Vulnerability.ID); err != nil {
			return scan.Result{}, err
		}
		f := scan.Finding{
			ID: m.Vulnerability.ID, Severity: scan.ParseSeverity(m.Vulnerability.Severity), Package: m.Artifact.Name, Version: m.Artifact.Version,
			Fixed: strings.Join(m.Vulnerability.Fix.Versions, ", "), Title: m.Vulnerability.Description,
		}
		if len(m.Artifact.Locations) > 0 {
			f.Place = m.Artifact.Locations[0].Path
		}
		result.Findings = append(result.Findings, f)
	}
	result.Findings = scan.Sorted(result.Findings)
	return result, nil
}
