// Package sigstore is the sign.Signer and sign.Verifier in the format of sigstore, which cosign shares: with keys in files, in key services, and with certificates for identities; it must not fetch signatures, or decide who is trusted.
package sigstore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign"
)

var _ sign.Signer = (*Signer)(nil)

// payloadType is that of an in-toto statement in a DSSE envelope.
const payloadType = "application/vnd.in-toto+json"

// minRSA is the shortest RSA key that is taken, in bits.
const minRSA = 2048

// Signer signs with one key.
type Signer struct {
	signer signature.Signer
	public string
	hint   string
}

// NewSigner makes a signer of a private key in PEM: ECDSA on P-256 or RSA, plain or encrypted as cosign and PKCS #8 do. password is
// asked only for an encrypted key; its error is passed on.
func NewSigner(key []byte, password func() (string, error)) (*Signer, error) {
	const op = "read the signing key"
	block, _ := pem.Decode(key)
	if block == nil {
		return nil, fault.New(fault.Usage, op, "it is not in PEM").WithHint("`cosign generate-key-pair` writes one, as does `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`")
	}
	// The library's errors are not passed on where they might quote what they read.
	private, err := cryptoutils.UnmarshalPEMToPrivateKey(key, func(bool) ([]byte, error) {
		text, err := password()
		return []byte(text), err
	})
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return nil, fault.Wrap(fault.Usage, op, err)
	case err != nil && strings.Contains(block.Type, "ENCRYPTED"):
		return nil, fault.New(fault.Usage, op, "it cannot be decrypted").WithHint("is the password the right one, and the key complete?")
	case err != nil:
		return nil, fault.New(fault.Usage, op, "the PEM block %q holds no private key that can be read", block.Type)
	}
	held, ok := private.(crypto.Signer)
	if !ok {
		return nil, fault.New(fault.Usage, op, "a %T cannot sign", private)
	}
	if err := checkKey(held.Public()); err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	s, err := signature.LoadSigner(private, crypto.SHA256)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	return newSigner(op, s)
}

func newSigner(op string, s signature.Signer) (*Signer, error) {
	public, err := s.PublicKey()
	if err != nil {
		return nil, fault.Wrap(fault.Unreachable, op, err)
	}
	if err := checkKey(public); err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	encoded, err := cryptoutils.MarshalPublicKeyToPEM(public)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	print, err := fingerprint(public)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	return &Signer{signer: s, public: string(encoded), hint: strings.TrimPrefix(print, "SHA256:")}, nil
}

// Public is the signer as others trust it.
func (s *Signer) Public() v1alpha1.Signer { return v1alpha1.Signer{PEM: s.public} }

// Sign returns the bundle over an in-toto statement.
func (s *Signer) Sign(ctx context.Context, statement []byte) ([]byte, error) {
	const op = "sign"
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.Interrupted, op, err)
	}
	sig, err := s.signer.SignMessage(bytes.NewReader(dsse.PAE(payloadType, statement)), options.WithContext(ctx))
	if err != nil {
		return nil, failed(ctx, op, err)
	}
	bundle := &protobundle.Bundle{
		MediaType: sign.BundleType,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{PublicKey: &protocommon.PublicKeyIdentifier{Hint: s.hint}},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: statement, PayloadType: payloadType, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	}
	data, err := protojson.Marshal(bundle)
	return data, fault.Wrap(fault.Internal, op, err)
}

// checkKey takes the kinds of keys for which every implementation uses the same hash and padding.
func checkKey(public crypto.PublicKey) error {
	const cure = "take an ECDSA key on P-256, which `cosign generate-key-pair` makes"
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return nil
		}
		return fault.New(fault.Usage, "", "it is an ECDSA key on %s", key.Curve.Params().Name).WithHint(cure)
	case *rsa.PublicKey:
		if key.N.BitLen() >= minRSA {
			return nil
		}
		return fault.New(fault.Usage, "", "it is an RSA key of %d bits; %d are the least", key.N.BitLen(), minRSA).WithHint(cure)
	default:
		return fault.New(fault.Usage, "", "it is a %T", public).WithHint(cure)
	}
}

// fingerprint names a public key for people.
func fingerprint(public crypto.PublicKey) (string, error) {
	der, err := cryptoutils.MarshalPublicKeyToDER(public)
	if err != nil {
		return "", fmt.Errorf("encode the public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return "SHA256:" + base64.StdEncoding.EncodeToString(sum[:]), nil
}
