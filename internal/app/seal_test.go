package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/scan/grype"
	"github.com/sluice-dev/sluice/internal/scan/sarif"
	"github.com/sluice-dev/sluice/internal/scan/trivy"
	"github.com/sluice-dev/sluice/internal/sign"
)

func TestSigningKeys(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	plain := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	locked, _, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte("word")))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"plain.pem": plain, "locked.key": locked, "large": make([]byte, maxKey+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"KEY": string(plain), "LOCKED": string(locked), "WORD": "word", "EMPTY": " ", "BAD": "-----BEGIN very secret"}
	for name, c := range map[string]struct {
		signing v1alpha1.Signing
		want    string
		kind    fault.Kind
	}{
		"a variable":             {v1alpha1.Signing{Key: &v1alpha1.SigningKey{Env: "KEY"}}, "", 0},
		"a file":                 {v1alpha1.Signing{Key: &v1alpha1.SigningKey{File: "plain.pem"}}, "", 0},
		"a file elsewhere":       {v1alpha1.Signing{Key: &v1alpha1.SigningKey{File: filepath.Join(dir, "plain.pem")}}, "", 0},
		"a password":             {v1alpha1.Signing{Key: &v1alpha1.SigningKey{File: "locked.key", PasswordEnv: "WORD"}}, "", 0},
		"no variable":            {v1alpha1.Signing{Key: &v1alpha1.SigningKey{Env: "NONE"}}, "the environment variable NONE of signing.key.env is not set, or empty", fault.Usage},
		"an empty variable":      {v1alpha1.Signing{Key: &v1alpha1.SigningKey{Env: "EMPTY"}}, "EMPTY", fault.Usage},
		"nonsense in a variable": {v1alpha1.Signing{Key: &v1alpha1.SigningKey{Env: "BAD"}}, "it is not in PEM", fault.Usage},
		"no file":                {v1alpha1.Signing{Key: &v1alpha1.SigningKey{File: "none"}}, "signing.key.file", fault.Usage},
		"a folder":               {v1alpha1.Signing{Key: &v1alpha1.SigningKey{File: "."}}, "is no key", fault.Usage},
		"a large file":           {v1alpha1.Signing{Key: &v1alpha1.SigningKey{File: "large"}}, "is no key", fault.Usage},
		"no password":            {v1alpha1.Signing{Key: &v1alpha1.SigningKey{Env: "LOCKED", PasswordEnv: "NONE"}}, "the environment variable NONE with its password is not set", fault.Usage},
		"the wrong password":     {v1alpha1.Signing{Key: &v1alpha1.SigningKey{Env: "LOCKED", PasswordEnv: "EMPTY"}}, "it cannot be decrypted", fault.Usage},
		"no identity":            {v1alpha1.Signing{Keyless: &v1alpha1.KeylessSigning{}}, "SIGSTORE_ID_TOKEN is not set", fault.Usage},
		"no named identity":      {v1alpha1.Signing{Keyless: &v1alpha1.KeylessSigning{TokenEnv: "NONE"}}, "the environment variable NONE of signing.keyless.tokenEnv is not set", fault.Usage},
		"no vault":               {v1alpha1.Signing{KMS: "azurekms:///release"}, "is no URI of a key such as azurekms://", fault.Usage},
		"no plugin":              {v1alpha1.Signing{KMS: "nowhere-at-all://key"}, "sigstore-kms-nowhere-at-all", fault.Unreachable},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Options{LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
			s, err := a.signer(t.Context(), c.signing, dir)
			switch {
			case c.want == "" && (err != nil || s == nil):
				t.Errorf("it gave %v", err)
			case c.want != "" && (!fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("it gave %v, want %q", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "word\"")) {
				t.Errorf("it repeats what must not be repeated: %v", err)
			}
		})
	}
}

func TestScannerOfTheRules(t *testing.T) {
	if _, ok := scanner(v1alpha1.Scan{Grype: &v1alpha1.ScanProgram{}}, ".").(*grype.Scanner); !ok {
		t.Error("grype is not grype")
	}
	if _, ok := scanner(v1alpha1.Scan{Trivy: &v1alpha1.ScanProgram{}}, ".").(*trivy.Scanner); !ok {
		t.Error("trivy is not trivy")
	}
	if _, ok := scanner(v1alpha1.Scan{SARIF: &v1alpha1.SARIFScan{File: "x"}}, ".").(*sarif.Scanner); !ok {
		t.Error("a report is not taken as one")
	}
}

// TestNamesThatLie: whoever may push can put a signed release under another name.
func TestNamesThatLie(t *testing.T) {
	rel := &v1alpha1.Release{Service: "cart", Version: "1.0.0"}
	for name, ok := range map[string]bool{
		"cart:1.0.0": true, "cart@sha256:1": true, "localhost:5000/shop/cart:1.0.0": true,
		"cart:1.0.0@sha256:1": true,
		"cart:2.0.0":          false, "cart:2.0.0@sha256:1": false, "payments:1.0.0": false, "payments@sha256:1": false,
	} {
		if err := meant(name, rel); (err == nil) != ok || err != nil && !fault.Is(err, fault.Refused) {
			t.Errorf("%s gave %v", name, err)
		}
	}
}

func TestBuildsOfOneRunShareTheirSigner(t *testing.T) {
	a := New(Options{LookupEnv: func(string) (string, bool) { return "", false }})
	made := 0
	prepare := func() (sign.Signer, error) {
		made++
		return nil, fault.New(fault.Unreachable, "reach the signing key", "it does not answer")
	}
	var builds sync.WaitGroup
	for range 8 {
		builds.Go(func() {
			if _, err := a.signs.signer(prepare); !fault.Is(err, fault.Unreachable) {
				t.Errorf("it gives %v", err)
			}
		})
	}
	builds.Wait()
	if made != 1 {
		t.Errorf("it was made %d times", made)
	}
}
