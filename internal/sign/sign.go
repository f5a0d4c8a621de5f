// Package sign is the port to signatures over in-toto statements; it must not know what a statement says beyond the digest it is about, nor where signatures are kept.
package sign

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// BundleType is the media type of a signature: a sigstore bundle, as cosign reads and writes it.
const BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// MaxBundle bounds a signature in bytes: statements are some kilobytes.
const MaxBundle = 4 << 20

// Signer signs as one identity: with a key that others know, or with one that a certificate vouches for. It is safe for concurrent use.
type Signer interface {
	// Sign returns the bundle over an in-toto statement. It fails with fault.Unreachable where the key, or a service that must witness
	// its use, is elsewhere and cannot be used now.
	Sign(ctx context.Context, statement []byte) ([]byte, error)
	// Public is the signer as others trust it.
	Public() v1alpha1.Signer
}

// Identity is somebody who signs, as people name them.
type Identity struct {
	// Name is the fingerprint of a key (SHA256: and the base64 of the hash of the key in DER), or the subject of a certificate.
	Name string
	// Issuer is the URL of whoever vouches for the name; "" for a key.
	Issuer string
}

func (i Identity) String() string {
	if i.Issuer == "" {
		return i.Name
	}
	return i.Name + " (issuer " + i.Issuer + ")"
}

// Verified is a signature that holds.
type Verified struct {
	// Statement is what was signed.
	Statement []byte
	// By is who signed.
	By Identity
}

// Verifier checks signatures. It is safe for concurrent use.
type Verifier interface {
	// Verify checks that one of the signers signed the bundle, and that its statement is about the digest (sha256:…). It fails with
	// fault.Refused where that is not so, whatever the bundle holds, with fault.Usage where a signer is none, and with
	// fault.Unreachable where what a signer is verified by had to be fetched and could not be.
	Verify(ctx context.Context, bundle []byte, digest string, signers []v1alpha1.Signer) (Verified, error)
	// Claims says who signed a bundle by its own word, which proves nothing. It fails with fault.Refused where it does not say.
	Claims(bundle []byte) (Identity, error)
	// Identify names a signer for people. It fails with fault.Usage where the signer is none.
	Identify(signer v1alpha1.Signer) (Identity, error)
}
