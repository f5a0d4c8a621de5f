package sigstore

import (
	"context"
	"crypto/x509"
	"sync"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	sigstoresign "github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign"
)

var _ sign.Signer = (*Keyless)(nil)

// KeylessOptions configure keyless signing.
type KeylessOptions struct {
	// Signing names the services of an own instance; without fulcio those of the public good instance are used.
	Signing v1alpha1.KeylessSigning
	// Tokens says who the run is.
	Tokens Tokens
	// PublicGood describes the public good instance. Nil: a new one.
	PublicGood *PublicGood
	Patience   Patience
	Now        func() time.Time
}

// Keyless signs as the identity of a pipeline: with keys that are never written anywhere, each for one certificate.
type Keyless struct {
	o        KeylessOptions
	services services
	verifier Verifier

	mu      sync.Mutex
	current *certified
	// public is who the first certificate was for; the others must be for the same.
	public v1alpha1.Signer
}

// certified is a key and the certificate that vouches for it.
type certified struct {
	keypair     sigstoresign.Keypair
	certificate *x509.Certificate
}

// renewal is how long before its end a certificate is no longer used, so that witnesses still see it valid.
const renewal = time.Minute

// NewKeyless makes a signer, and gets its first certificate: who cannot sign should know before minutes are spent on a build.
//
// It fails with fault.Usage where there is no identity token or the trusted root is none, and with fault.Unreachable where a service
// does not answer, or does not take the token.
func NewKeyless(ctx context.Context, o KeylessOptions) (*Keyless, error) {
	if o.PublicGood == nil {
		o.PublicGood = &PublicGood{Patience: o.Patience}
	}
	k := &Keyless{o: o, verifier: Verifier{PublicGood: o.PublicGood}}
	const op = "prepare keyless signing"
	// The token comes first: to have none is the mistake that is made most.
	if _, err := o.Tokens.get(ctx); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	var err error
	if k.services, err = o.services(ctx); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	if _, err := k.certificate(ctx); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	return k, nil
}

// Public is the signer as others trust it.
func (k *Keyless) Public() v1alpha1.Signer { return k.public }

// Sign returns the bundle over an in-toto statement. What nobody could verify is not returned.
func (k *Keyless) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	const op = "sign"
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.Interrupted, op, err)
	}
	c, err := k.certificate(ctx)
	if err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	made, err := sigstoresign.Bundle(&sigstoresign.DSSEData{Data: statement, PayloadType: payloadType}, c.keypair, sigstoresign.BundleOptions{
		Context: ctx, CertificateProvider: given{c.certificate.Raw},
		TransparencyLogs: k.services.logs(ctx, k.o.Patience), TimestampAuthorities: k.services.authorities(ctx, k.o.Patience),
	})
	if err != nil {
		return nil, failed(ctx, op, err)
	}
	b, err := bundle.NewBundle(made)
	if err != nil {
		return nil, fault.Wrap(fault.Unreachable, op, err)
	}
	if err := k.prove(ctx, b); err != nil {
		return nil, fault.New(fault.Unreachable, op, "the services that were asked made a signature that nobody could verify: %w", err).
			WithHint("do the URLs in signing.keyless and its trustedRoot belong to the same instance?")
	}
	data, err := protojson.Marshal(made)
	return data, fault.Wrap(fault.Internal, op, err)
}

// prove checks a bundle as those will who deploy.
func (k *Keyless) prove(ctx context.Context, b *bundle.Bundle) error {
	holds, err := k.verifier.check(k.public)
	if err != nil {
		return err
	}
	_, err = holds(ctx, b, verify.WithoutArtifactUnsafe())
	return err
}

// certificate is one that is valid for a while yet.
func (k *Keyless) certificate(ctx context.Context) (*certified, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != nil && k.o.Now().Add(renewal).Before(k.current.certificate.NotAfter) {
		return k.current, nil
	}
	token, err := k.o.Tokens.get(ctx)
	if err != nil {
		return nil, err
	}
	next, err := k.issue(ctx, token)
	if err != nil {
		return nil, err
	}
	who, err := presented(next.certificate)
	if err != nil {
		return nil, fault.New(fault.Unreachable, "", "Fulcio at %s issued a certificate that cannot be used: %w", k.services.fulcio, err)
	}
	public := v1alpha1.Signer{Keyless: &v1alpha1.KeylessSigner{Issuer: who.Issuer, Identity: who.Name, TrustedRoot: k.o.Signing.TrustedRoot}}
	switch {
	case k.public.Keyless == nil:
		k.public = public
	case *k.public.Keyless != *public.Keyless:
		return nil, fault.New(fault.Refused, "", "the run began as %s, and Fulcio now says that it is %s", k.public.Keyless.Identity, who)
	}
	k.current = next
	return next, nil
}

// issue gets a certificate for a new key.
func (k *Keyless) issue(ctx context.Context, t token) (*certified, error) {
	const op = "get a certificate"
	keypair, err := sigstoresign.NewEphemeralKeypair(nil)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, op, err)
	}
	client := k.o.Patience.client(ctx, "Fulcio", t.shown.Reveal())
	fulcio := sigstoresign.NewFulcio(&sigstoresign.FulcioOptions{BaseURL: k.services.fulcio, Timeout: -1, Transport: client.Transport})
	der, err := fulcio.GetCertificate(ctx, keypair, &sigstoresign.CertificateProviderOptions{IDToken: t.shown.Reveal()})
	if err != nil {
		err := failed(ctx, op, err)
		return nil, fault.New(fault.KindOf(err), "", "%w (presented was %s)", err, t).
			WithHint("does this Fulcio take tokens of that issuer and audience?")
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.New(fault.Unreachable, op, "Fulcio at %s issued something that is no certificate: %w", k.services.fulcio, err)
	}
	trusted, err := k.o.PublicGood.trust(ctx, k.o.Signing.TrustedRoot)
	if err != nil {
		return nil, err
	}
	if _, err := verify.VerifyLeafCertificate(c.NotBefore, c, trusted.material); err != nil {
		return nil, fault.New(fault.Unreachable, op, "Fulcio at %s issued a certificate by %s, and %s takes those of %s", k.services.fulcio, c.Issuer, trusted.name, trusted.authorities()).
			WithHint("do signing.keyless.fulcio and its trustedRoot belong to the same instance?")
	}
	return &certified{keypair: keypair, certificate: c}, nil
}

// given hands out a certificate that is there already.
type given struct{ der []byte }

func (g given) GetCertificate(context.Context, sigstoresign.Keypair, *sigstoresign.CertificateProviderOptions) ([]byte, error) {
	return g.der, nil
}
