package sigstore_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign"
	"github.com/sluice-dev/sluice/internal/sign/signtest"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
)

func noPassword() (string, error) { return "", errors.New("nobody should ask") }

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pkcs8(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func signer(t testing.TB, key []byte) *sigstore.Signer {
	t.Helper()
	s, err := sigstore.NewSigner(key, noPassword)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	t.Run("ECDSA", func(t *testing.T) {
		signtest.Run(t, sigstore.Verifier{}, func(t *testing.T) sign.Signer { return signer(t, pkcs8(t, ecKey(t, elliptic.P256()))) })
	})
	t.Run("RSA", func(t *testing.T) {
		signtest.Run(t, sigstore.Verifier{}, func(t *testing.T) sign.Signer {
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			return signer(t, pkcs8(t, key))
		})
	})
	t.Run("encrypted as cosign does", func(t *testing.T) {
		signtest.Run(t, sigstore.Verifier{}, func(t *testing.T) sign.Signer {
			s, err := sigstore.NewSigner(encrypted(t), func() (string, error) { return "secret", nil })
			if err != nil {
				t.Fatal(err)
			}
			return s
		})
	})
	t.Run("OpenSSL's own form", func(t *testing.T) {
		signtest.Run(t, sigstore.Verifier{}, func(t *testing.T) sign.Signer {
			der, err := x509.MarshalECPrivateKey(ecKey(t, elliptic.P256()))
			if err != nil {
				t.Fatal(err)
			}
			return signer(t, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
		})
	})
}

func encrypted(t testing.TB) []byte {
	t.Helper()
	key, _, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte("secret")))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestKeysThatAreRefused(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	//nolint:gosec // a short key is what this is about
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	wrong := func() (string, error) { return "wrong", nil }
	for name, c := range map[string]struct {
		key      []byte
		password func() (string, error)
		want     string
	}{
		"no PEM":            {[]byte("secret material"), noPassword, "it is not in PEM"},
		"a public key":      {[]byte(signer(t, pkcs8(t, ecKey(t, elliptic.P256()))).Public().PEM), noPassword, `the PEM block "PUBLIC KEY" holds no private key`},
		"a damaged key":     {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("secret material")}), noPassword, "holds no private key"},
		"another curve":     {pkcs8(t, ecKey(t, elliptic.P384())), noPassword, "it is an ECDSA key on P-384"},
		"Ed25519":           {pkcs8(t, ed), noPassword, "it is a ed25519.PublicKey"},
		"a short key":       {pkcs8(t, short), noPassword, "an RSA key of 1024 bits"},
		"the wrong word":    {encrypted(t), wrong, "it cannot be decrypted"},
		"no password given": {encrypted(t), func() (string, error) { return "", fault.New(fault.Usage, "", "X is not set") }, "X is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sigstore.NewSigner(c.key, c.password)
			if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("it gave %v, want a usage error with %q", err, c.want)
			}
		})
	}
}

// TestWhatIsTrustedIsNotTheHint: a bundle says which key it wants to be checked with, and is not believed.
func TestWhatIsTrustedIsNotTheHint(t *testing.T) {
	mine, theirs := signer(t, pkcs8(t, ecKey(t, elliptic.P256()))), signer(t, pkcs8(t, ecKey(t, elliptic.P256())))
	print := func(s *sigstore.Signer) string {
		who, err := sigstore.Verifier{}.Identify(s.Public())
		if err != nil || !strings.HasPrefix(who.Name, "SHA256:") {
			t.Fatal(who, err)
		}
		return strings.TrimPrefix(who.Name, "SHA256:")
	}
	bundle, err := theirs.Sign(t.Context(), signtest.Statement(signtest.Digest(1)))
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Replace(bundle, []byte(print(theirs)), []byte(print(mine)), 1)
	if bytes.Equal(forged, bundle) {
		t.Fatal("the bundle does not hold the hint")
	}
	if _, err := (sigstore.Verifier{}).Verify(t.Context(), forged, signtest.Digest(1), []v1alpha1.Signer{mine.Public()}); !fault.Is(err, fault.Refused) {
		t.Errorf("it gave %v", err)
	}
}

func TestKMSWithoutItsPlugin(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := sigstore.NewKMS(t.Context(), "acme://keys/release", sigstore.AzureOptions{}); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "sigstore-kms-acme") {
		t.Errorf("it gave %v", err)
	}
	for _, uri := range []string{"", "release", "://x", "../evil://x"} {
		if _, err := sigstore.NewKMS(t.Context(), uri, sigstore.AzureOptions{}); !fault.Is(err, fault.Usage) {
			t.Errorf("%q gave %v", uri, err)
		}
	}
}

// TestContractOfKMS runs this test's own binary as the plugin: the protocol is the real one, the key lies in a file.
func TestContractOfKMS(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nSLUICE_TEST_PLUGIN=1 exec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(filepath.Join(dir, "sigstore-kms-acme"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	signtest.Run(t, sigstore.Verifier{}, func(t *testing.T) sign.Signer {
		path := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(path, pkcs8(t, ecKey(t, elliptic.P256())), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := sigstore.NewKMS(t.Context(), "acme://"+path, sigstore.AzureOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func FuzzVerify(f *testing.F) {
	s := signer(f, pkcs8(f, ecKey(f, elliptic.P256())))
	bundle, err := s.Sign(f.Context(), signtest.Statement(signtest.Digest(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bundle)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":{"payloadType":"application/vnd.in-toto+json"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := sigstore.Verifier{}.Verify(t.Context(), data, signtest.Digest(1), []v1alpha1.Signer{s.Public()})
		switch {
		case err == nil && !bytes.Contains(got.Statement, []byte("subject")):
			t.Errorf("it took %q", data)
		case err != nil && !fault.Is(err, fault.Refused):
			t.Errorf("it gave %v", err)
		}
	})
}
