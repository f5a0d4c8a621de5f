package seal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
)

// maxShown is how many findings an error names.
const maxShown = 10

// Scanned is the scan of one image.
type Scanned struct {
	v1alpha1.ScanSummary
	// Findings are all that was found, the worst first.
	Findings []ScanFinding `json:"findings,omitempty"`
	// Notes say what a reader of the figures should know.
	Notes []string `json:"notes,omitempty"`
}

// ScanFinding is a finding, and why it does not count where it does not.
type ScanFinding struct {
	scan.Finding
	// Ignored is the reason in sluice.yaml; "" where the finding counts.
	Ignored string `json:"ignored,omitempty"`
	// Failing says that it fails the build.
	Failing bool `json:"failing,omitempty"`
}

// ScanImages scans every image, so that one run shows everything that there is to repair, and fills in the release's summary. It fails
// with fault.Refused where a scan found what must not be, or could not be made.
func (s *Sealer) ScanImages(ctx context.Context, m Making) error {
	if s == nil || s.Scanner == nil {
		return nil
	}
	s.report.Scans, m.Release.Scans = map[string]Scanned{}, map[string]v1alpha1.ScanSummary{}
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(m.Release.Images)) {
		s.note("scanning image " + name)
		result, err := s.look(ctx, m, name)
		if fault.Is(err, fault.Interrupted) {
			return err
		}
		scanned := s.judge(name, result, err)
		s.report.Scans[name], m.Release.Scans[name] = scanned, scanned.ScanSummary
		if scanned.Unavailable != "" && s.Scan.Unavailable != "warn" {
			failed = append(failed, fmt.Errorf("image %s: %s", name, scanned.Unavailable))
			continue
		}
		s.note("scanned image " + name + ": " + scanned.Text())
		if line := scanned.failing(); line != "" {
			failed = append(failed, fmt.Errorf("image %s: %s", name, line))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fault.New(fault.Refused, "scan the images of "+m.Release.Service+" "+m.Release.Version, "%w", errors.Join(failed...)).
		WithHint("no release was made; repair it, or say under scan: in sluice.yaml why it does not matter and until when (ignore:)")
}

// look scans an image, each of its platforms.
func (s *Sealer) look(ctx context.Context, m Making, name string) (scan.Result, error) {
	ref := m.Release.Images[name]
	var targets []scan.Target
	if layout := m.Layouts[name]; layout != "" {
		parts, err := scan.Split(layout, filepath.Join(m.Work, "scan", name))
		if err != nil {
			return scan.Result{}, err
		}
		for _, p := range parts {
			targets = append(targets, scan.Target{Name: name, Digest: p.Digest, Layout: p.Path, Reference: ref, Platform: p.Platform})
		}
	} else {
		for _, platform := range m.Release.Spec.Images[name].Platforms {
			targets = append(targets, scan.Target{Name: name, Digest: digestOf(ref), Reference: ref, Platform: platform})
		}
		if len(targets) == 0 {
			targets = []scan.Target{{Name: name, Digest: digestOf(ref), Reference: ref}}
		}
	}
	var all scan.Result
	for i, target := range targets {
		result, err := s.Scanner.Scan(ctx, target)
		if err != nil {
			return scan.Result{}, err
		}
		if i == 0 || result.Database.Before(all.Database) {
			all.Database = result.Database
		}
		all.Scanner = result.Scanner
		all.Findings = append(all.Findings, result.Findings...)
	}
	all.Findings = scan.Sorted(all.Findings)
	return all, nil
}

// judge weighs what a scan gave by the rules of the project.
func (s *Sealer) judge(name string, result scan.Result, err error) Scanned {
	now := s.Now().UTC()
	d := Scanned{ScanSummary: v1alpha1.ScanSummary{Scanner: result.Scanner, Database: result.Database, Limit: s.Scan.FailOn}}
	d.Unavailable = s.unavailable(result, now, err)
	for _, f := range result.Findings {
		ignored, note := s.ignored(f, now)
		if note != "" && !slices.Contains(d.Notes, note) {
			d.Notes = append(d.Notes, note)
			s.note("image " + name + ": " + note)
		}
		if d.Found == nil {
			d.Found = map[v1alpha1.Severity]int{}
		}
		d.Found[f.Severity]++
		if ignored != "" {
			d.Ignored++
		}
		d.Findings = append(d.Findings, ScanFinding{Finding: f, Ignored: ignored, Failing: ignored == "" && f.Severity.Rank() >= s.Scan.FailOn.Rank()})
	}
	if d.Unavailable != "" {
		d.Notes = append(d.Notes, d.Unavailable)
		s.note("warning: image " + name + ": " + d.Unavailable)
	}
	return d
}

// unavailable says why a scan is worth nothing, or "": no evidence is never success.
func (s *Sealer) unavailable(result scan.Result, now time.Time, err error) string {
	if err != nil {
		text := "it could not be scanned: " + err.Error()
		if hint := fault.HintOf(err); hint != "" {
			text += " (" + hint + ")"
		}
		return text
	}
	dater, ok := s.Scanner.(scan.Dater)
	if !ok || !dater.Dated() {
		return ""
	}
	most := s.Scan.MaxAge.D()
	switch age := now.Sub(result.Database); {
	case result.Database.IsZero():
		return result.Scanner + " does not say how old its database is"
	case age > most:
		return fmt.Sprintf("the database of %s is of %s, older than %s", result.Scanner, result.Database.UTC().Format(time.RFC3339), s.Scan.MaxAge)
	}
	return ""
}

// ignored is the reason for which a finding does not count. A reason that is over is said.
func (s *Sealer) ignored(f scan.Finding, now time.Time) (reason, note string) {
	for _, i := range s.Scan.Ignore {
		if !strings.EqualFold(i.ID, f.ID) || i.Package != "" && i.Package != f.Package {
			continue
		}
		last, err := time.Parse(time.DateOnly, i.Until)
		if err != nil || !now.Before(last.AddDate(0, 0, 1)) {
			note = fmt.Sprintf("%s was ignored until %s (%s) and counts again", f.ID, i.Until, i.Reason)
			continue
		}
		return i.Reason, ""
	}
	return "", note
}

// Text is the scan in one line.
func (d Scanned) Text() string {
	if d.Unavailable != "" {
		return "not known"
	}
	var counts []string
	for _, severity := range slices.Backward(v1alpha1.Severities()) {
		if n := d.Found[severity]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, severity))
		}
	}
	if len(counts) == 0 {
		return "nothing found by " + d.Scanner
	}
	line := strings.Join(counts, ", ") + " by " + d.Scanner
	if d.Ignored > 0 {
		line += fmt.Sprintf(" (%d ignored)", d.Ignored)
	}
	return line
}

// failing names the findings that fail the build, "" where none does.
func (d Scanned) failing() string {
	var lines []string
	for _, f := range d.Findings {
		if !f.Failing {
			continue
		}
		line := fmt.Sprintf("%s (%s)", f.ID, f.Severity)
		if f.Package != "" {
			line += " in " + strings.TrimSpace(f.Package+" "+f.Version)
		}
		if f.Place != "" {
			line += " at " + f.Place
		}
		if f.Fixed != "" {
			line += ", fixed in " + f.Fixed
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return ""
	}
	head := fmt.Sprintf("%d findings of severity %s or worse", len(lines), d.Limit)
	if len(lines) == 1 {
		head = fmt.Sprintf("1 finding of severity %s or worse", d.Limit)
	}
	if more := len(lines) - maxShown; more > 0 {
		lines = append(lines[:maxShown], fmt.Sprintf("and %d more", more))
	}
	return head + ": " + strings.Join(lines, "; ")
}
