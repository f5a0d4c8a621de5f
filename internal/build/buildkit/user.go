package buildkit

import (
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// runsAsRoot says whether an image of a layout names no user, or root.
func runsAsRoot(path string) (bool, error) {
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return false, err
	}
	return anyAsRoot(index)
}

func anyAsRoot(index v1.ImageIndex) (bool, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return false, err
	}
	for _, entry := range manifest.Manifests {
		if entry.MediaType.IsIndex() {
			inner, err := index.ImageIndex(entry.Digest)
			if err != nil {
				return false, err
			}
			if root, err := anyAsRoot(inner); err != nil || root {
				return root, err
			}
			continue
		}
		image, err := index.Image(entry.Digest)
		if err != nil {
			return false, err
		}
		config, err := image.ConfigFile()
		if err != nil {
			return false, err
		}
		user, _, _ := strings.Cut(config.Config.User, ":")
		if user == "" || user == "0" || user == "root" {
			return true, nil
		}
	}
	return false, nil
}
