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
	Type string
	// Config is the configuration; its zero value stands for the empty one, application/vnd.oci.empty.v1+json.
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

// Resolver tells what a tag stands for.
type Resolver interface {
	// Resolve returns the reference by digest of what a tag or digest names now, in one request where credentials are at hand.
	Resolve(ctx context.Context, reference string) (string, error)
}

// Description is what a manifest says of itself.
type Description struct {
	// Ref is the reference by digest.
	Ref string
	// Type is the artifactType, else the media type of the configuration; "" for an index.
	Type        string
	Annotations map[string]string
}

// Referrer is an artifact that refers to another, its subject, in whose repository it is: a signature, a bill of materials, a provenance.
type Referrer = Description

// Describer tells what something is without fetching it.
type Describer interface {
	// Describe reads the manifest that a tag or digest names, in one request where credentials are at hand.
	Describe(ctx context.Context, reference string) (Description, error)
}

// Contents is what a reference holds, children included; what is shared is counted once.
type Contents struct {
	Manifests, Blobs int
	// Bytes of the blobs.
	Bytes int64
}

// Inspector looks whether what is named is there.
//
// It fails with fault.NotFound where the reference itself does not exist, and with fault.Fatal, which names the digest, where
// something is missing below it or is not what its digest stands for.
type Inspector interface {
	// Complete asks for every blob below a reference by digest, and reads none.
	Complete(ctx context.Context, reference string) error
	// Verify reads every blob below a reference by digest and compares it with its digest.
	Verify(ctx context.Context, reference string) (Contents, error)
	// Compare tells how the images (or indexes of images) of two references by digest differ, a line for each difference.
	Compare(ctx context.Context, one, other string) ([]string, error)
}

// Attacher keeps artifacts beside what they are about, as OCI 1.1 has it: by the referrers API, or in an index under the tag
// sha256-<hex> where a registry has no such API.
//
// A subject is a reference by digest; anything else is fault.Usage, and a subject that does not exist is fault.NotFound.
type Attacher interface {
	// Attach pushes an artifact that refers to a subject into the subject's repository, and returns its reference by digest. It is
	// listed when Attach returns. The same artifact for the same subject is pushed once.
	Attach(ctx context.Context, artifact Artifact, subject string) (string, error)
	// Referrers lists what refers to a subject, in order of digests; with an artifact type only those of that type.
	Referrers(ctx context.Context, subject, artifactType string) ([]Referrer, error)
}

// Copied is what a copy did.
type Copied struct {
	// Ref is the reference by digest in the repository that was copied to.
	Ref string
	// Moved counts the bytes of blobs that went over the wire; what the registry mounted or already had costs none.
	Moved int64
}

// Copier copies between repositories, of one registry or of two.
type Copier interface {
	// Copy copies what a reference by digest names (an image, an index with its images, an artifact), and all that refers to it,
	// to a repository. Digests stay. The tag is written last, so it never names anything incomplete; "" writes none. An existing tag
	// with another digest is refused with fault.Usage, before anything is written. Copying again adds what has been attached since.
	Copy(ctx context.Context, from, repository, tag string) (Copied, error)
}
