package oci

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

// attempts is how often a referrer is written until it is listed. In a registry without the referrers API two clients that write the
// index of one subject at the same time lose one of the entries; the loser sees it and writes again.
const attempts = 8

// Resolve tells the digest that a reference stands for.
func (r *Registry) Resolve(ctx context.Context, reference string) (string, error) {
	op := "resolve " + reference
	ref, err := parseReference(op, reference)
	if err != nil {
		return "", err
	}
	// GET and not HEAD: some registries answer HEAD without a digest.
	descriptor, err := remote.Get(ref, r.options(ctx)...)
	if err != nil {
		return "", r.classify(op, ref.Context().RegistryStr(), err)
	}
	return ref.Context().Digest(descriptor.Digest.String()).Name(), nil
}

// Attach pushes an artifact that refers to a subject.
func (r *Registry) Attach(ctx context.Context, artifact registry.Artifact, subject string) (string, error) {
	op := "attach to " + subject
	pinned, _, err := parsePinned(op, subject)
	if err != nil {
		return "", err
	}
	repo := pinned.Context()
	there, err := remote.Get(pinned, r.options(ctx)...)
	if err != nil {
		return "", r.classify(op, repo.RegistryStr(), err)
	}
	m, err := manifestOf(artifact, &v1.Descriptor{MediaType: there.MediaType, Size: there.Size, Digest: there.Digest})
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, err)
	}
	image, err := partial.CompressedToImage(m)
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, err)
	}
	digest, err := partial.Digest(m)
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, err)
	}
	if err := r.attach(ctx, pinned, repo.Digest(digest.String()), image); err != nil {
		return "", r.classify(op, repo.RegistryStr(), err)
	}
	return repo.Digest(digest.String()).Name(), nil
}

// attach writes a referrer until it is listed among those of its subject.
func (r *Registry) attach(ctx context.Context, subject, referrer name.Digest, content remote.Taggable) error {
	r.attaching.Lock()
	defer r.attaching.Unlock()
	for attempt := range attempts {
		listed, err := r.listed(ctx, subject)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(listed, func(d v1.Descriptor) bool { return d.Digest.String() == referrer.DigestStr() }) {
			return nil
		}
		if attempt == 0 {
			err = remote.Push(referrer, content, r.options(ctx)...)
		} else {
			// Push would leave out a manifest that exists, and the index with it.
			err = remote.Put(referrer, content, r.options(ctx)...)
		}
		if err != nil {
			return err
		}
	}
	return fault.New(fault.Transient, "", "%s was pushed %d times and is still not among the referrers", referrer.DigestStr(), attempts)
}

// listed is the list of a subject's referrers as the registry gives it.
func (r *Registry) listed(ctx context.Context, subject name.Digest) ([]v1.Descriptor, error) {
	index, err := remote.Referrers(subject, r.options(ctx)...)
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fault.New(fault.Fatal, "", "read the list of referrers: %w", err)
	}
	return manifest.Manifests, nil
}

// Referrers lists what refers to a subject.
func (r *Registry) Referrers(ctx context.Context, subject, artifactType string) ([]registry.Referrer, error) {
	op := "list what refers to " + subject
	pinned, _, err := parsePinned(op, subject)
	if err != nil {
		return nil, err
	}
	repo := pinned.Context()
	listed, err := r.listed(ctx, pinned)
	if err != nil {
		return nil, r.classify(op, repo.RegistryStr(), err)
	}
	var found []registry.Referrer
	for _, d := range listed {
		if d.ArtifactType == "" || d.ArtifactType == emptyType {
			// A registry that looks at the configuration alone, or not at all: the manifest knows.
			if d, err = r.described(ctx, repo.Digest(d.Digest.String())); err != nil {
				return nil, r.classify(op, repo.RegistryStr(), err)
			}
		}
		if artifactType == "" || d.ArtifactType == artifactType {
			found = append(found, registry.Referrer{Ref: repo.Digest(d.Digest.String()).Name(), Type: d.ArtifactType, Annotations: d.Annotations})
		}
	}
	slices.SortFunc(found, func(a, b registry.Referrer) int { return cmp.Compare(a.Ref, b.Ref) })
	return found, nil
}

// described reads type and annotations of a referrer from its manifest.
func (r *Registry) described(ctx context.Context, ref name.Digest) (v1.Descriptor, error) {
	content, err := remote.Get(ref, r.options(ctx)...)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return describe(content)
}

// describe reads what a manifest says of itself.
func describe(content *remote.Descriptor) (v1.Descriptor, error) {
	d := v1.Descriptor{Digest: content.Digest}
	var manifest struct {
		ArtifactType string            `json:"artifactType"`
		Config       v1.Descriptor     `json:"config"`
		Annotations  map[string]string `json:"annotations"`
	}
	if err := json.NewDecoder(bytes.NewReader(content.Manifest)).Decode(&manifest); err != nil {
		return d, fault.New(fault.Fatal, "", "read the manifest %s: %w", content.Digest, err)
	}
	d.ArtifactType = cmp.Or(manifest.ArtifactType, string(manifest.Config.MediaType))
	d.Annotations = manifest.Annotations
	return d, nil
}

// Describe reads a manifest.
func (r *Registry) Describe(ctx context.Context, reference string) (registry.Description, error) {
	op := "read " + reference
	ref, err := parseReference(op, reference)
	if err != nil {
		return registry.Description{}, err
	}
	content, err := remote.Get(ref, r.options(ctx)...)
	if err != nil {
		return registry.Description{}, r.classify(op, ref.Context().RegistryStr(), err)
	}
	d, err := describe(content)
	return registry.Description{
		Ref: ref.Context().Digest(d.Digest.String()).Name(), Type: d.ArtifactType, Annotations: d.Annotations,
	}, r.classify(op, ref.Context().RegistryStr(), err)
}
