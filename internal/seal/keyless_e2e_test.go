//go:build e2e

package seal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/provenance"
	port "github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
	"github.com/sluice-dev/sluice/test/distribution"
)

// TestCosignKeyless lets the real cosign 3 verify what was signed keylessly, by the trusted root of the fake instance and without a network.
func TestCosignKeyless(t *testing.T) {
	if _, err := exec.LookPath("cosign"); err != nil {
		t.Skip("cosign is not in PATH")
	}
	server := distribution.Serve(distribution.Options{Referrers: true})
	t.Cleanup(server.Close)
	reg, k, dir := oci.New(oci.Options{}), newIdentity(t, job), t.TempDir()
	ref, err := reg.Push(t.Context(), port.Artifact{Type: "application/vnd.example", Config: port.Blob{MediaType: "application/vnd.example", Data: []byte("release")}}, server.Host+"/shop/cart", "")
	if err != nil {
		t.Fatal(err)
	}
	rel := &v1alpha1.Release{Service: "cart", Version: "1.0.0", Chart: ref, Source: v1alpha1.Source{Commit: commit}}
	s := &seal.Sealer{Registry: reg, Verifier: sigstore.Verifier{}, Signer: k, Run: provenance.Environment{Builder: provenance.LocalBuilder}, Now: time.Now}
	if err := s.Release(t.Context(), seal.Making{Release: rel}, ref); err != nil {
		t.Fatal(err)
	}
	named := k.Public().Keyless
	if err := os.WriteFile(filepath.Join(dir, "trusted_root.json"), []byte(named.TrustedRoot.JSON), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{named.Identity, "https://github.com/acme/other"} {
		cmd := exec.CommandContext(t.Context(), "cosign", "verify-attestation", "--type", "slsaprovenance1", "--certificate-oidc-issuer", named.Issuer,
			"--certificate-identity", who, "--trusted-root", "trusted_root.json", ref)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir)
		if out, err := cmd.CombinedOutput(); (err == nil) != (who == named.Identity) {
			t.Errorf("cosign says of %s: %v\n%s", who, err, out)
		}
	}
}
