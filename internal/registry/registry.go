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
	// Type is the manifest's artifactType; "" for artifacts that are known by the media type of their configuration, as Helm's are.
	Type        string
	Config      Blob
	Layers      []Blob
	Annotations map[string]string
}

// Registry pushes and pulls by digest.
//
// Errors are fault.NotFound where the reference does not exist, fault.Unreachable where the registry cannot be reached or refuses the
// credentials, fault.Usage where a reference cannot be one, fault.Transient where the registry kept failing, fault.Fatal where what
// it holds is not what was asked for.
type Registry interface {
	// PushLayout pushes the only image of an OCI image layout and returns its reference by digest. An existing tag with another
	// digest is refused with fault.Usage, before anything is written.
	PushLayout(ctx context.Context, path, repository, tag string) (string, error)
	// Push pushes an artifact and returns its reference by digest. An existing tag with another digest is refused with fault.Usage,
	// before anything is written. The same artifact has the same digest.
	Push(ctx context.Context, artifact Artifact, repository, tag string) (string, error)
	// Pull fetches an artifact by tag or digest and returns it with its reference by digest. Every digest is verified.
	Pull(ctx context.Context, reference string) (Artifact, string, error)
	// Check says whether the registry can be reached and lets us push to a repository, which need not exist.
	Check(ctx context.Context, repository string) error
}

// Lister lists what is there.
type Lister interface {
	// Tags lists a repository's tags in lexical order; a repository that does not exist has none.
	Tags(ctx context.Context, repository string) ([]string, error)
}
