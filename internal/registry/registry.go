// Package registry is the port to an OCI registry; it must not know what its artifacts mean.
package registry

import "context"

// Blob is one layer or the configuration of an artifact.
type Blob struct {
	MediaType string
	// Title becomes the annotation org.opencontainers.image.title.
	Title string
	Data  []byte
}

// Artifact is an OCI artifact that is no image.
type Artifact struct {
	Type        string
	Config      Blob
	Layers      []Blob
	Annotations map[string]string
}

// Registry pushes and pulls by digest.
//
// Errors are fault.NotFound where the reference does not exist, fault.Unreachable where the registry cannot be reached or refuses the credentials.
type Registry interface {
	// PushLayout pushes the only image of an OCI image layout and returns its reference by digest.
	PushLayout(ctx context.Context, path, repository, tag string) (string, error)
	// Push pushes an artifact and returns its reference by digest. An existing tag with another digest is refused with fault.Usage.
	Push(ctx context.Context, artifact Artifact, repository, tag string) (string, error)
	// Pull fetches an artifact by tag or digest and returns it with its reference by digest.
	Pull(ctx context.Context, reference string) (Artifact, string, error)
	// Tags lists a repository's tags; a repository that does not exist has none.
	Tags(ctx context.Context, repository string) ([]string, error)
}
