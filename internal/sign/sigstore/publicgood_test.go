package sigstore_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	prototrustroot "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign/signtest"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
	"github.com/sluice-dev/sluice/test/fakesigstore"
)

// repository writes a TUF repository with the targets, and returns its files by path and its root.
func repository(t *testing.T, targets map[string]string) (map[string][]byte, []byte) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, private, err := ed25519.GenerateKey(nil)
	must(err)
	key, err := metadata.KeyFromPublicKey(private.Public())
	must(err)
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	must(err)
	tomorrow, files := time.Now().AddDate(0, 0, 1).UTC(), map[string][]byte{}
	anchor, list := metadata.Root(tomorrow), metadata.Targets(tomorrow)
	snapshot, now := metadata.Snapshot(tomorrow), metadata.Timestamp(tomorrow)
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		must(anchor.Signed.AddKey(key, role))
	}
	for name, text := range targets {
		target, err := metadata.TargetFile().FromBytes(name, []byte(text), "sha256")
		must(err)
		list.Signed.Targets[name] = target
		files[fmt.Sprintf("/targets/%x.%s", sha256.Sum256([]byte(text)), name)] = []byte(text)
	}
	for path, sign := range map[string]func() ([]byte, error){
		"/1.root.json":     func() ([]byte, error) { _, err := anchor.Sign(signer); must(err); return anchor.ToBytes(false) },
		"/1.targets.json":  func() ([]byte, error) { _, err := list.Sign(signer); must(err); return list.ToBytes(false) },
		"/1.snapshot.json": func() ([]byte, error) { _, err := snapshot.Sign(signer); must(err); return snapshot.ToBytes(false) },
		"/timestamp.json":  func() ([]byte, error) { _, err := now.Sign(signer); must(err); return now.ToBytes(false) },
	} {
		files[path], err = sign()
		must(err)
	}
	return files, files["/1.root.json"]
}

// signingConfig names the services of an instance, as the public good one does.
func signingConfig(t *testing.T, i *fakesigstore.Instance) string {
	t.Helper()
	service := func(url string) []root.Service {
		return []root.Service{{URL: url, MajorAPIVersion: 1, ValidityPeriodStart: time.Now().Add(-time.Hour), Operator: "fake"}}
	}
	any := root.ServiceConfiguration{Selector: prototrustroot.ServiceSelector_ANY}
	config, err := root.NewSigningConfig(root.SigningConfigMediaType02, service(i.FulcioURL), service(i.IssuerURL), service(i.RekorURL), any, service(i.TimestampURL), any)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestPublicGood signs and verifies without naming a service or a trusted root: the repository names them.
func TestPublicGood(t *testing.T) {
	i := start(t, fakesigstore.Options{})
	files, anchor := repository(t, map[string]string{"trusted_root.json": trusted(t, i, everyWitness()).JSON, "signing_config.v0.2.json": signingConfig(t, i)})
	up := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		switch {
		case !up:
			http.Error(w, "down", http.StatusServiceUnavailable)
		case !ok:
			http.NotFound(w, r)
		default:
			_, _ = w.Write(data)
		}
	}))
	t.Cleanup(server.Close)
	public := func() *sigstore.PublicGood {
		return &sigstore.PublicGood{Mirror: server.URL, Root: anchor, Cache: t.TempDir(), Patience: quick()}
	}
	o := options(t, i)
	o.Signing, o.PublicGood = v1alpha1.KeylessSigning{}, public()
	k := keyless(t, o)
	bundle := signed(t, k)
	if k.Public().Keyless.TrustedRoot != nil {
		t.Error("it carries a trusted root, and that of the public good instance changes")
	}
	cached := public()
	for range 2 {
		got, err := sigstore.Verifier{PublicGood: cached}.Verify(t.Context(), bundle, signtest.Digest(1), []v1alpha1.Signer{k.Public()})
		if err != nil || got.By.Name != "https://github.com/"+workflow {
			t.Fatalf("it gave %v, %v", got.By, err)
		}
		up = false
	}
	// What is kept on disk serves for a day without asking again.
	again := &sigstore.PublicGood{Mirror: server.URL, Root: anchor, Cache: cached.Cache, Patience: quick()}
	if _, err := (sigstore.Verifier{PublicGood: again}).Verify(t.Context(), bundle, signtest.Digest(1), []v1alpha1.Signer{k.Public()}); err != nil {
		t.Errorf("from the cache: %v", err)
	}
	_, err := sigstore.Verifier{PublicGood: public()}.Verify(t.Context(), bundle, signtest.Digest(1), []v1alpha1.Signer{k.Public()})
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "the trusted root of sigstore's public good instance: from "+server.URL) || !strings.Contains(fault.HintOf(err), "trustedRoot: {file: trusted_root.json}") {
		t.Errorf("without a way there: %v (%s)", err, fault.HintOf(err))
	}
	// Who does not even claim to be the right one is refused without asking anybody.
	someone := v1alpha1.Signer{Keyless: &v1alpha1.KeylessSigner{Issuer: i.IssuerURL, Identity: "https://github.com/acme/other"}}
	if _, err := (sigstore.Verifier{PublicGood: public()}).Verify(t.Context(), bundle, signtest.Digest(1), []v1alpha1.Signer{someone}); !fault.Is(err, fault.Refused) {
		t.Errorf("another identity: %v", err)
	}
	o.PublicGood = public()
	if _, err := sigstore.NewKeyless(t.Context(), o); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "the services of sigstore's public good instance") {
		t.Errorf("signing without a way there: %v", err)
	}
	up = true
	o.PublicGood = public()
	o.PublicGood.Root = []byte(strings.Replace(string(anchor), `"sig":"`, `"sig":"00`, 1))
	if _, err := sigstore.NewKeyless(t.Context(), o); !fault.Is(err, fault.Unreachable) {
		t.Errorf("another repository than is trusted: %v", err)
	}
}
