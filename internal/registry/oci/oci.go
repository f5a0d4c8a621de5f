// Package oci is the registry.Registry over the OCI distribution protocol; it must not know what its artifacts mean.
package oci

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/variables"
)

var (
	_ registry.Registry  = (*Registry)(nil)
	_ registry.Lister    = (*Registry)(nil)
	_ registry.Resolver  = (*Registry)(nil)
	_ registry.Attacher  = (*Registry)(nil)
	_ registry.Copier    = (*Registry)(nil)
	_ registry.Describer = (*Registry)(nil)
	_ registry.Inspector = (*Registry)(nil)
)

// Options of a registry client. The zero value is what users want.
type Options struct {
	// Keychain finds credentials. Default: those that `docker login` and its credential helpers keep.
	Keychain authn.Keychain
	// Identity says who this run is to Azure, for its registries that Keychain has nothing for. Default: nobody.
	Identity identity.Source
	// Azure says which hosts are registries of Azure. Default: those below azurecr.io, azurecr.cn and azurecr.us.
	Azure func(host string) bool
	// Backoff between attempts after 408, 429, 5xx, a reset or broken connection. Default: 8 attempts within about ten seconds.
	Backoff remote.Backoff
	// UserAgent that registries log. Default: sluice.
	UserAgent string
	// Secrets learns of the credentials that are found. Default: nobody does.
	Secrets *variables.Masker
	Now     func() time.Time
}

// Registry talks to whatever registry a reference names: by http to localhost, *.localhost, loopback and private addresses, by https
// to everything else. It is safe for concurrent use.
type Registry struct {
	o         Options
	keys      *keychain
	transport http.RoundTripper
	// puller keeps the token of each repository that was read from: asking for one anew costs two requests each time.
	puller *remote.Puller
	// attaching is held while the index of a subject's referrers is read and written, which registries without the referrers API
	// leave to their clients.
	attaching sync.Mutex
}

// New makes a client; it connects to nothing yet.
func New(o Options) *Registry {
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Secrets == nil {
		o.Secrets = &variables.Masker{}
	}
	if o.Azure == nil {
		o.Azure = isAzure
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Backoff.Steps == 0 {
		o.Backoff = remote.Backoff{Duration: 200 * time.Millisecond, Factor: 1.6, Jitter: 0.2, Steps: 8}
	}
	if o.UserAgent == "" {
		o.UserAgent = "sluice"
	}
	r := &Registry{o: o, transport: newTransport(o.Backoff, o.Secrets)}
	r.keys = newKeychain(o, r.transport)
	// Without options that contradict each other it cannot fail; without it, everything takes longer.
	r.puller, _ = remote.NewPuller(r.options(context.Background())...)
	return r
}

func (r *Registry) options(ctx context.Context) []remote.Option {
	options := []remote.Option{
		remote.WithContext(ctx),
		remote.WithTransport(r.transport),
		remote.WithAuthFromKeychain(r.keys),
		remote.WithRetryBackoff(r.o.Backoff),
		remote.WithUserAgent(r.o.UserAgent),
	}
	if r.puller != nil {
		options = append(options, remote.Reuse(r.puller))
	}
	return options
}

// nameOptions refuses references without host or tag, which would silently mean Docker Hub and latest.
func nameOptions(ref string) []name.Option {
	opts := []name.Option{name.StrictValidation}
	if strings.HasPrefix(ref, "localhost/") {
		opts = append(opts, name.Insecure)
	}
	return opts
}

func parseRepository(op, repository string) (name.Repository, error) {
	repo, err := name.NewRepository(repository, nameOptions(repository)...)
	if err != nil {
		return repo, fault.New(fault.Usage, op, "%w", err).
			WithHint("a repository is a host and a path in lower case, such as localhost:5000/calculator")
	}
	return repo, nil
}

// parsePinned reads a reference by digest.
func parsePinned(op, reference string) (name.Digest, v1.Hash, error) {
	pinned, err := name.NewDigest(reference, nameOptions(reference)...)
	if err != nil {
		return pinned, v1.Hash{}, fault.New(fault.Usage, op, "%w", err).
			WithHint("it takes a reference by digest, such as localhost:5000/calculator@sha256:…: a tag may name something else tomorrow")
	}
	digest, err := v1.NewHash(pinned.DigestStr())
	return pinned, digest, fault.Wrap(fault.Usage, op, err)
}

func parseReference(op, reference string) (name.Reference, error) {
	ref, err := name.ParseReference(reference, nameOptions(reference)...)
	if err != nil {
		return nil, fault.New(fault.Usage, op, "%w", err).
			WithHint("a reference is a host, a path in lower case and a tag or digest, such as localhost:5000/calculator:1.0.0")
	}
	return ref, nil
}

// PushLayout pushes the only image or index of an OCI image layout.
func (r *Registry) PushLayout(ctx context.Context, path, repository, tag string) (string, error) {
	op := "push to " + repository
	repo, err := parseRepository(op, repository)
	if err != nil {
		return "", err
	}
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return "", fault.New(fault.Internal, op, "read the image layout %s: %w", path, err)
	}
	content, digest, err := only(index)
	if err != nil {
		return "", fault.New(fault.Internal, op, "read the image layout %s: %w", path, err)
	}
	return r.push(ctx, op, repo, tag, digest, content)
}

// only is the one entry of a layout.
func only(index v1.ImageIndex) (remote.Taggable, v1.Hash, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, v1.Hash{}, fmt.Errorf("it has %d entries, not one", len(manifest.Manifests))
	}
	entry := manifest.Manifests[0]
	switch {
	case entry.MediaType.IsIndex():
		inner, err := index.ImageIndex(entry.Digest)
		return inner, entry.Digest, err
	case entry.MediaType.IsImage():
		image, err := index.Image(entry.Digest)
		return image, entry.Digest, err
	default:
		return nil, v1.Hash{}, fmt.Errorf("its entry is of type %q, no image", entry.MediaType)
	}
}

// push writes an image or index: blobs first, then the manifest, so that nothing half-written has a name.
func (r *Registry) push(ctx context.Context, op string, repo name.Repository, tag string, digest v1.Hash, content remote.Taggable) (string, error) {
	pinned := repo.Digest(digest.String())
	var target name.Reference = pinned
	if tag != "" {
		tagged, there, err := r.free(ctx, op, repo, tag, digest)
		if err != nil {
			return "", err
		}
		if there {
			return pinned.Name(), nil
		}
		target = tagged
	}
	if err := r.write(ctx, target, content); err != nil {
		return "", r.classify(op, repo.RegistryStr(), err)
	}
	return pinned.Name(), nil
}

// free refuses a tag that names something else, and says whether it names the digest already.
func (r *Registry) free(ctx context.Context, op string, repo name.Repository, tag string, digest v1.Hash) (name.Tag, bool, error) {
	tagged, err := name.NewTag(repo.Name()+":"+tag, nameOptions(repo.Name())...)
	if err != nil {
		return tagged, false, fault.New(fault.Usage, op, "%q is no tag: %w", tag, err)
	}
	there, err := r.taken(ctx, tagged)
	switch {
	case err != nil:
		return tagged, false, r.classify(op, repo.RegistryStr(), err)
	case there == digest:
		return tagged, true, nil
	case there != v1.Hash{}:
		return tagged, false, fault.New(fault.Usage, op, "tag %s is taken by %s; this is %s", tag, there, digest).
			WithHint("what is released does not change: give the changed sources a version of their own")
	}
	return tagged, false, nil
}

// taken returns what a tag points to, zero where it does not exist.
func (r *Registry) taken(ctx context.Context, tag name.Tag) (v1.Hash, error) {
	// GET and not HEAD: some registries answer HEAD without a digest.
	there, err := remote.Get(tag, r.options(ctx)...)
	if isAbsent(err) {
		return v1.Hash{}, nil
	}
	if err != nil {
		return v1.Hash{}, err
	}
	return there.Digest, nil
}

func (r *Registry) write(ctx context.Context, target name.Reference, content remote.Taggable) error {
	switch c := content.(type) {
	case v1.ImageIndex:
		return remote.WriteIndex(target, c, r.options(ctx)...)
	case v1.Image:
		return remote.Write(target, c, r.options(ctx)...)
	default:
		return fmt.Errorf("cannot push a %T", content)
	}
}

// Tags lists a repository's tags in lexical order.
func (r *Registry) Tags(ctx context.Context, repository string) ([]string, error) {
	op := "list the tags of " + repository
	repo, err := parseRepository(op, repository)
	if err != nil {
		return nil, err
	}
	tags, err := remote.List(repo, r.options(ctx)...)
	if isAbsent(err) {
		return nil, nil
	}
	slices.Sort(tags)
	return tags, r.classify(op, repo.RegistryStr(), err)
}

// Check begins an upload to the repository and takes it back, which is the only question about the right to push that every registry answers.
func (r *Registry) Check(ctx context.Context, repository string) error {
	op := "reach " + repository
	repo, err := parseRepository(op, repository)
	if err != nil {
		return err
	}
	err = remote.CheckPushPermission(repo.Tag("check"), within{ctx, r.keys}, bound{ctx, r.transport})
	return r.classify(op, repo.RegistryStr(), err)
}

// Descriptor fetches what a reference to an image or index names, for builders that need a base image.
func (r *Registry) Descriptor(ctx context.Context, reference string) (*remote.Descriptor, error) {
	op := "fetch " + reference
	ref, err := parseReference(op, reference)
	if err != nil {
		return nil, err
	}
	descriptor, err := remote.Get(ref, r.options(ctx)...)
	return descriptor, r.classify(op, ref.Context().RegistryStr(), err)
}
