package sigstore

import (
	"context"
	"crypto"
	"encoding/hex"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign"
)

var _ sign.Verifier = Verifier{}

// Verifier checks bundles against public keys. A key is trusted as long as it is named: neither time nor transparency log is asked.
type Verifier struct{}

// Verify checks that one of the signers signed the bundle, and that its statement is about the digest.
func (Verifier) Verify(ctx context.Context, data []byte, digest string, signers []v1alpha1.Signer) (sign.Verified, error) {
	const op = "verify the signature"
	if err := ctx.Err(); err != nil {
		return sign.Verified{}, fault.Wrap(fault.Interrupted, op, err)
	}
	keys := make([]crypto.PublicKey, len(signers))
	for i, s := range signers {
		var err error
		if keys[i], err = publicKey(s); err != nil {
			return sign.Verified{}, err
		}
	}
	if len(data) > sign.MaxBundle {
		return sign.Verified{}, fault.New(fault.Refused, op, "it has %d bytes; a signature has at most %d", len(data), sign.MaxBundle)
	}
	raw, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
	if err != nil || len(raw) != crypto.SHA256.Size() {
		return sign.Verified{}, fault.New(fault.Usage, op, "%q is no digest", digest)
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return sign.Verified{}, fault.New(fault.Refused, op, "it is no bundle that can be read: %w", err)
	}
	envelope := b.GetDsseEnvelope()
	if envelope == nil {
		return sign.Verified{}, fault.New(fault.Refused, op, "it signs bytes and not a statement")
	}
	if envelope.GetPayloadType() != payloadType {
		return sign.Verified{}, fault.New(fault.Refused, op, "it signs a %.60q and not an in-toto statement", envelope.GetPayloadType())
	}
	// The key that signed is looked for among all: the bundle's hint is the word of whoever wrote it.
	reason := error(fault.New(fault.Refused, op, "nobody is trusted"))
	for _, key := range keys {
		err := holds(&b, key, raw)
		if err != nil {
			reason = err
			continue
		}
		by, err := fingerprint(key)
		return sign.Verified{Statement: envelope.GetPayload(), By: by}, fault.Wrap(fault.Internal, op, err)
	}
	return sign.Verified{}, fault.Wrap(fault.Refused, op, reason)
}

// holds asks the library about one key.
func holds(b *bundle.Bundle, key crypto.PublicKey, digest []byte) error {
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		return err
	}
	trusted := root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) {
		return root.NewExpiringKey(verifier, time.Time{}, time.Time{}), nil
	})
	checker, err := verify.NewVerifier(trusted, verify.WithNoObserverTimestamps())
	if err != nil {
		return err
	}
	_, err = checker.Verify(b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey()))
	return err
}

// Fingerprint names a signer for people.
func (Verifier) Fingerprint(s v1alpha1.Signer) (string, error) {
	key, err := publicKey(s)
	if err != nil {
		return "", err
	}
	return fingerprint(key)
}

func publicKey(s v1alpha1.Signer) (crypto.PublicKey, error) {
	const op = "read the public key of a signer"
	key, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(s.PEM))
	if err != nil {
		return nil, fault.New(fault.Usage, op, "%w", err).WithHint("`cosign public-key --key …` and `openssl pkey -pubout` write it in PEM")
	}
	return key, fault.Wrap(fault.Usage, op, checkKey(key))
}
