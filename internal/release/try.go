package release

import (
	"context"
	"os"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/seal"
)

// untagged is the version of what is only tested.
const untagged = "0.0.0-test"

// Tried is what a release would be made of.
type Tried struct {
	// Version that the release would have; "" where only tests were asked for.
	Version string
	// Images that were made or found, by name, by digest. Those whose tests were all that was asked for are left out.
	Images map[string]string
	// Unchanged are the images that were found, with the version that they were built for.
	Unchanged map[string]string
	Tests     map[string]v1alpha1.Tests
}

// Try does what Make does as far as nothing is pushed: it packs the chart, tests, and builds. With images it makes and scans every image;
// without, an image that has tests is not built once they pass.
//
// Images that exist are looked for where the registry answers. It fails as Make does.
func (m *Maker) Try(ctx context.Context, req MakeRequest, images bool) (Tried, error) {
	req.Progress = serial(req.Progress)
	if !images && req.Version == "" {
		// Counting commits may need the whole history, and nothing will bear the version.
		req.Version = untagged
	}
	rel, err := draft(req)
	if err != nil {
		return Tried{}, err
	}
	if rel.Version, rel.Source, err = m.version(ctx, req); err != nil {
		return Tried{}, err
	}
	names, err := m.name(ctx, req, rel)
	if err != nil {
		return Tried{}, err
	}
	known, err := m.lookUp(ctx, req, rel, names)
	if fault.Is(err, fault.Unreachable) {
		// Who may not push may not be let in at all: pull requests from elsewhere have no credentials.
		req.Progress("what exists already cannot be told, so everything is built: " + err.Error())
	} else if err != nil {
		return Tried{}, err
	}
	work, err := os.MkdirTemp("", "sluice-build-")
	if err != nil {
		return Tried{}, fault.Wrap(fault.Internal, "make a folder for the images", err)
	}
	defer os.RemoveAll(work)
	built, err := m.buildImages(ctx, req, &rel, known, work, !images)
	if err != nil {
		return Tried{}, err
	}
	return m.tried(ctx, req, rel, names, known, built, work, images)
}

// tried names what was built and found, and has it scanned.
func (m *Maker) tried(ctx context.Context, req MakeRequest, rel v1alpha1.Release, names prepared, known *known, built map[string]build.Image, work string, images bool) (Tried, error) {
	done := Tried{Images: map[string]string{}, Unchanged: map[string]string{}}
	rel.Images = map[string]string{}
	making := seal.Making{Release: &rel, Layouts: map[string]string{}, Work: work}
	for name, image := range built {
		making.Layouts[name] = image.Layout
		done.Images[name], rel.Images[name] = image.Digest, image.Reference
		if image.Reference == "" {
			rel.Images[name] = names.images[name] + "@" + image.Digest
		}
	}
	if !req.Rebuild {
		for name, there := range known.found {
			done.Images[name], rel.Images[name], done.Unchanged[name] = digestOf(there.ref), there.ref, there.version
			if err := m.carryTests(req, &rel, name, there); err != nil {
				return Tried{}, err
			}
		}
	}
	done.Tests = rel.Tests
	if !images {
		return done, nil
	}
	done.Version = rel.Version
	return done, m.Seal.ScanImages(ctx, making)
}
