package sigstore

import (
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"slices"
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

// Verifier checks bundles against public keys and identities. A key is trusted as long as it is named: neither time nor transparency
// log is asked. A certificate is valid for minutes, so that others must have witnessed when it was used.
type Verifier struct {
	// PublicGood is where the trusted root comes from for identities that name none. Nil: a new one each time.
	PublicGood *PublicGood
}

// Verify checks that one of the signers signed the bundle, and that its statement is about the digest.
func (v Verifier) Verify(ctx context.Context, data []byte, digest string, signers []v1alpha1.Signer) (sign.Verified, error) {
	const op = "verify the signature"
	if err := ctx.Err(); err != nil {
		return sign.Verified{}, fault.Wrap(fault.Interrupted, op, err)
	}
	checks := make([]check, len(signers))
	for i, s := range signers {
		var err error
		if checks[i], err = v.check(s); err != nil {
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
	b, err := parse(data)
	if err != nil {
		return sign.Verified{}, fault.Wrap(fault.Refused, op, err)
	}
	// Who signed is looked for among all: what the bundle says of that is the word of whoever wrote it.
	var why []string
	var unknown error
	for _, holds := range checks {
		by, err := holds(ctx, b, verify.WithArtifactDigest("sha256", raw))
		switch {
		case err == nil:
			return sign.Verified{Statement: b.GetDsseEnvelope().GetPayload(), By: by}, nil
		case fault.Is(err, fault.Interrupted):
			return sign.Verified{}, fault.Wrap(fault.Interrupted, op, err)
		case fault.Is(err, fault.Unreachable):
			unknown = err
		default:
			why = append(why, err.Error())
		}
	}
	switch {
	case unknown != nil:
		return sign.Verified{}, fault.Wrap(fault.Unreachable, op, unknown)
	case len(why) == 0:
		return sign.Verified{}, fault.New(fault.Refused, op, "nobody is trusted")
	}
	slices.Sort(why)
	return sign.Verified{}, fault.New(fault.Refused, op, "%s", strings.Join(slices.Compact(why), "; "))
}

// Identify names a signer for people.
func (Verifier) Identify(s v1alpha1.Signer) (sign.Identity, error) {
	if s.Keyless != nil {
		return sign.Identity{Name: wanted(*s.Keyless), Issuer: s.Keyless.Issuer}, nil
	}
	key, err := publicKey(s)
	if err != nil {
		return sign.Identity{}, err
	}
	print, err := fingerprint(key)
	return sign.Identity{Name: print}, err
}

// Claims says who signed a bundle by its own word, which proves nothing. It fails with fault.Refused where the bundle does not say.
func (Verifier) Claims(data []byte) (sign.Identity, error) {
	b, err := parse(data)
	if err != nil {
		return sign.Identity{}, fault.Wrap(fault.Refused, "read the signature", err)
	}
	if certificate := leaf(b); certificate != nil {
		return presented(certificate)
	}
	hint := b.GetVerificationMaterial().GetPublicKey().GetHint()
	if hint == "" {
		return sign.Identity{}, fault.New(fault.Refused, "read the signature", "it does not say by which key it is")
	}
	return sign.Identity{Name: "SHA256:" + hint}, nil
}

// parse reads a bundle that signs an in-toto statement.
func parse(data []byte) (*bundle.Bundle, error) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return nil, fault.New(fault.Refused, "", "it is no bundle that can be read: %w", err)
	}
	envelope := b.GetDsseEnvelope()
	if envelope == nil {
		return nil, errors.New("it signs bytes and not a statement")
	}
	if envelope.GetPayloadType() != payloadType {
		return nil, fault.New(fault.Refused, "", "it signs a %.60q and not an in-toto statement", envelope.GetPayloadType())
	}
	return &b, nil
}

// check says whether a bundle is signed by one signer, and as whom.
type check func(ctx context.Context, b *bundle.Bundle, artifact verify.ArtifactPolicyOption) (sign.Identity, error)

// check of a signer; it fails where the signer is none.
func (v Verifier) check(s v1alpha1.Signer) (check, error) {
	if s.Keyless != nil {
		return v.certified(*s.Keyless)
	}
	key, err := publicKey(s)
	if err != nil {
		return nil, err
	}
	print, err := fingerprint(key)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "read the public key of a signer", err)
	}
	return func(_ context.Context, b *bundle.Bundle, artifact verify.ArtifactPolicyOption) (sign.Identity, error) {
		if certificate := leaf(b); certificate != nil {
			who, err := presented(certificate)
			if err != nil {
				return sign.Identity{}, err
			}
			return sign.Identity{}, fault.New(fault.Refused, "", "it presents a certificate of %s, and the key %s is demanded", who, print)
		}
		return sign.Identity{Name: print}, byKey(b, key, artifact)
	}, nil
}

// byKey asks the library about one key.
func byKey(b *bundle.Bundle, key crypto.PublicKey, artifact verify.ArtifactPolicyOption) error {
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
	_, err = checker.Verify(b, verify.NewPolicy(artifact, verify.WithKey()))
	return err
}

func publicKey(s v1alpha1.Signer) (crypto.PublicKey, error) {
	const op = "read the public key of a signer"
	key, err := cryptoutils.UnmarshalPEMToPublicKey([]byte(s.PEM))
	if err != nil {
		return nil, fault.New(fault.Usage, op, "%w", err).WithHint("`cosign public-key --key …` and `openssl pkey -pubout` write it in PEM")
	}
	return key, fault.Wrap(fault.Usage, op, checkKey(key))
}
