package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/fault"
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
	sealer, err := a.sealer(ctx, file, registry)
	if err != nil {
		return nil, v1alpha1.ReleaseRef{}, err
	}
	maker := &release.Maker{
		Builders: a.builders(registry, project.Buildkit), Limit: a.o.Parallel,
		Charts: chart.Packer{Fetch: func(ctx context.Context, reference string) ([]byte, error) {
			return release.FetchChart(ctx, registry, reference)
		}},
		Sources: a.sources(), Registry: registry, Shelf: registry, Seal: sealer,
	}
	made, ref, err := maker.Make(ctx, release.MakeRequest{
		Project: project, Service: service, Dir: file.Dir, Version: version, Rebuild: a.o.Rebuild, Progress: a.o.Log,
	})
	a.o.Sealed(sealer.Report())
	if err != nil {
		return nil, ref, err
	}
	// What is deployed is what the artifact says, also by the run that made it.
	loaded, ref, err := a.load(ctx, ref.Ref)
	if err != nil {
		return nil, ref, err
	}
	loaded.Unchanged = made.Unchanged
	return loaded, ref, nil
}

// Release finds a release by the name a person gives it, and loads it with its files and chart.
func (a *App) Release(ctx context.Context, name string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	reference, err := release.Resolve(a.o.Registry, name)
	if err != nil {
		return nil, v1alpha1.ReleaseRef{}, err
	}
	rel, ref, err := a.load(ctx, reference)
	if err != nil {
		return nil, ref, err
	}
	return rel, ref, meant(name, rel)
}

// meant makes sure that a release is what it was asked for as: a signature covers what a release says of itself, and not under which
// name somebody put it into a registry.
func meant(name string, rel *v1alpha1.Release) error {
	asked, _, _ := strings.Cut(name, "@")
	service, tag, tagged := strings.Cut(asked, ":")
	if strings.Contains(name, "/") || service == rel.Service && (!tagged || strings.ReplaceAll(tag, "_", "+") == rel.Version) {
		return nil
	}
	return fault.New(fault.Refused, "find release "+name, "under that name lies version %s of %s", rel.Version, rel.Service).
		WithHint("find out who pushed it; `sluice deploy %s@…` names a release by its digest", rel.Service)
}

// Load fetches a release for the machine, once.
func (a *App) Load(ctx context.Context, ref v1alpha1.ReleaseRef) (*v1alpha1.Release, error) {
	if known, ok := a.loaded[ref.Ref]; ok {
		return known, nil
	}
	loaded, _, err := a.load(ctx, ref.Ref)
	return loaded, err
}

func (a *App) load(ctx context.Context, reference string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	loaded, ref, err := release.Load(ctx, a.registry(), reference)
	if err == nil {
		a.loaded[ref.Ref] = loaded
	}
	return loaded, ref, err
}

// Promote copies a release to the registry of an environment, where that has one of its own, and returns it as it is there.
func (a *App) Promote(ctx context.Context, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef, environment string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	prefix := rel.Environments[environment].Registry
	if prefix == "" {
		return rel, ref, nil
	}
	there, pinned, moved, err := release.Promote(ctx, a.registry(), *rel, ref, prefix)
	if err != nil {
		return nil, ref, err
	}
	if pinned != ref {
		a.o.Log(fmt.Sprintf("copied to %s, %d bytes of blobs moved", pinned.Ref, moved))
	}
	return &there, pinned, nil
}

// Releases lists the releases of a service.
func (a *App) Releases(ctx context.Context, service string) ([]release.Entry, error) {
	return release.List(ctx, a.registry(), a.o.Registry, service)
}

// Parts lists what a release is made of; with verify everything is read and compared with its digest, else what refers to it is listed.
func (a *App) Parts(ctx context.Context, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef, verify bool) ([]release.Part, error) {
	if verify {
		return release.Verify(ctx, a.registry(), rel, ref)
	}
	parts, err := release.Parts(ctx, a.registry(), rel, ref)
	if err != nil {
		return nil, err
	}
	return parts, a.signers(ctx, parts)
}

func (a *App) registry() *oci.Registry { return a.oci }
