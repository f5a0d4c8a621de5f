package app

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/build/git"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/rollout"
)

var _ rollout.Releases = (*App)(nil)

// Build builds a service's images and makes the release of them. Without a version it is derived from source control.
func (a *App) Build(ctx context.Context, file *config.File, service, version string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	project := file.Project
	if a.o.Registry != "" {
		project.Registry = a.o.Registry
	}
	registry := a.registry()
	maker := &release.Maker{
		Builders: a.builders(registry, project.Buildkit), Limit: a.o.Parallel,
		Charts: chart.Packer{}, Sources: git.Git{}, Registry: registry,
	}
	_, ref, err := maker.Make(ctx, release.MakeRequest{
		Project: project, Service: service, Dir: file.Dir, Version: version, Progress: a.o.Log,
	})
	if err != nil {
		return nil, ref, err
	}
	// What is deployed is what the artifact says, also by the run that made it.
	return release.Load(ctx, registry, ref.Ref)
}

// Release finds a release by the name a person gives it, and loads it with its files and chart.
func (a *App) Release(ctx context.Context, name string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	reference, err := release.Resolve(a.o.Registry, name)
	if err != nil {
		return nil, v1alpha1.ReleaseRef{}, err
	}
	return release.Load(ctx, a.registry(), reference)
}

// Load fetches a release for the machine.
func (a *App) Load(ctx context.Context, ref v1alpha1.ReleaseRef) (*v1alpha1.Release, error) {
	loaded, _, err := release.Load(ctx, a.registry(), ref.Ref)
	return loaded, err
}

func (a *App) registry() *oci.Registry { return oci.New(oci.Options{}) }
