package release

import (
	"context"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// Promote copies a release with its images, its chart and all that refers to any of them to another prefix, by digest, and returns the
// release as it is there. The release comes last: where it is, all that it names is. Moved counts the bytes of blobs that went over the
// wire. A release that lies there already is returned as it is.
//
// It fails with fault.Usage where the version exists there as something else, and with fault.Unreachable where a registry cannot be reached.
func Promote(ctx context.Context, c registry.Copier, rel v1alpha1.Release, ref v1alpha1.ReleaseRef, prefix string) (there v1alpha1.Release, pinned v1alpha1.ReleaseRef, moved int64, err error) {
	op := "promote " + rel.Service + " " + rel.Version + " to " + prefix
	home := releaseRepository(prefix, rel.Service)
	if from, _, _ := strings.Cut(ref.Ref, "@"); from == home {
		return rel, ref, 0, nil
	}
	there = rel
	relocate(&there, home)
	parts := [][2]string{{rel.Chart, there.Chart}}
	for _, name := range keys(rel.Images) {
		parts = append(parts, [2]string{rel.Images[name], there.Images[name]})
	}
	for _, part := range append(parts, [2]string{ref.Ref, home + "@" + ref.Digest}) {
		repository, _, _ := strings.Cut(part[1], "@")
		copied, err := c.Copy(ctx, part[0], repository, Tag(rel.Version))
		if err != nil {
			return rel, ref, moved, wrap(op, err)
		}
		if copied.Ref != part[1] {
			return rel, ref, moved, fault.New(fault.Internal, op, "%s was copied, and %s is there", part[0], copied.Ref)
		}
		moved += copied.Moved
	}
	return there, v1alpha1.ReleaseRef{Ref: home + "@" + ref.Digest, Digest: ref.Digest, Version: ref.Version}, moved, nil
}

// relocate makes a release name its parts where they lie beside it. The artifact holds full references to where it was made, and its
// digest must not change on the way; but a copy has its parts beside it, under the same names below its own prefix, and the digests say
// that they are the same.
func relocate(rel *v1alpha1.Release, repository string) {
	prefix, own := strings.CutSuffix(repository, "/"+rel.Service)
	chart, digest, _ := strings.Cut(rel.Chart, "@")
	at := strings.LastIndex(chart, "/charts/")
	if !own || at < 0 || chart[:at] == repository {
		return
	}
	images := map[string]string{}
	for name, ref := range rel.Images {
		images[name] = imageRepository(prefix, rel.Service, name) + "@" + digestOf(ref)
	}
	rel.Images = images
	rel.Chart = chartRepository(prefix, rel.Service, chart[at+len("/charts/"):]) + "@" + digest
}
