package oci

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/internal/registry"
)

// Copy copies by digest, with all that refers to it.
func (r *Registry) Copy(ctx context.Context, from, repository, tag string) (registry.Copied, error) {
	op := "copy " + from + " to " + repository
	source, digest, err := parsePinned(op, from)
	if err != nil {
		return registry.Copied{}, err
	}
	repo, err := parseRepository(op, repository)
	if err != nil {
		return registry.Copied{}, err
	}
	there := true
	var tagged name.Tag
	if tag != "" {
		if tagged, there, err = r.free(ctx, op, repo, tag, digest); err != nil {
			return registry.Copied{}, err
		}
	}
	ctx, moved := counting(ctx)
	content, err := remote.Get(source, r.options(ctx)...)
	if err != nil {
		return registry.Copied{}, r.classify(op, source.Context().RegistryStr(), err)
	}
	if source.Context().Name() != repo.Name() {
		c := copying{r: r, from: source.Context(), to: repo, done: map[v1.Hash]bool{}}
		if err := c.content(ctx, content); err != nil {
			return registry.Copied{}, r.classify(op, c.failing(), err)
		}
	}
	if !there {
		// The last write: a tag that can be seen names what is complete.
		if err := remote.Tag(tagged, content, r.options(ctx)...); err != nil {
			return registry.Copied{}, r.classify(op, repo.RegistryStr(), err)
		}
	}
	return registry.Copied{Ref: repo.Digest(digest.String()).Name(), Moved: moved.Load()}, nil
}

// copying is one copy between two repositories.
type copying struct {
	r        *Registry
	from, to name.Repository
	// done are the manifests whose referrers were looked for.
	done map[v1.Hash]bool
	// reading says that the source is spoken to, for what is said of a failure.
	reading bool
}

// failing is the registry that is spoken to.
func (c *copying) failing() string {
	if c.reading {
		return c.from.RegistryStr()
	}
	return c.to.RegistryStr()
}

// content copies a manifest with its children and blobs, and then what refers to any of them.
func (c *copying) content(ctx context.Context, content *remote.Descriptor) error {
	c.reading = false
	if err := remote.Push(c.to.Digest(content.Digest.String()), content, c.r.options(ctx)...); err != nil {
		return err
	}
	return c.referrers(ctx, content)
}

// referrers copies what refers to a manifest and, where it is an index, to its children.
func (c *copying) referrers(ctx context.Context, content *remote.Descriptor) error {
	if content.MediaType.IsIndex() {
		index, err := content.ImageIndex()
		if err != nil {
			return err
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			return err
		}
		for _, child := range manifest.Manifests {
			if err := c.referrersOf(ctx, child.Digest); err != nil {
				return err
			}
		}
	}
	return c.referrersOf(ctx, content.Digest)
}

func (c *copying) referrersOf(ctx context.Context, subject v1.Hash) error {
	if c.done[subject] {
		return nil
	}
	c.done[subject] = true
	c.reading = true
	listed, err := c.r.listed(ctx, c.from.Digest(subject.String()))
	if err != nil {
		return err
	}
	for _, d := range listed {
		c.reading = true
		referrer, err := remote.Get(c.from.Digest(d.Digest.String()), c.r.options(ctx)...)
		if err != nil {
			return err
		}
		c.reading = false
		if err := c.r.attach(ctx, c.to.Digest(subject.String()), c.to.Digest(d.Digest.String()), referrer); err != nil {
			return err
		}
		if err := c.referrers(ctx, referrer); err != nil {
			return err
		}
	}
	return nil
}
