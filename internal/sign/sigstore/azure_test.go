package sigstore_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys/fake"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign"
	"github.com/sluice-dev/sluice/internal/sign/signtest"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
)

const vaultKey = "azurekms://shop.vault.azure.net/release"

// vault is the fake server of Azure's SDK, with a key that really signs as the vault does.
func vault(t testing.TB, key crypto.Signer) *fake.Server {
	t.Helper()
	jwk := &azkeys.JSONWebKey{KID: to.Ptr(azkeys.ID("https://shop.vault.azure.net/keys/release/v7"))}
	switch public := key.Public().(type) {
	case *ecdsa.PublicKey:
		jwk.Kty, jwk.Crv = to.Ptr(azkeys.KeyTypeECHSM), to.Ptr(azkeys.CurveName(public.Curve.Params().Name))
		point, err := public.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		// A byte that says that both coordinates follow, and they.
		jwk.X, jwk.Y = point[1:1+len(point)/2], point[1+len(point)/2:]
	case *rsa.PublicKey:
		jwk.Kty, jwk.N, jwk.E = to.Ptr(azkeys.KeyTypeRSA), public.N.Bytes(), big.NewInt(int64(public.E)).Bytes()
	default:
		jwk.Kty = to.Ptr(azkeys.KeyType("oct"))
	}
	return &fake.Server{
		GetKey: func(_ context.Context, name, version string, _ *azkeys.GetKeyOptions) (r azfake.Responder[azkeys.GetKeyResponse], e azfake.ErrorResponder) {
			if path := there(name, version); path != "release" && path != "release/v7" {
				e.SetResponseError(http.StatusNotFound, "KeyNotFound")
				return r, e
			}
			r.SetResponse(http.StatusOK, azkeys.GetKeyResponse{KeyBundle: azkeys.KeyBundle{Key: jwk}}, nil)
			return r, e
		},
		Sign: func(_ context.Context, name, version string, p azkeys.SignParameters, _ *azkeys.SignOptions) (r azfake.Responder[azkeys.SignResponse], e azfake.ErrorResponder) {
			if there(name, version) != "release/v7" {
				e.SetResponseError(http.StatusNotFound, "KeyNotFound")
				return r, e
			}
			sig, err := key.Sign(rand.Reader, p.Value, crypto.SHA256)
			if err == nil && *p.Algorithm == azkeys.SignatureAlgorithmES256 {
				var two struct{ R, S *big.Int }
				if _, err = asn1.Unmarshal(sig, &two); err == nil {
					sig = append(two.R.FillBytes(make([]byte, 32)), two.S.FillBytes(make([]byte, 32))...)
				}
			}
			if err != nil {
				e.SetError(err)
				return r, e
			}
			r.SetResponse(http.StatusOK, azkeys.SignResponse{KeyOperationResult: azkeys.KeyOperationResult{Result: sig}}, nil)
			return r, e
		},
	}
}

// there is the path of a key: the SDK's fake takes a slash and what follows for a part of the name.
func there(name, version string) string { return strings.Trim(name+"/"+version, "/") }

func azure(server *fake.Server) sigstore.AzureOptions {
	o := sigstore.AzureOptions{Credential: &azfake.TokenCredential{}}
	o.Client.Transport = fake.NewServerTransport(server)
	o.Client.Retry = policy.RetryOptions{MaxRetries: -1}
	return o
}

func TestContractOfAzure(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) crypto.Signer{
		"EC": func(t *testing.T) crypto.Signer { return ecKey(t, elliptic.P256()) },
		"RSA": func(t *testing.T) crypto.Signer {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			return key
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, uri := range []string{vaultKey, vaultKey + "/v7"} {
				signtest.Run(t, sigstore.Verifier{}, func(t *testing.T) sign.Signer {
					s, err := sigstore.NewAzureKey(t.Context(), uri, azure(vault(t, make(t))))
					if err != nil {
						t.Fatal(err)
					}
					return s
				})
			}
		})
	}
}

func TestAzureKeysThatAreRefused(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := ecKey(t, elliptic.P256())
	saying := func(status int, code string) *fake.Server {
		s := vault(t, good)
		s.GetKey = func(context.Context, string, string, *azkeys.GetKeyOptions) (r azfake.Responder[azkeys.GetKeyResponse], e azfake.ErrorResponder) {
			e.SetResponseError(status, code)
			return r, e
		}
		return s
	}
	for name, c := range map[string]struct {
		uri        string
		server     *fake.Server
		want, hint string
		kind       fault.Kind
	}{
		"no key":               {"azurekms://shop.vault.azure.net/other", vault(t, good), "there is no key other in shop.vault.azure.net", "", fault.Usage},
		"no such version":      {vaultKey + "/v8", vault(t, good), "there is no key release in shop.vault.azure.net, version v8", "", fault.Usage},
		"another curve":        {vaultKey, vault(t, ecKey(t, elliptic.P384())), "is an EC key on another curve than P-256", "--curve P-256", fault.Usage},
		"another kind":         {vaultKey, vault(t, ed), "is of type oct, and EC or RSA is needed", "", fault.Usage},
		"no right to it":       {vaultKey, saying(403, "Forbidden"), "the vault answered 403 Forbidden", "Key Vault Crypto User", fault.Unreachable},
		"a vault that is down": {vaultKey, saying(503, "ServiceUnavailable"), "the vault answered 503", "", fault.Unreachable},
		"no vault":             {"azurekms:///release", vault(t, good), "is no URI of a key such as azurekms://", "", fault.Usage},
		"too much":             {vaultKey + "/v7/x", vault(t, good), "is no URI of a key such as azurekms://", "", fault.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sigstore.NewAzureKey(t.Context(), c.uri, azure(c.server))
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) || strings.Contains(err.Error(), "\n") {
				t.Errorf("it gave %v (%s)", err, fault.HintOf(err))
			}
		})
	}
}

func TestAzureFailsInTheMiddle(t *testing.T) {
	server := vault(t, ecKey(t, elliptic.P256()))
	s, err := sigstore.NewAzureKey(t.Context(), vaultKey, azure(server))
	if err != nil {
		t.Fatal(err)
	}
	server.Sign = func(context.Context, string, string, azkeys.SignParameters, *azkeys.SignOptions) (r azfake.Responder[azkeys.SignResponse], e azfake.ErrorResponder) {
		e.SetError(errors.New("the network is gone"))
		return r, e
	}
	if _, err := s.Sign(t.Context(), signtest.Statement(signtest.Digest(1))); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "the network is gone") {
		t.Errorf("it gave %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Sign(ctx, signtest.Statement(signtest.Digest(1))); !fault.Is(err, fault.Interrupted) {
		t.Errorf("interrupted: %v", err)
	}
}

// TestNobodyInAzure: whoever looked for an identity says what to do.
func TestNobodyInAzure(t *testing.T) {
	credential := &azfake.TokenCredential{}
	credential.SetError(fault.New(fault.Unreachable, "sign in to Azure", "no way led to a token").WithHint("trust the branch"))
	o := azure(vault(t, ecKey(t, elliptic.P256())))
	o.Credential = credential
	_, err := sigstore.NewAzureKey(t.Context(), vaultKey, o)
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "key release in shop.vault.azure.net: sign in to Azure: no way led to a token") || fault.HintOf(err) != "trust the branch" {
		t.Errorf("it gave %v (%s)", err, fault.HintOf(err))
	}
}
