// Package sarif is the scan.Scanner over reports in SARIF 2.1.0, which most scanners write; it must not know any one of them.
package sarif

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan"
)

var _ scan.Scanner = (*Scanner)(nil)

// Options of the scanner. Exactly one of Command and File is set.
type Options struct {
	// Command writes a report to standard output; it runs in Dir. A code other than 0 and 1 means that it failed.
	Command []string
	// File is a report below Dir that somebody wrote before.
	File string
	Dir  string
	// Env is the environment of the command. Default: that of the process.
	Env []string
}

// Scanner takes reports. It is safe for concurrent use.
type Scanner struct{ o Options }

// New makes a scanner.
func New(o Options) *Scanner { return &Scanner{o: o} }

// Scan runs the command for an image, or reads the file about it.
func (s *Scanner) Scan(ctx context.Context, target scan.Target) (scan.Result, error) {
	names := strings.NewReplacer("{image}", target.Name, "{layout}", target.Layout, "{digest}", strings.TrimPrefix(target.Digest, "sha256:"))
	data, err := s.report(ctx, names, target)
	if err != nil {
		return scan.Result{}, err
	}
	return Decode(data)
}

func (s *Scanner) report(ctx context.Context, names *strings.Replacer, target scan.Target) ([]byte, error) {
	if s.o.File != "" {
		return s.read(names.Replace(s.o.File))
	}
	args := make([]string, len(s.o.Command))
	for i, arg := range s.o.Command {
		if target.Layout == "" && strings.Contains(arg, "{layout}") {
			return nil, fault.New(fault.Unreachable, "", "the image was not built here but found in the registry, so there is no layout for the command")
		}
		args[i] = names.Replace(arg)
	}
	return scan.Program{Name: args[0], Args: args[1:], Dir: s.o.Dir, Env: s.o.Env, Found: []int{1}}.Run(ctx)
}

func (s *Scanner) read(name string) ([]byte, error) {
	op := "read " + name
	root, err := os.OpenRoot(s.o.Dir)
	if err != nil {
		return nil, fault.Wrap(fault.Unreachable, op, err)
	}
	defer root.Close()
	file, err := root.Open(filepath.FromSlash(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Unreachable, op, "there is no such report").WithHint("the step of the pipeline that scans has to run before the release is made")
	}
	if err != nil {
		return nil, fault.Wrap(fault.Unreachable, op, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, scan.MaxReport+1))
	if err == nil && len(data) > scan.MaxReport {
		return nil, fault.New(fault.Fatal, op, "the report has more than %d bytes", scan.MaxReport)
	}
	return data, fault.Wrap(fault.Unreachable, op, err)
}

type log struct {
	Version string `json:"version"`
	Runs    *[]run `json:"runs"`
}

type run struct {
	Tool struct {
		Driver struct {
			Name            string `json:"name"`
			Version         string `json:"version"`
			SemanticVersion string `json:"semanticVersion"`
			Rules           []rule `json:"rules"`
		} `json:"driver"`
	} `json:"tool"`
	Results []result `json:"results"`
	// Invocations say whether the scanner finished.
	Invocations []struct {
		ExecutionSuccessful *bool `json:"executionSuccessful"`
	} `json:"invocations"`
}

type text struct {
	Text string `json:"text"`
}

type rule struct {
	ID               string `json:"id"`
	ShortDescription text   `json:"shortDescription"`
	Default          struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
	Properties struct {
		Severity any `json:"security-severity"`
		// PURLs name the packages that a rule is about, in reports that have one rule for each vulnerability of each package.
		PURLs []string `json:"purls"`
	} `json:"properties"`
}

type result struct {
	RuleID       string            `json:"ruleId"`
	RuleIndex    *int              `json:"ruleIndex"`
	Level        string            `json:"level"`
	Kind         string            `json:"kind"`
	Message      text              `json:"message"`
	Suppressions []json.RawMessage `json:"suppressions"`
	Properties   struct {
		Severity any `json:"security-severity"`
	} `json:"properties"`
	Locations []struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
		} `json:"physicalLocation"`
	} `json:"locations"`
}

// Decode reads a report. Results that say that something is in order are no findings; what the scanner itself suppressed is one all
// the same: what is ignored is decided in sluice.yaml, with a reason and a date.
func Decode(data []byte) (scan.Result, error) {
	const op = "read the SARIF report"
	var l log
	if err := json.Unmarshal(data, &l); err != nil {
		return scan.Result{}, scan.Damaged(op, err)
	}
	if !strings.HasPrefix(l.Version, "2.1") || l.Runs == nil || len(*l.Runs) == 0 {
		return scan.Result{}, scan.Damaged(op, errors.New("it is no report in SARIF 2.1.0 with at least one run"))
	}
	var all scan.Result
	for _, r := range *l.Runs {
		for _, i := range r.Invocations {
			if i.ExecutionSuccessful != nil && !*i.ExecutionSuccessful {
				return scan.Result{}, fault.New(fault.Unreachable, op, "%s says that it did not finish", r.Tool.Driver.Name)
			}
		}
		if err := scan.CheckCount(op, len(all.Findings)+len(r.Results)); err != nil {
			return scan.Result{}, err
		}
		driver := r.Tool.Driver
		version := cmp.Or(driver.Version, driver.SemanticVersion)
		all.Scanner = strings.TrimPrefix(all.Scanner+", "+strings.TrimSpace(driver.Name+" "+version), ", ")
		for _, found := range r.Results {
			if !found.counts() {
				continue
			}
			f := found.finding(driver.Rules)
			if err := scan.CheckID(op, f.ID); err != nil {
				return scan.Result{}, err
			}
			all.Findings = append(all.Findings, f)
		}
	}
	all.Findings = scan.Sorted(all.Findings)
	return all, nil
}

// counts says whether a result is a finding: the format has results for what is in order, too.
func (r result) counts() bool {
	return r.Kind == "" || r.Kind == "fail" || r.Kind == "open" || r.Kind == "review"
}

func (r result) finding(rules []rule) scan.Finding {
	about := r.rule(rules)
	f := scan.Finding{ID: cmp.Or(r.RuleID, about.ID), Severity: r.severity(about), Title: cmp.Or(about.ShortDescription.Text, r.Message.Text)}
	about.parts(&f)
	if len(r.Locations) > 0 {
		f.Place = r.Locations[0].Physical.Artifact.URI
	}
	return f
}

// parts takes a rule's ID apart where it is that of a vulnerability and the name of the package, as grype writes it: what is ignored in
// sluice.yaml is named by its own ID.
func (r rule) parts(f *scan.Finding) {
	if len(r.Properties.PURLs) != 1 {
		return
	}
	_, rest, ok := strings.Cut(strings.TrimPrefix(r.Properties.PURLs[0], "pkg:"), "/")
	if !ok {
		return
	}
	rest, _, _ = strings.Cut(rest, "?")
	version := ""
	if at := strings.LastIndex(rest, "@"); at > 0 {
		rest, version = rest[:at], rest[at+1:]
	}
	for _, name := range []string{rest, path.Base(rest)} {
		name, err := url.PathUnescape(name)
		if err != nil {
			return
		}
		if id, ok := strings.CutSuffix(f.ID, "-"+name); ok && id != "" {
			f.ID, f.Package = id, name
			if f.Version, err = url.PathUnescape(version); err != nil {
				f.Version = version
			}
			return
		}
	}
}

func (r result) rule(rules []rule) rule {
	if r.RuleIndex != nil && *r.RuleIndex >= 0 && *r.RuleIndex < len(rules) {
		return rules[*r.RuleIndex]
	}
	for _, candidate := range rules {
		if candidate.ID == r.RuleID {
			return candidate
		}
	}
	return rule{}
}

// severity follows the score that scanners agreed on to give; a report without scores has levels, which are coarser.
func (r result) severity(about rule) v1alpha1.Severity {
	for _, given := range []any{r.Properties.Severity, about.Properties.Severity} {
		if score, ok := number(given); ok {
			return ofScore(score)
		}
	}
	level := r.Level
	if level == "" {
		level = about.Default.Level
	}
	switch level {
	case "error":
		return v1alpha1.SeverityHigh
	case "warning", "":
		// The format's own default.
		return v1alpha1.SeverityMedium
	case "note":
		return v1alpha1.SeverityLow
	default:
		return v1alpha1.SeverityUnknown
	}
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case float64:
		return n, true
	case string:
		f, err := strconv.ParseFloat(n, 64)
		return f, err == nil
	}
	return 0, false
}

// ofScore is the scale of CVSS 3.
func ofScore(score float64) v1alpha1.Severity {
	switch {
	case score >= 9:
		return v1alpha1.SeverityCritical
	case score >= 7:
		return v1alpha1.SeverityHigh
	case score >= 4:
		return v1alpha1.SeverityMedium
	case score > 0:
		return v1alpha1.SeverityLow
	default:
		return v1alpha1.SeverityNegligible
	}
}
