// Package signtest holds the contract that every signer and verifier keep; it must not know any adapter.
package signtest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign"
)

// Digest is one that statements can be about.
func Digest(b byte) string { return "sha256:" + strings.Repeat(fmt.Sprintf("%02x", b), 32) }

// Statement is an in-toto statement about a digest.
func Statement(digest string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"x","digest":{"sha256":%q}}],"predicateType":"https://example.dev/p","predicate":{}}`,
		strings.TrimPrefix(digest, "sha256:"))
}

// Run checks the contract. open returns a signer with a key or an identity of its own each time.
func Run(t *testing.T, verifier sign.Verifier, open func(t *testing.T) sign.Signer) {
	t.Helper()
	signer, other := open(t), open(t)
	statement := Statement(Digest(1))
	bundle, err := signer.Sign(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	trusted := []v1alpha1.Signer{other.Public(), signer.Public()}

	t.Run("a signature holds for what it is about", func(t *testing.T) {
		got, err := verifier.Verify(t.Context(), bundle, Digest(1), trusted)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Statement, statement) {
			t.Errorf("it says that %s was signed", got.Statement)
		}
		want, err := verifier.Identify(signer.Public())
		if err != nil || got.By != want || want.Name == "" {
			t.Errorf("it says that %q signed, want %q (%v)", got.By, want, err)
		}
		if claimed, err := verifier.Claims(bundle); err != nil || claimed != want {
			t.Errorf("the bundle says that %q signed, want %q (%v)", claimed, want, err)
		}
	})
	for name, c := range map[string]struct {
		bundle  []byte
		digest  string
		signers []v1alpha1.Signer
	}{
		"of another digest":        {bundle, Digest(2), trusted},
		"by somebody else":         {bundle, Digest(1), []v1alpha1.Signer{other.Public()}},
		"where nobody is trusted":  {bundle, Digest(1), nil},
		"that is empty":            {nil, Digest(1), trusted},
		"that is none":             {[]byte(`{"mediaType":"` + sign.BundleType + `"}`), Digest(1), trusted},
		"that is cut off":          {bundle[:len(bundle)/2], Digest(1), trusted},
		"that is the bare content": {statement, Digest(1), trusted},
		"that is far too large":    {append(bytes.Repeat([]byte(" "), sign.MaxBundle), bundle...), Digest(1), trusted},
	} {
		t.Run("a signature "+name+" is refused", func(t *testing.T) {
			if got, err := verifier.Verify(t.Context(), c.bundle, c.digest, c.signers); !fault.Is(err, fault.Refused) {
				t.Errorf("it gave %v, %v", got, err)
			}
		})
	}
	t.Run("what is none is said so", func(t *testing.T) {
		if got, err := verifier.Claims(statement); !fault.Is(err, fault.Refused) {
			t.Errorf("Claims gave %v, %v", got, err)
		}
		bad := v1alpha1.Signer{PEM: "nonsense"}
		if _, err := verifier.Verify(t.Context(), bundle, Digest(1), []v1alpha1.Signer{bad, signer.Public()}); !fault.Is(err, fault.Usage) {
			t.Errorf("Verify gave %v", err)
		}
		if _, err := verifier.Identify(bad); !fault.Is(err, fault.Usage) {
			t.Errorf("Identify gave %v", err)
		}
	})
}
