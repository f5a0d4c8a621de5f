//go:build e2e

package seal_test

import (
	"crypto/elliptic"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
	port "github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
)

// TestCosign lets the real cosign 3 read our signatures, and reads those that it makes. It runs where cosign is in PATH: building it
// takes minutes.
func TestCosign(t *testing.T) {
	if _, err := exec.LookPath("cosign"); err != nil {
		t.Skip("cosign is not in PATH")
	}
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	reg, host := oci.New(oci.Options{}), strings.TrimPrefix(server.URL, "http://")
	thing := func(text string) string {
		ref, err := reg.Push(t.Context(), port.Artifact{Type: "application/vnd.example", Config: port.Blob{MediaType: "application/vnd.example", Data: []byte(text)}}, host+"/shop/cart", "")
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	dir := t.TempDir()
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte("word")))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"key": private, "pub": public} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cosign := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), "cosign", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "COSIGN_PASSWORD=word", "HOME="+dir)
		return cmd.Output()
	}
	key, err := sigstore.NewSigner(private, func() (string, error) { return "word", nil })
	if err != nil {
		t.Fatal(err)
	}
	rel := &v1alpha1.Release{Service: "cart", Version: "1.0.0", Chart: thing("chart"), Source: v1alpha1.Source{Commit: commit}}
	s := &seal.Sealer{Registry: reg, Verifier: sigstore.Verifier{}, Signer: key, Run: provenance.Environment{Builder: provenance.LocalBuilder}, Now: time.Now}
	ref := thing("release")
	if err := s.Release(t.Context(), seal.Making{Release: rel}, ref); err != nil {
		t.Fatal(err)
	}
	offline := []string{"--key", "pub", "--insecure-ignore-tlog=true", "--private-infrastructure=true"}
	if out, err := cosign(append(append([]string{"verify"}, offline...), ref)...); err != nil {
		t.Errorf("cosign verify: %v\n%s", err, out)
	}
	if out, err := cosign(append(append([]string{"verify-attestation", "--type", "slsaprovenance1"}, offline...), ref)...); err != nil {
		t.Errorf("cosign verify-attestation: %v\n%s", err, out)
	}
	if out, err := cosign(append(append([]string{"verify"}, offline...), rel.Chart)...); err == nil {
		t.Errorf("cosign takes what nobody signed:\n%s", out)
	}

	config, err := cosign("signing-config", "create")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "no-log.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	theirs := v1alpha1.ReleaseRef{Ref: thing("another release")}
	checker := &seal.Checker{Registry: reg, Verifier: sigstore.Verifier{}}
	if _, err := checker.Verify(t.Context(), rel, theirs, policy(key)); !fault.Is(err, fault.Refused) {
		t.Errorf("before cosign signed: %v", err)
	}
	for _, subject := range []string{theirs.Ref, rel.Chart} {
		if out, err := cosign("sign", "--yes", "--key", "key", "--signing-config", "no-log.json", subject); err != nil {
			t.Fatalf("cosign sign: %v\n%s", err, out)
		}
	}
	if _, err := checker.Verify(t.Context(), rel, theirs, policy(key)); err != nil {
		t.Errorf("signed by cosign: %v", err)
	}
}
