package release

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
)

// versionOfCheck is the version of what is packed to be looked at; nothing is ever released under it.
const versionOfCheck = "0.0.0-check"

// Checker finds what a build or a deployment would refuse of a service, before anything is built.
type Checker struct {
	// Charts packs what it can without asking anybody, and names what is missing.
	Charts build.Packer
	Layers []check.Layer
}

// Check looks at a service of a project in some of its environments. It fails only where it could not look.
func (c Checker) Check(ctx context.Context, req MakeRequest, environments []string) (check.Report, error) {
	var report check.Report
	rel, err := draft(req)
	if err != nil {
		return findingsOf(req.Service, "", err), nil
	}
	rel.Version, rel.Images = versionOfCheck, map[string]string{}
	for name := range rel.Spec.Images {
		rel.Images[name] = imageRepository(req.Project.Registry, rel.Service, name) + "@sha256:" + strings.Repeat("0", 64)
	}
	chart, err := c.Charts.Pack(ctx, within(req.Dir, rel.Spec.Chart), rel.Version)
	switch {
	case fault.Is(err, fault.Interrupted):
		return report, err
	case err != nil:
		return findingsOf(req.Service, filepath.ToSlash(filepath.Join(rel.Spec.Chart, "Chart.yaml")), err), nil
	}
	rel.ChartArchive = chart.Archive
	for _, missing := range chart.Missing {
		report.Add(check.Report{Unchecked: []check.Finding{{
			Service: rel.Service, File: path.Join(rel.Spec.Chart, "Chart.yaml"), Path: "dependencies",
			Message: missing + " is not in the chart's folder charts and nothing is fetched, so neither its schema nor any template was looked at",
			Hint:    "`helm dependency build " + rel.Spec.Chart + "` fetches it",
		}}})
	}
	for _, environment := range environments {
		for _, layer := range c.Layers {
			seen, err := layer.Check(ctx, check.Subject{Release: &rel, Environment: environment, Missing: chart.Missing})
			if err != nil {
				return check.Report{}, err
			}
			report.Add(seen)
		}
	}
	place(&rel, report.Findings)
	report.Sort()
	return report, nil
}

// findingsOf is the report of what kept a service from being looked at in any environment. Each cause is a finding of its own.
func findingsOf(service, file string, err error) check.Report {
	var report check.Report
	for _, cause := range causes(err) {
		report.Findings = append(report.Findings, check.Finding{Service: service, File: file, Message: cause.Error(), Hint: fault.HintOf(cause)})
	}
	return report
}

// causes takes apart what was joined.
func causes(err error) []error {
	for at := err; at != nil; {
		if joined, ok := at.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the chain is walked here
			var all []error
			for _, e := range joined.Unwrap() {
				all = append(all, causes(e)...)
			}
			return all
		}
		wrapped, ok := at.(interface{ Unwrap() error }) //nolint:errorlint // the chain is walked here
		if !ok {
			break
		}
		at = wrapped.Unwrap()
	}
	return []error{err}
}

// place finds the lines of values in their files.
func place(rel *v1alpha1.Release, findings []check.Finding) {
	for i, f := range findings {
		data, ok := rel.Files[f.File]
		if ok && len(f.Keys) > 0 && f.Line == 0 {
			findings[i].Line, findings[i].Column = config.Locate(data, slices.Clone(f.Keys))
		}
	}
}
