package app

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
	"github.com/sluice-dev/sluice/internal/build/chart"
	"github.com/sluice-dev/sluice/internal/build/ko"
	"github.com/sluice-dev/sluice/internal/build/script"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/seal"
)

// BuildRequest asks for a build of one service.
type BuildRequest struct {
	File    *config.File
	Service string
	// Version is semver. Default: derived from source control.
	Version string
	// Log takes one line for people per thing begun or done. Default: that of the Options.
	Log func(line string)
}

// Built is the release that a build made.
type Built struct {
	// Release as the registry has it, nil where none was made.
	Release *v1alpha1.Release
	Ref     v1alpha1.ReleaseRef
	// Seal is what was scanned and attached, also where the build failed.
	Seal seal.Report
}

// Tried is what a release would be made of.
type Tried struct {
	release.Tried
	Scans map[string]seal.Scanned
}

// Build builds a service's images and makes the release of them.
func (a *App) Build(ctx context.Context, req BuildRequest) (built Built, err error) {
	maker, want, err := a.maker(ctx, req, true)
	if err != nil {
		return built, err
	}
	made, ref, err := maker.Make(ctx, want)
	built.Seal = maker.Seal.Report()
	if err != nil {
		return built, err
	}
	// What is deployed is what the artifact says, also by the run that made it.
	if built.Release, built.Ref, err = a.load(ctx, ref.Ref); err != nil {
		return built, err
	}
	built.Release.Unchanged = made.Unchanged
	return built, nil
}

// Try builds and tests what a release would be made of, and pushes nothing; with images, all images are made and scanned.
func (a *App) Try(ctx context.Context, req BuildRequest, images bool) (Tried, error) {
	maker, want, err := a.maker(ctx, req, false)
	if err != nil {
		return Tried{}, err
	}
	tried, err := maker.Try(ctx, want, images)
	return Tried{tried, maker.Seal.Report().Scans}, err
}

func (a *App) maker(ctx context.Context, req BuildRequest, releases bool) (*release.Maker, release.MakeRequest, error) {
	if req.Log == nil {
		req.Log = a.o.Log
	}
	project := req.File.Project
	if a.o.Registry != "" {
		project.Registry = a.o.Registry
	}
	want := release.MakeRequest{
		Project: project, Service: req.Service, Dir: req.File.Dir, Version: req.Version, Rebuild: a.o.Rebuild, Progress: req.Log,
	}
	sources := a.sources(req.Log)
	// What commands of the build print may hold the credentials that Git has.
	a.learns.Do(func() { sources.Learn(ctx, req.File.Dir) })
	registry := a.registry()
	sealer, err := a.sealer(ctx, req, registry, releases)
	return &release.Maker{
		Builders: a.builders(registry, project.Buildkit), Places: a.places,
		Charts: chart.Packer{Fetch: func(ctx context.Context, reference string) ([]byte, error) {
			return release.FetchChart(ctx, registry, reference)
		}, Repositories: chart.Repositories{Config: chart.RepositoryConfig(a.o.LookupEnv)}},
		Sources: sources, Registry: registry, Shelf: registry, Seal: sealer, Secret: a.o.Secrets.Holds,
	}, want, err
}

// builders are those that sluice.yaml can name; address is where it says that BuildKit is, "" where it says nothing.
func (a *App) builders(registry *oci.Registry, address string) map[string]build.Builder {
	dir := a.o.Dir
	if a.o.Buildkit != "" {
		address, dir = a.o.Buildkit, ""
	}
	return map[string]build.Builder{
		"ko": ko.New(ko.Options{Base: registry.Descriptor}),
		"dockerfile": buildkit.New(buildkit.Options{
			Address: address, Dir: dir, LookupEnv: a.o.LookupEnv, Secrets: a.o.Secrets, Credentials: registry.Credentials,
			Local: func(ctx context.Context) string { return a.localStatus(ctx).Buildkit },
		}),
		"script": script.New(script.Options{Secrets: a.o.Secrets, Resolve: func(ctx context.Context, reference string) (string, error) {
			found, err := registry.Descriptor(ctx, reference)
			if err != nil {
				return "", err
			}
			return found.Digest.String(), nil
		}}),
	}
}
