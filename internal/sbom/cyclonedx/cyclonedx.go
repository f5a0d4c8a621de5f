// Package cyclonedx is the sbom.Maker in the format CycloneDX JSON; it must not write to a registry.
//
// It lists what it can tell for certain from files: the modules of Go programs, and the databases of dpkg and apk. Layers are read as
// a stream, one after the other; only a program being looked at lies on the disk for a moment.
package cyclonedx

import (
	"context"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sbom"
)

var _ sbom.Maker = (*Maker)(nil)

// MediaType of the documents.
const MediaType = "application/vnd.cyclonedx+json"

// attestation is the annotation by which BuildKit marks entries of an index that are no images.
const attestation = "vnd.docker.reference.type"

// Options of a maker.
type Options struct {
	// Fetch fetches an image or index by its reference. Default: images that are only in a registry are refused.
	Fetch func(ctx context.Context, reference string) (*remote.Descriptor, error)
}

// Maker makes documents. It is safe for concurrent use.
type Maker struct{ o Options }

// New makes a maker.
func New(o Options) *Maker { return &Maker{o: o} }

// Make makes a document for the image, or for each of the images of an index.
func (m *Maker) Make(ctx context.Context, req sbom.Request) ([]sbom.Document, error) {
	op := "list the components of " + req.Reference
	images, err := m.open(ctx, op, req)
	if err != nil {
		return nil, err
	}
	var documents []sbom.Document
	for _, image := range images {
		document, err := describe(ctx, image, req)
		if err != nil {
			return nil, classify(ctx, op, err)
		}
		documents = append(documents, document)
	}
	return documents, nil
}

func classify(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.Interrupted, op, ctx.Err())
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return fault.Wrap(known.Kind, op, err)
	}
	return fault.Wrap(fault.Usage, op, err)
}

// open finds the images of a request.
func (m *Maker) open(ctx context.Context, op string, req sbom.Request) ([]v1.Image, error) {
	if req.Layout != "" {
		index, err := layout.ImageIndexFromPath(req.Layout)
		if err != nil {
			return nil, fault.Wrap(fault.Usage, op, err)
		}
		images, err := flatten(index)
		return images, fault.Wrap(fault.Usage, op, err)
	}
	if m.o.Fetch == nil {
		return nil, fault.New(fault.Usage, op, "it is only in a registry")
	}
	descriptor, err := m.o.Fetch(ctx, req.Reference)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	if descriptor.MediaType.IsIndex() {
		index, err := descriptor.ImageIndex()
		if err != nil {
			return nil, fault.Wrap(fault.Usage, op, err)
		}
		images, err := flatten(index)
		return images, fault.Wrap(fault.Unreachable, op, err)
	}
	image, err := descriptor.Image()
	return []v1.Image{image}, fault.Wrap(fault.Usage, op, err)
}

// flatten lists the images of an index, inner ones included, in their order.
func flatten(index v1.ImageIndex) ([]v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var images []v1.Image
	for _, entry := range manifest.Manifests {
		switch {
		case entry.Annotations[attestation] != "":
		case entry.MediaType.IsIndex():
			inner, err := index.ImageIndex(entry.Digest)
			if err != nil {
				return nil, err
			}
			more, err := flatten(inner)
			if err != nil {
				return nil, err
			}
			images = append(images, more...)
		case entry.MediaType.IsImage():
			image, err := index.Image(entry.Digest)
			if err != nil {
				return nil, err
			}
			images = append(images, image)
		default:
			return nil, fmt.Errorf("it holds a %s", entry.MediaType)
		}
	}
	if len(images) == 0 {
		return nil, errors.New("it holds no image")
	}
	return images, nil
}

// describe makes the document of one image.
func describe(ctx context.Context, image v1.Image, req sbom.Request) (sbom.Document, error) {
	digest, err := image.Digest()
	if err != nil {
		return sbom.Document{}, err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return sbom.Document{}, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return sbom.Document{}, err
	}
	layers, err := image.Layers()
	if err != nil {
		return sbom.Document{}, err
	}
	found := newInventory()
	for _, layer := range layers {
		if err := found.layer(ctx, layer); err != nil {
			return sbom.Document{}, err
		}
	}
	subject := subject{digest: digest.String(), reference: req.Reference, base: req.Base, annotations: manifest.Annotations, time: req.Time}
	if config.OS != "" {
		subject.platform = config.OS + "/" + config.Architecture
		if config.Variant != "" {
			subject.platform += "/" + config.Variant
		}
	}
	data, count, err := encode(subject, found)
	return sbom.Document{Digest: subject.digest, Platform: subject.platform, MediaType: MediaType, Data: data, Components: count}, err
}
