package oci

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// Complete asks for every blob.
func (r *Registry) Complete(ctx context.Context, reference string) error {
	_, err := r.inspect(ctx, "look for everything in "+reference, reference, func(layer v1.Layer, _ v1.Descriptor) error {
		there, err := partial.Exists(layer)
		if err == nil && !there {
			err = fault.New(fault.NotFound, "", "it does not exist")
		}
		return err
	})
	return err
}

// Verify reads every blob; the library compares digest and size while it reads.
func (r *Registry) Verify(ctx context.Context, reference string) (registry.Contents, error) {
	return r.inspect(ctx, "verify "+reference, reference, func(layer v1.Layer, d v1.Descriptor) error {
		stream, err := layer.Compressed()
		if err != nil {
			return err
		}
		defer stream.Close()
		n, err := io.Copy(io.Discard, stream)
		if err == nil && n != d.Size {
			return fault.New(fault.Fatal, "", "it has %d bytes, not %d", n, d.Size)
		}
		return err
	})
}

// inspection goes through everything below one reference.
type inspection struct {
	r        *Registry
	ctx      context.Context //nolint:containedctx // one walk
	repo     name.Repository
	look     func(v1.Layer, v1.Descriptor) error
	seen     map[v1.Hash]bool
	contents registry.Contents
}

func (r *Registry) inspect(ctx context.Context, op, reference string, look func(v1.Layer, v1.Descriptor) error) (registry.Contents, error) {
	pinned, _, err := parsePinned(op, reference)
	if err != nil {
		return registry.Contents{}, err
	}
	repo := pinned.Context()
	content, err := remote.Get(pinned, r.options(ctx)...)
	if err != nil {
		return registry.Contents{}, r.classify(op, repo.RegistryStr(), err)
	}
	i := &inspection{r: r, ctx: ctx, repo: repo, look: look, seen: map[v1.Hash]bool{}}
	err = i.manifest(content)
	return i.contents, r.classify(op, repo.RegistryStr(), err)
}

func (i *inspection) manifest(content *remote.Descriptor) error {
	if i.seen[content.Digest] {
		return nil
	}
	i.seen[content.Digest] = true
	i.contents.Manifests++
	if content.MediaType.IsIndex() {
		return i.children(content)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(content.Manifest))
	if err != nil {
		return fault.New(fault.Fatal, "", "read the manifest %s: %w", content.Digest, err)
	}
	for _, d := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
		if err := i.blob(d); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspection) children(content *remote.Descriptor) error {
	index, err := v1.ParseIndexManifest(bytes.NewReader(content.Manifest))
	if err != nil {
		return fault.New(fault.Fatal, "", "read the index %s: %w", content.Digest, err)
	}
	for _, child := range index.Manifests {
		d, err := remote.Get(i.repo.Digest(child.Digest.String()), i.r.options(i.ctx)...)
		if isAbsent(err) {
			return missing("manifest", child.Digest)
		}
		if err != nil {
			return err
		}
		if err := i.manifest(d); err != nil {
			return err
		}
	}
	return nil
}

func (i *inspection) blob(d v1.Descriptor) error {
	if i.seen[d.Digest] || !d.MediaType.IsDistributable() {
		return nil
	}
	i.seen[d.Digest] = true
	layer, err := remote.Layer(i.repo.Digest(d.Digest.String()), i.r.options(i.ctx)...)
	if err != nil {
		return err
	}
	switch err := i.look(layer, d); {
	case isAbsent(err), fault.Is(err, fault.NotFound):
		return missing("blob", d.Digest)
	case err != nil:
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	i.contents.Blobs++
	i.contents.Bytes += d.Size
	return nil
}

func missing(what string, digest v1.Hash) error {
	return fault.New(fault.Fatal, "", "%s %s is missing", what, digest).
		WithHint("somebody deleted it from the registry: build again with --rebuild, or copy it from where it still is")
}
