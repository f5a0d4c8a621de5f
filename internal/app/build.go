package app

import (
	"context"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
	"github.com/sluice-dev/sluice/internal/build/ko"
	"github.com/sluice-dev/sluice/internal/build/script"
	"github.com/sluice-dev/sluice/internal/registry/oci"
)

// builders are those that sluice.yaml can name; address is where it says that BuildKit is, "" where it says nothing.
func (a *App) builders(registry *oci.Registry, address string) map[string]build.Builder {
	if a.o.Buildkit != "" {
		address = a.o.Buildkit
	}
	return map[string]build.Builder{
		"ko": ko.New(ko.Options{Base: registry.Descriptor}),
		"dockerfile": buildkit.New(buildkit.Options{
			Address: address, LookupEnv: a.o.LookupEnv, Secrets: a.o.Secrets,
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
