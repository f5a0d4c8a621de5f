package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
)

const (
	titleAnnotation = "org.opencontainers.image.title"
	// emptyType marks the placeholder that the OCI specification asks for where an artifact has no layer of its own.
	emptyType = "application/vnd.oci.empty.v1+json"
	// maxArtifact bounds what is read into memory, in bytes: charts and values files are far smaller.
	maxArtifact = 64 << 20
)

// Push pushes an artifact.
func (r *Registry) Push(ctx context.Context, artifact registry.Artifact, repository, tag string) (string, error) {
	op := "push to " + repository
	repo, err := parseRepository(op, repository)
	if err != nil {
		return "", err
	}
	m, err := manifestOf(artifact, nil)
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, err)
	}
	image, err := partial.CompressedToImage(m)
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, err)
	}
	digest, _, err := v1.SHA256(bytes.NewReader(m.raw))
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, err)
	}
	return r.push(ctx, op, repo, tag, digest, image)
}

// memory is an artifact in the shape in which the library pushes images.
type memory struct {
	raw    []byte
	config []byte
	blobs  map[v1.Hash]v1.Layer
}

// manifestOf lays an artifact out; subject is what it refers to, nil for nothing.
func manifestOf(a registry.Artifact, subject *v1.Descriptor) (*memory, error) {
	empty := registry.Blob{MediaType: emptyType, Data: []byte("{}")}
	if a.Config.MediaType == "" {
		a.Config = empty
	}
	m := &memory{config: a.Config.Data, blobs: map[v1.Hash]v1.Layer{}}
	config, err := m.add(a.Config)
	if err != nil {
		return nil, err
	}
	layers := a.Layers
	if len(layers) == 0 {
		layers = []registry.Blob{empty}
	}
	manifest := v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: a.Type, Config: config, Annotations: a.Annotations, Subject: subject,
	}
	for _, layer := range layers {
		d, err := m.add(layer)
		if err != nil {
			return nil, err
		}
		manifest.Layers = append(manifest.Layers, d)
	}
	// Map keys are sorted and nothing says when: the same artifact has the same digest.
	m.raw, err = json.Marshal(manifest)
	return m, err
}

func (m *memory) add(b registry.Blob) (v1.Descriptor, error) {
	layer := static.NewLayer(b.Data, types.MediaType(b.MediaType))
	digest, err := layer.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	m.blobs[digest] = layer
	d := v1.Descriptor{MediaType: types.MediaType(b.MediaType), Size: int64(len(b.Data)), Digest: digest}
	if b.Title != "" {
		d.Annotations = map[string]string{titleAnnotation: b.Title}
	}
	return d, nil
}

func (m *memory) RawManifest() ([]byte, error)   { return m.raw, nil }
func (m *memory) RawConfigFile() ([]byte, error) { return m.config, nil }
func (m *memory) MediaType() (types.MediaType, error) {
	return types.OCIManifestSchema1, nil
}

func (m *memory) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	layer, ok := m.blobs[h]
	if !ok {
		return nil, fmt.Errorf("the artifact has no blob %s", h)
	}
	return layer, nil
}

// Pull fetches an artifact.
func (r *Registry) Pull(ctx context.Context, reference string) (registry.Artifact, string, error) {
	op := "pull " + reference
	ref, err := parseReference(op, reference)
	if err != nil {
		return registry.Artifact{}, "", err
	}
	host := ref.Context().RegistryStr()
	descriptor, err := remote.Get(ref, r.options(ctx)...)
	if err != nil {
		return registry.Artifact{}, "", r.classify(op, host, err)
	}
	artifact, err := read(descriptor)
	if err != nil {
		return registry.Artifact{}, "", r.classify(op, host, err)
	}
	return artifact, ref.Context().Digest(descriptor.Digest.String()).Name(), nil
}

// read fetches the blobs of an artifact; the library verifies the digest and the size of each.
func read(d *remote.Descriptor) (registry.Artifact, error) {
	if d.MediaType != types.OCIManifestSchema1 {
		return registry.Artifact{}, fault.New(fault.Fatal, "", "it is a %s, no artifact", d.MediaType)
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(d.Manifest))
	if err != nil {
		return registry.Artifact{}, fault.New(fault.Fatal, "", "its manifest cannot be read: %w", err)
	}
	if err := checkSize(manifest); err != nil {
		return registry.Artifact{}, err
	}
	image, err := d.Image()
	if err != nil {
		return registry.Artifact{}, err
	}
	a := registry.Artifact{Type: manifest.ArtifactType, Annotations: manifest.Annotations}
	if manifest.Config.MediaType != emptyType {
		a.Config.MediaType = string(manifest.Config.MediaType)
		if a.Config.Data, err = image.RawConfigFile(); err != nil {
			return registry.Artifact{}, fmt.Errorf("read its configuration: %w", err)
		}
	}
	for _, l := range manifest.Layers {
		if l.MediaType == emptyType {
			continue
		}
		data, err := readLayer(image, l.Digest)
		if err != nil {
			return registry.Artifact{}, fmt.Errorf("read its layer %s: %w", l.Digest, err)
		}
		a.Layers = append(a.Layers, registry.Blob{MediaType: string(l.MediaType), Title: l.Annotations[titleAnnotation], Data: data})
	}
	return a, nil
}

// checkSize looks at the sizes that the manifest claims; reading stops at them.
func checkSize(m *v1.Manifest) error {
	total := int64(0)
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if d.Size < 0 || d.Size > maxArtifact {
			return fault.New(fault.Fatal, "", "it says that blob %s has %d bytes; an artifact has at most %d", d.Digest, d.Size, maxArtifact)
		}
		if total += d.Size; total > maxArtifact {
			return fault.New(fault.Fatal, "", "it has more than %d bytes", maxArtifact)
		}
	}
	return nil
}

func readLayer(image v1.Image, digest v1.Hash) ([]byte, error) {
	layer, err := image.LayerByDigest(digest)
	if err != nil {
		return nil, err
	}
	stream, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	return io.ReadAll(stream)
}
