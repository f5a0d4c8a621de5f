package sigstore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/sluice-dev/sluice/internal/fault"
)

// azureScheme is that of keys in Azure Key Vault, as cosign writes it.
const azureScheme = "azurekms://"

// AzureOptions configure how a vault is reached.
type AzureOptions struct {
	// Credential is who asks.
	Credential azcore.TokenCredential
	// Client configures the client of the vault.
	Client azkeys.ClientOptions
}

// NewAzureKey makes a signer of a key in Azure Key Vault, named by azurekms://VAULT.vault.azure.net/KEY[/VERSION]. All signatures of
// one signer are by one version of the key. It fails with fault.Unreachable where the vault does not answer or does not let us, and
// with fault.Usage where there is no such key, or one that cannot be used.
func NewAzureKey(ctx context.Context, uri string, o AzureOptions) (*Signer, error) {
	const op = "reach the signing key"
	parts := strings.Split(strings.TrimPrefix(uri, azureScheme), "/")
	if !strings.HasPrefix(uri, azureScheme) || len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return nil, fault.New(fault.Usage, op, "%q is no URI of a key such as %sshop.vault.azure.net/release", uri, azureScheme)
	}
	client, err := azkeys.NewClient("https://"+parts[0], o.Credential, &o.Client)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	key := &azureKey{ctx: ctx, client: client, vault: parts[0], name: parts[1]}
	if len(parts) == 3 {
		key.version = parts[2]
	}
	if err := key.load(ctx); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), op, err)
	}
	return newSigner(op, key)
}

var _ signature.Signer = (*azureKey)(nil)

// azureKey signs in a vault.
type azureKey struct {
	ctx                  context.Context
	client               *azkeys.Client
	vault, name, version string
	public               crypto.PublicKey
}

func (k *azureKey) String() string {
	text := "key " + k.name + " in " + k.vault
	if k.version != "" {
		text += ", version " + k.version
	}
	return text
}

// load fetches the public key, and with it the version that signs.
func (k *azureKey) load(ctx context.Context) error {
	got, err := k.client.GetKey(ctx, k.name, k.version, nil)
	if err != nil {
		return k.failed(ctx, err)
	}
	if got.Key == nil || got.Key.Kty == nil || got.Key.KID == nil {
		return fault.New(fault.Unreachable, "", "%s answered without a key", k.vault)
	}
	k.version = got.Key.KID.Version()
	switch jwk := got.Key; *jwk.Kty {
	case azkeys.KeyTypeEC, azkeys.KeyTypeECHSM:
		if jwk.Crv == nil || *jwk.Crv != azkeys.CurveNameP256 {
			return fault.New(fault.Usage, "", "%s is an EC key on another curve than P-256", k).
				WithHint("`az keyvault key create --kty EC --curve P-256 --ops sign verify` makes one")
		}
		public := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(jwk.X), Y: new(big.Int).SetBytes(jwk.Y)}
		if _, err := public.ECDH(); err != nil {
			return fault.New(fault.Unreachable, "", "%s answered with a point that is no key", k.vault)
		}
		k.public = public
	case azkeys.KeyTypeRSA, azkeys.KeyTypeRSAHSM:
		exponent := new(big.Int).SetBytes(jwk.E)
		if !exponent.IsInt64() || exponent.Int64() > 1<<31-1 {
			return fault.New(fault.Unreachable, "", "%s answered with an exponent that is none", k.vault)
		}
		k.public = &rsa.PublicKey{N: new(big.Int).SetBytes(jwk.N), E: int(exponent.Int64())}
	default:
		return fault.New(fault.Usage, "", "%s is of type %s, and EC or RSA is needed", k, *jwk.Kty)
	}
	return nil
}

// PublicKey is the key as it was when the signer was made.
func (k *azureKey) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return k.public, nil
}

// SignMessage has the vault sign the hash of a message.
func (k *azureKey) SignMessage(message io.Reader, opts ...signature.SignOption) ([]byte, error) {
	ctx := k.ctx
	for _, o := range opts {
		o.ApplyContext(&ctx)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, message); err != nil {
		return nil, fmt.Errorf("read what is to be signed: %w", err)
	}
	algorithm := azkeys.SignatureAlgorithmES256
	if _, ok := k.public.(*rsa.PublicKey); ok {
		algorithm = azkeys.SignatureAlgorithmRS256
	}
	got, err := k.client.Sign(ctx, k.name, k.version, azkeys.SignParameters{Algorithm: &algorithm, Value: hash.Sum(nil)}, nil)
	if err != nil {
		return nil, k.failed(ctx, err)
	}
	if algorithm == azkeys.SignatureAlgorithmRS256 {
		return got.Result, nil
	}
	// Azure has the two numbers of a signature side by side, and everybody else in ASN.1.
	if len(got.Result) != 64 {
		return nil, fault.New(fault.Unreachable, "", "%s answered with a signature of %d bytes, not 64", k.vault, len(got.Result))
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(got.Result[:32]), new(big.Int).SetBytes(got.Result[32:])})
}

// failed says on one line what the SDK says on many.
func (k *azureKey) failed(ctx context.Context, err error) error {
	var answer *azcore.ResponseError
	var known *fault.Error
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Interrupted, "", ctx.Err())
	case errors.As(err, &known):
		// Whoever looked for an identity has said it for people.
		return fault.New(known.Kind, "", "%s: %w", k, known)
	case !errors.As(err, &answer):
		return fault.New(fault.Unreachable, "", "%s: %s", k, oneLine(err.Error()))
	case answer.StatusCode == http.StatusNotFound:
		return fault.New(fault.Usage, "", "there is no %s", k)
	case answer.StatusCode == http.StatusUnauthorized, answer.StatusCode == http.StatusForbidden:
		return fault.New(fault.Unreachable, "", "%s: the vault answered %d %s", k, answer.StatusCode, answer.ErrorCode).
			WithHint("the identity that runs sluice needs the role Key Vault Crypto User there, or an access policy with Get and Sign")
	default:
		return fault.New(fault.Unreachable, "", "%s: the vault answered %d %s", k, answer.StatusCode, answer.ErrorCode)
	}
}

func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 2*maxQuoted {
		return string(runes[:2*maxQuoted]) + "…"
	}
	return text
}
