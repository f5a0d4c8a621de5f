package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/rollout"
)

var _ rollout.Releases = (*App)(nil)

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
	a.mu.Lock()
	known, ok := a.loaded[ref.Ref]
	a.mu.Unlock()
	if ok {
		return known, nil
	}
	loaded, _, err := a.load(ctx, ref.Ref)
	return loaded, err
}

func (a *App) load(ctx context.Context, reference string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	loaded, ref, err := release.Load(ctx, a.registry(), reference)
	if err == nil {
		a.mu.Lock()
		defer a.mu.Unlock()
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
	return release.Parts(ctx, a.registry(), rel, ref)
}

func (a *App) registry() *oci.Registry { return a.oci }
