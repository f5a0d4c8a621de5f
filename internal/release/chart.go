package release

import (
	"context"
	"errors"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// FetchChart returns the archive of a Helm chart that anybody pushed to a registry, for example as another chart's dependency.
// It fails with fault.NotFound where there is none, and with fault.Fatal where the reference names something else.
func FetchChart(ctx context.Context, reg registry.Registry, ref string) ([]byte, error) {
	op := "fetch chart " + ref
	artifact, _, err := pull(ctx, reg, op, ref)
	if err != nil {
		return nil, wrap(op, err)
	}
	archive, err := archiveOf(artifact)
	if err != nil {
		return nil, fault.New(fault.Fatal, op, "it is %w", err)
	}
	return archive, nil
}

// archiveOf is the packed chart in what `helm push` wrote, beside which a layer with its provenance may lie.
func archiveOf(a registry.Artifact) ([]byte, error) {
	if a.Config.MediaType == chartConfig {
		for _, layer := range a.Layers {
			if layer.MediaType == chartContent {
				return layer.Data, nil
			}
		}
	}
	return nil, errors.New("no Helm chart")
}
