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

// Signer signs with one key. It is safe for concurrent use.
type Signer interface {
	// Sign returns the bundle over an in-toto statement. It fails with fault.Unreachable where the key is elsewhere and cannot be used now.
	Sign(ctx context.Context, statement []byte) ([]byte, error)
	// Public is the signer as others trust it.
	Public() v1alpha1.Signer
}

// Verified is a signature that holds.
type Verified struct {
	// Statement is what was signed.
	Statement []byte
	// By is the fingerprint of the key: SHA256: and the base64 of the hash of the key in DER.
	By string
}

// Verifier checks signatures. It is safe for concurrent use.
type Verifier interface {
	// Verify checks that one of the signers signed the bundle, and that its statement is about the digest (sha256:…). It fails with
	// fault.Refused where that is not so, whatever the bundle holds, and with fault.Usage where a signer is none.
	Verify(ctx context.Context, bundle []byte, digest string, signers []v1alpha1.Signer) (Verified, error)
	// Fingerprint names a signer for people. It fails with fault.Usage where the signer is none.
	Fingerprint(signer v1alpha1.Signer) (string, error)
}
