// Package build is the port to the builders of container images; a builder must not push.
package build

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Request asks for one image.
type Request struct {
	// Dir is the project's folder; the image's paths are relative to it.
	Dir     string
	Service string
	Name    string
	Image   v1alpha1.Image
	Version string
	Commit  string
}

// Layout is a folder in OCI image layout that holds the built image (or index) as its only entry.
type Layout struct {
	Path string
	// Digest of the image or index, sha256:…
	Digest string
}

// Builder builds an image and returns it as an OCI image layout below dir. It fails with fault.Usage where the sources are wrong.
type Builder interface {
	Build(ctx context.Context, req Request, dir string) (Layout, error)
}
