package script

import (
	"errors"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// only is the digest of the one image or index that a layout holds. Every blob that it names must be there, and be what its digest says:
// what is missing is better known before anything is pushed.
func only(path string) (string, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return "", err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", err
	}
	if len(manifest.Manifests) != 1 {
		return "", fmt.Errorf("it has %d entries", len(manifest.Manifests))
	}
	return manifest.Manifests[0].Digest.String(), complete(layout.Path(path), index, manifest.Manifests[0])
}

// complete checks an entry of an index with all that it names.
func complete(in layout.Path, index v1.ImageIndex, entry v1.Descriptor) error {
	if err := sound(in, entry); err != nil {
		return err
	}
	switch {
	case entry.MediaType.IsIndex():
		inner, err := index.ImageIndex(entry.Digest)
		if err != nil {
			return err
		}
		manifest, err := inner.IndexManifest()
		if err != nil {
			return err
		}
		if len(manifest.Manifests) == 0 {
			return errors.New("its index is empty")
		}
		for _, m := range manifest.Manifests {
			if err := complete(in, inner, m); err != nil {
				return err
			}
		}
		return nil
	case entry.MediaType.IsImage():
		image, err := index.Image(entry.Digest)
		if err != nil {
			return err
		}
		manifest, err := image.Manifest()
		if err != nil {
			return err
		}
		for _, blob := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
			if err := sound(in, blob); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("an entry is of type %q, no image", entry.MediaType)
	}
}

// sound reads a blob and compares it with its descriptor.
func sound(in layout.Path, d v1.Descriptor) error {
	blob, err := in.Blob(d.Digest)
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	defer blob.Close()
	got, size, err := v1.SHA256(io.LimitReader(blob, d.Size+1))
	if err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if size != d.Size || got != d.Digest {
		return fmt.Errorf("blob %s holds something else than its digest says", d.Digest)
	}
	return nil
}
