package sigstore

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// PublicGood is sigstore's public good instance as its TUF repository describes it: whom to trust, and which services sign. The
// repository is asked once and only where that is needed; what it says is kept in ~/.sigstore/root, as cosign does. The zero value
// is ready for use. It is safe for concurrent use.
type PublicGood struct {
	// Mirror is the URL of the repository. Default: https://tuf-repo-cdn.sigstore.dev.
	Mirror string
	// Root is what the repository is verified by, as root.json. Default: that of the library.
	Root []byte
	// Cache is the folder in which its content is kept. Default: ~/.sigstore/root.
	Cache    string
	Patience Patience

	mu      sync.Mutex
	trusted *root.TrustedRoot
	signing *root.SigningConfig
}

// cacheDays is how long the repository's word is taken without asking again; its own expiry holds in any case.
const cacheDays = 1

// client reads the repository.
func (p *PublicGood) client(ctx context.Context) (*tuf.Client, error) {
	o := tuf.DefaultOptions().WithCacheValidity(cacheDays)
	if p.Mirror != "" {
		o = o.WithRepositoryBaseURL(p.Mirror)
	}
	if p.Root != nil {
		o = o.WithRoot(p.Root)
	}
	if p.Cache != "" {
		o = o.WithCachePath(p.Cache)
	}
	fetch := fetcher.NewDefaultFetcher()
	fetch.SetHTTPClient(p.Patience.files(ctx, "the TUF repository"))
	return tuf.New(o.WithFetcher(fetch))
}

// where names the repository for people.
func (p *PublicGood) where() string {
	if p.Mirror != "" {
		return p.Mirror
	}
	return tuf.DefaultMirror
}

// material is what the instance's signatures are verified by.
func (p *PublicGood) material(ctx context.Context) (*root.TrustedRoot, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trusted != nil {
		return p.trusted, nil
	}
	client, err := p.client(ctx)
	if err == nil {
		p.trusted, err = root.GetTrustedRoot(client)
	}
	return p.trusted, p.failed(ctx, "get the trusted root of sigstore's public good instance", err)
}

// services says which services sign now.
func (p *PublicGood) services(ctx context.Context) (*root.SigningConfig, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.signing != nil {
		return p.signing, nil
	}
	client, err := p.client(ctx)
	if err == nil {
		p.signing, err = root.GetSigningConfig(client)
	}
	return p.signing, p.failed(ctx, "get the services of sigstore's public good instance", err)
}

func (p *PublicGood) failed(ctx context.Context, op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.Wrap(fault.Interrupted, op, ctx.Err())
	default:
		return fault.New(fault.Unreachable, op, "from %s: %w", p.where(), err).
			WithHint("without a way there, keep the trusted root beside sluice.yaml (`cosign trusted-root create --with-default-services --out trusted_root.json` where there is one) and name it by trustedRoot: {file: trusted_root.json} of the signer")
	}
}

// trust is what certificates of one sigstore instance are verified by.
type trust struct {
	material root.TrustedMaterial
	// name says for messages which trusted root it is.
	name string
}

// trusted is the trusted root that a policy names.
func (p *PublicGood) trust(ctx context.Context, named *v1alpha1.TrustedRoot) (trust, error) {
	if named == nil {
		material, err := p.material(ctx)
		return trust{material, "the trusted root of sigstore's public good instance"}, err
	}
	return parseTrust(named)
}

// parseTrust reads a trusted root that stands in a policy.
func parseTrust(named *v1alpha1.TrustedRoot) (trust, error) {
	const op = "read the trusted root of a signer"
	if named.File != "" {
		return trust{}, fault.New(fault.Usage, op, "%s was not read into the policy", named.File)
	}
	material, err := root.NewTrustedRootFromJSON([]byte(named.JSON))
	if err != nil {
		return trust{}, fault.New(fault.Usage, op, "%w", err).WithHint("`cosign trusted-root create` writes one")
	}
	t := trust{material, "the trusted root in the policy"}
	switch {
	case len(material.FulcioCertificateAuthorities()) == 0:
		return trust{}, fault.New(fault.Usage, op, "it names no certificate authority")
	case len(material.RekorLogs())+len(material.TimestampingAuthorities()) == 0:
		return trust{}, fault.New(fault.Usage, op, "it names neither a transparency log nor a timestamp authority, so nobody could say when something was signed")
	}
	return t, nil
}

// demands are what a signature must bring along: each kind of witness that the trusted root names. Whoever wants to do without a
// transparency log leaves it out of the trusted root, which stands in the policy and not in the signature.
func (t trust) demands() []verify.VerifierOption {
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1)}
	if len(t.material.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	if len(t.material.RekorLogs()) > 0 {
		options = append(options, verify.WithTransparencyLog(1))
	}
	return options
}

// authorities names the certificate authorities for people.
func (t trust) authorities() string {
	var names []string
	for _, ca := range t.material.FulcioCertificateAuthorities() {
		if f, ok := ca.(*root.FulcioCertificateAuthority); ok {
			names = append(names, strings.TrimSpace(f.URI+" ("+f.Root.Subject.String()+")"))
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
