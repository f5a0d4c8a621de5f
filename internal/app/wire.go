package app

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
)

// wire puts the adapters into a place.
func (a *App) wire(p *Place, _ *cluster) error {
	return fault.New(fault.Internal, "open environment "+p.Key.Environment, "this build has no adapters")
}

// Build builds a service's images and makes the release of them.
func (a *App) Build(context.Context, *config.File, string, string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	return nil, v1alpha1.ReleaseRef{}, fault.New(fault.Internal, "build", "this build has no adapters")
}

// Release finds a release by the name a person gives it.
func (a *App) Release(context.Context, string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	return nil, v1alpha1.ReleaseRef{}, fault.New(fault.Internal, "release", "this build has no adapters")
}
