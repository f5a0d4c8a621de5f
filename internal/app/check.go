package app

import (
	"context"

	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/deploy/helm"
	"github.com/sluice-dev/sluice/internal/release"
)

// Check looks at services in environments, before anything is built. It asks no cluster, no registry and no source control.
func (a *App) Check(ctx context.Context, file *config.File, services, environments []string) (check.Report, error) {
	checker := release.Checker{Charts: chart.Packer{Offline: true}, Layers: []check.Layer{helm.Examiner{}}}
	var report check.Report
	for _, service := range services {
		seen, err := checker.Check(ctx, release.MakeRequest{Project: file.Project, Service: service, Dir: file.Dir}, environments)
		if err != nil {
			return check.Report{}, err
		}
		report.Add(seen)
	}
	return report, nil
}
