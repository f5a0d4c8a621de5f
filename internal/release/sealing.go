package release

import (
	"context"
	"reflect"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/seal"
)

// seal scans what was pushed and attaches what proves its origin, before the release names it.
func (m *Maker) seal(ctx context.Context, req MakeRequest, repository string, images map[string]build.Image, work string, rel *v1alpha1.Release) (seal.Making, error) {
	making := seal.Making{Release: rel, Layouts: map[string]string{}, Work: work}
	if m.Seal == nil {
		return making, m.keepFirst(ctx, repository, rel)
	}
	for name, image := range images {
		making.Layouts[name] = image.Layout
	}
	if remoter, ok := m.Sources.(build.Remoter); ok {
		remote, err := remoter.Remote(ctx, dirOr(req.Dir))
		// Where there is no source control, nothing has a remote.
		if err != nil && !fault.Is(err, fault.NotFound) {
			return making, err
		}
		making.Repository = remote
	}
	if err := m.Seal.Images(ctx, making); err != nil {
		return making, err
	}
	return making, m.keepFirst(ctx, repository, rel)
}

// keepFirst takes the scans' and tests' summaries from the release that is there already, where nothing else differs: what scanners know
// changes from day to day, and what tests skip from machine to machine, but the same sources under the same version must stay the same
// release. Today's scan and tests have passed, or we were not here.
func (m *Maker) keepFirst(ctx context.Context, repository string, rel *v1alpha1.Release) error {
	if rel.Scans == nil && rel.Tests == nil {
		return nil
	}
	artifact, _, err := m.Registry.Pull(ctx, repository+":"+Tag(rel.Version))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	there, err := decode(artifact.Config.Data)
	if err != nil {
		return nil //nolint:nilerr // whatever has the name is no release; pushing will say that the tag is taken
	}
	encoded, err := encode(*rel)
	if err != nil {
		return err
	}
	mine, err := decode(encoded.Config.Data)
	if err != nil {
		return err
	}
	scans, tests := there.Scans, there.Tests
	there.Scans, mine.Scans, there.Tests, mine.Tests = nil, nil, nil, nil
	if !reflect.DeepEqual(there, mine) {
		return nil
	}
	if scans != nil {
		rel.Scans = scans
	}
	if len(tests) == len(rel.Tests) {
		rel.Tests = tests
	}
	return nil
}
