package seal_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity/pipeline"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/sign"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
	"github.com/sluice-dev/sluice/test/fakesigstore"
)

const (
	job      = "acme/shop/.github/workflows/release.yaml@refs/heads/main"
	identity = "https://github.com/" + job
)

// newIdentity signs as a workflow that a fake instance vouches for.
func newIdentity(t *testing.T, workflow string) *sigstore.Keyless {
	t.Helper()
	i, err := fakesigstore.Start(fakesigstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	trusted, err := i.TrustedRoot(fakesigstore.Witnesses{Certificates: true, Rekor: true, Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": i.GitHubURL(workflow), "ACTIONS_ID_TOKEN_REQUEST_TOKEN": fakesigstore.JobToken}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	k, err := sigstore.NewKeyless(t.Context(), sigstore.KeylessOptions{
		Signing: v1alpha1.KeylessSigning{Fulcio: i.FulcioURL, Rekor: i.RekorURL, TimestampAuthority: i.TimestampURL, TrustedRoot: &v1alpha1.TrustedRoot{JSON: trusted}},
		Tokens:  sigstore.Tokens{LookupEnv: lookup, Audience: "sigstore", Pipeline: pipeline.New(pipeline.Options{LookupEnv: lookup}), Now: time.Now}, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeylessSealAndPolicies(t *testing.T) {
	w := newWorld(t)
	k := newIdentity(t, job)
	w.signer = k
	report := w.seal(w.release, w.ref)
	issuer := k.Public().Keyless.Issuer
	if report.Signer != identity || report.Issuer != issuer || report.By() != identity+" (issuer "+issuer+")" {
		t.Errorf("signed by %q", report.By())
	}
	before := w.beside()
	w.seal(w.release, w.ref)
	if after := w.beside(); after != before {
		t.Errorf("sealing again made %d of %d attachments", after, before)
	}
	delete(w.layouts, "web")
	if ok, err := w.sealer().Vouches(t.Context(), w.release.Images["web"], "cart", "web"); !ok || err != nil {
		t.Errorf("its own image: %t, %v", ok, err)
	}
	good := policy(k)
	good.Verification.Provenance = &v1alpha1.ProvenancePolicy{}
	proofs, err := w.verify(good)
	if err != nil || len(proofs) != 3 || proofs[0].Signer != identity || proofs[0].Issuer != issuer {
		t.Fatalf("%+v, %v", proofs, err)
	}
	checker := &seal.Checker{Registry: w.registry, Verifier: sigstore.Verifier{}}
	w.attach(w.ref.Ref, []byte("nonsense"))
	if said, err := checker.Claims(t.Context(), w.ref.Ref); err != nil || len(said) != 1 || said[0] != report.By() {
		t.Errorf("the signatures say %q, %v", said, err)
	}
	// Both policies must hold, whichever is the wrong one.
	named := *k.Public().Keyless
	named.Identity = "https://github.com/acme/other"
	wrong := seal.Policy{From: "the release", Verification: v1alpha1.Verification{Signers: []v1alpha1.Signer{{Keyless: &named}}}}
	for _, policies := range [][]seal.Policy{{good, wrong}, {wrong, good}, {wrong}} {
		_, err := w.verify(policies...)
		for _, want := range []string{"it presents a certificate of " + identity, "and one of https://github.com/acme/other (issuer", "(required by the release)"} {
			if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), want) {
				t.Errorf("it gave %v, want %q", err, want)
			}
		}
	}
}

// forgetful is a verifier that cannot find out about one signer.
type forgetful struct {
	sigstore.Verifier
	of string
}

func (f forgetful) Verify(ctx context.Context, data []byte, digest string, signers []v1alpha1.Signer) (sign.Verified, error) {
	if who, err := f.Claims(data); err == nil && who.Name == f.of {
		return sign.Verified{}, fault.New(fault.Unreachable, "", "no way to the trusted root")
	}
	return f.Verifier.Verify(ctx, data, digest, signers)
}

// TestNotKnownBesideGood: what nobody can judge does not stop a release that somebody trusted signed, and is no refusal where nobody did.
func TestNotKnownBesideGood(t *testing.T) {
	w := newWorld(t)
	key := newKey(t)
	w.signer = newIdentity(t, job)
	w.seal(w.release, w.ref)
	checker := &seal.Checker{Registry: w.registry, Verifier: forgetful{of: identity}}
	if _, err := checker.Verify(t.Context(), w.release, w.ref, policy(key)); !fault.Is(err, fault.Unreachable) {
		t.Errorf("not known: %v", err)
	}
	w.signer = key
	w.layouts["web"] = ""
	w.seal(w.release, w.ref)
	if _, err := checker.Verify(t.Context(), w.release, w.ref, policy(key)); err != nil {
		t.Errorf("beside a good one: %v", err)
	}
	demanding := policy(key)
	demanding.Verification.Provenance = &v1alpha1.ProvenancePolicy{Builders: []string{"https://ci.example/other"}}
	if _, err := checker.Verify(t.Context(), w.release, w.ref, demanding); !fault.Is(err, fault.Unreachable) {
		t.Errorf("its provenance may be the one that is not known: %v", err)
	}
}
