// Package ko is the build.Builder of Go main packages, without a daemon and as ko lays images out; it must not push.
//
// It runs the Go toolchain and assembles the image with go-containerregistry rather than using ko as a library: that would bring some
// 300 packages more (cosign, sigstore, rekor, …) for features that are not used here, and wants a base image from a network.
// Like ko it takes the files of kodata, at $KO_DATA_PATH. It does not read .ko.yaml, and it makes no SBOM.
package ko

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

var _ build.Builder = (*Builder)(nil)

// Options of the builder.
type Options struct {
	// Base fetches a base image or index by its reference. Default: images with `base:` are refused.
	Base func(ctx context.Context, reference string) (*remote.Descriptor, error)
	// Environ is the environment of the Go toolchain. Default: that of the process.
	Environ []string
}

// Builder builds images. It is safe for concurrent use.
type Builder struct{ o Options }

// New makes a builder.
func New(o Options) *Builder { return &Builder{o: o} }

// Build compiles the package for every platform and writes an image, or an index of several, to <dir>/<image name>.
//
// The same sources, toolchain and base give the same digest: paths are trimmed, nothing carries a time, and neither version nor commit
// is stamped in, so that sources which did not change keep their digest over commits.
func (b *Builder) Build(ctx context.Context, req build.Request, dir string) (build.Image, error) {
	op := "build " + req.Image.Ko
	platforms, err := parsePlatforms(op, req.Image.Platforms)
	if err != nil {
		return build.Image{}, err
	}
	tool, err := b.toolchain(op, filepath.Join(req.Dir, filepath.FromSlash(req.Image.Ko)))
	if err != nil {
		return build.Image{}, err
	}
	if err := tool.checkMain(ctx); err != nil {
		return build.Image{}, err
	}
	base, err := b.base(ctx, op, req.Image.Base)
	if err != nil {
		return build.Image{}, err
	}
	images := make([]v1.Image, len(platforms))
	for i, platform := range platforms {
		under, err := base.image(platform)
		if err != nil {
			return build.Image{}, err
		}
		binary := filepath.Join(dir, fmt.Sprintf("%s-%d.bin", req.Name, i))
		if err := tool.compile(ctx, platform, binary); err != nil {
			return build.Image{}, err
		}
		if images[i], err = assemble(under, platform, req.Name, binary, tool.dir); err != nil {
			return build.Image{}, fault.Wrap(fault.Internal, op, err)
		}
	}
	path := filepath.Join(dir, req.Name)
	digest, err := write(path, images, platforms)
	if err != nil {
		return build.Image{}, fault.Wrap(fault.Internal, op, err)
	}
	return build.Image{Layout: path, Digest: digest}, nil
}

// parsePlatforms reads `linux/amd64`, `linux/arm/v7`. None means the machine's own, on Linux.
func parsePlatforms(op string, names []string) ([]v1.Platform, error) {
	if len(names) == 0 {
		return []v1.Platform{{OS: "linux", Architecture: runtime.GOARCH}}, nil
	}
	var platforms []v1.Platform
	for _, name := range names {
		p, err := v1.ParsePlatform(name)
		if err != nil || p.OS == "" || p.Architecture == "" || p.OSVersion != "" {
			return nil, fault.New(fault.Usage, op, "%q is no platform", name).WithHint("a platform is written like linux/amd64 or linux/arm/v7")
		}
		if slices.ContainsFunc(platforms, func(q v1.Platform) bool { return q.Equals(*p) }) {
			return nil, fault.New(fault.Usage, op, "platform %q is named twice", name)
		}
		platforms = append(platforms, *p)
	}
	return platforms, nil
}

// write stores the image, or the index of several, as the only entry of a layout.
func write(path string, images []v1.Image, platforms []v1.Platform) (string, error) {
	target, err := layout.Write(path, empty.Index)
	if err != nil {
		return "", err
	}
	if len(images) == 1 {
		digest, err := images[0].Digest()
		if err != nil {
			return "", err
		}
		return digest.String(), target.AppendImage(images[0])
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, image := range images {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platforms[i]}})
	}
	digest, err := index.Digest()
	if err != nil {
		return "", err
	}
	return digest.String(), target.AppendIndex(index)
}
