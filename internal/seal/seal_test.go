package seal_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/provenance"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/sign"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
)

// kinds of what was attached, by subject's repository.
func kinds(r seal.Report) map[string]string {
	found := map[string]string{}
	for _, a := range r.Attachments {
		repository, _, _ := strings.Cut(a.Subject, "@")
		found[repository] += a.Kind + " "
	}
	return found
}

func TestEverythingIsSealed(t *testing.T) {
	w := newWorld(t)
	w.signer = newKey(t)
	report := w.seal(w.release, w.ref)
	want := map[string]string{
		prefix + "/cart/web":         "provenance sbom signature ",
		prefix + "/cart/charts/cart": "provenance signature ",
		prefix + "/cart":             "provenance signature ",
	}
	if diff := cmp.Diff(want, kinds(report)); diff != "" {
		t.Errorf("attached (-want +got)\n%s", diff)
	}
	if !strings.HasPrefix(report.Signer, "SHA256:") {
		t.Errorf("signed by %q", report.Signer)
	}
	proofs, err := w.verify(policy(w.signer))
	if err != nil {
		t.Fatal(err)
	}
	if len(proofs) != 3 || proofs[0].Signer != report.Signer {
		t.Errorf("proofs %+v", proofs)
	}
}

func TestSealingAgainAddsNothing(t *testing.T) {
	for name, signer := range map[string]sign.Signer{"signed": newKey(t), "unsigned": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.signer = signer
			w.seal(w.release, w.ref)
			before := w.beside()
			w.now, w.run.Invocation = w.now.Add(time.Hour), "https://ci.example/shop/2"
			report := w.seal(w.release, w.ref)
			if after := w.beside(); after != before {
				t.Errorf("%d attachments became %d", before, after)
			}
			for _, a := range report.Attachments {
				if !a.Kept {
					t.Errorf("%+v is not said to be kept", a)
				}
			}
			w.run.Builder = "https://ci.example/other"
			w.seal(w.release, w.ref)
			if w.beside() == before {
				t.Error("another builder's provenance was not attached")
			}
		})
	}
}

// TestFoundImageKeepsItsProvenance: an image that was not built again was built at the earlier commit, whatever the release's is.
func TestFoundImageKeepsItsProvenance(t *testing.T) {
	w := newWorld(t)
	w.signer = newKey(t)
	w.seal(w.release, w.ref)
	before := len(w.bundles(w.release.Images["web"]))
	delete(w.layouts, "web")
	w.release.Source.Commit, w.release.Version = strings.Repeat("f", 40), "1.0.1"
	w.seal(w.release, w.ref)
	if after := len(w.bundles(w.release.Images["web"])); after != before {
		t.Errorf("%d statements became %d", before, after)
	}
}

// TestNothingForeignIsSigned: whoever may push could otherwise leave an image where builds look for one, and have it signed.
func TestNothingForeignIsSigned(t *testing.T) {
	w := newWorld(t)
	w.signer = newKey(t)
	delete(w.layouts, "web")
	ref, before := w.release.Images["web"], w.beside()
	if ok, err := w.sealer().Vouches(t.Context(), ref, "cart", "web"); ok || err != nil {
		t.Errorf("unsigned: %t, %v", ok, err)
	}
	err := w.sealer().Images(t.Context(), seal.Making{Release: w.release, Layouts: w.layouts})
	if !fault.Is(err, fault.Refused) || !strings.Contains(fault.HintOf(err), "--rebuild") || w.beside() != before {
		t.Errorf("it gave %v", err)
	}
	mine := w.signer
	w.signer, w.layouts["web"] = newKey(t), ""
	w.seal(w.release, w.ref)
	for _, c := range []struct {
		signer         sign.Signer
		service, image string
		want           bool
	}{{w.signer, "cart", "web", true}, {w.signer, "cart", "other", false}, {w.signer, "payments", "web", false}, {mine, "cart", "web", false}, {nil, "payments", "x", true}} {
		w.signer = c.signer
		if ok, err := w.sealer().Vouches(t.Context(), ref, c.service, c.image); ok != c.want || err != nil {
			t.Errorf("%s %s: %t, %v", c.service, c.image, ok, err)
		}
	}
}

func TestProvenance(t *testing.T) {
	w := newWorld(t)
	w.release.Spec.Images["web"] = v1alpha1.Image{Ko: "./web", Base: "base.test/debian@sha256:" + strings.Repeat("b", 64)}
	w.release.Source.Dirty = true
	w.seal(w.release, w.ref)
	list, err := w.registry.Referrers(t.Context(), w.release.Images["web"], provenance.MediaType)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	artifact, _, err := w.registry.Pull(t.Context(), list[0].Ref)
	if err != nil {
		t.Fatal(err)
	}
	st, err := provenance.Parse(artifact.Layers[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if !st.About(digestOf(w.release.Images["web"])) || st.About(w.ref.Digest) {
		t.Errorf("it is about %v", st.Subject)
	}
	got, err := st.Provenance()
	if err != nil {
		t.Fatal(err)
	}
	want := provenance.Predicate{
		Definition: provenance.Definition{
			BuildType:  "https://sluice.dev/build/v1",
			Parameters: provenance.Parameters{Service: "cart", Version: "1.0.0", Image: "web", Spec: json.RawMessage(`{"ko":"./web","base":"` + w.release.Spec.Images["web"].Base + `"}`)},
			Dependencies: []provenance.Descriptor{
				{Name: "source", URI: "git+" + origin, Digest: map[string]string{"gitCommit": commit}, Annotations: map[string]string{"dirty": "true"}},
				{Name: "base image", URI: "oci://" + w.release.Spec.Images["web"].Base, Digest: map[string]string{"sha256": strings.Repeat("b", 64)}},
			},
		},
		Run: provenance.Run{
			Builder:  provenance.Builder{ID: "https://ci.example/shop", Version: map[string]string{"sluice": "v1"}},
			Metadata: provenance.Metadata{InvocationID: "https://ci.example/shop/1", FinishedOn: w.now},
		},
	}
	sbom := got.Run.Byproducts
	got.Run.Byproducts = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(sbom) != 1 || sbom[0].Name != "sbom linux/amd64" || len(sbom[0].Digest["sha256"]) != 64 {
		t.Errorf("byproducts %+v", sbom)
	}
}

// TestWhatDoesNotHold changes one thing at a time, and everything else stays good.
func TestWhatDoesNotHold(t *testing.T) {
	mine, theirs := newKey(t), newKey(t)
	for name, c := range map[string]struct {
		change func(w *world, p *seal.Policy)
		want   string
	}{
		"nothing signed":       {func(w *world, _ *seal.Policy) { w.registry = fresh(w, nil) }, "release memory.test:5000/shop/cart@" /* … */},
		"signed by others":     {func(w *world, _ *seal.Policy) { w.registry = fresh(w, theirs) }, "none of its 2 signatures is by a trusted signer"},
		"the wrong key named":  {func(_ *world, p *seal.Policy) { *p = policy(theirs) }, "none of its 2 signatures is by a trusted signer"},
		"another image":        {func(w *world, _ *seal.Policy) { w.release.Images["web"] = w.make("cart", "6.6.6", "web").Images["web"] }, "image web memory.test:5000/shop/cart/web@"},
		"another chart":        {func(w *world, _ *seal.Policy) { w.release.Chart = w.put(prefix+"/cart/charts/cart", "", "evil") }, "chart memory.test:5000/shop/cart/charts/cart@"},
		"another release":      {func(w *world, _ *seal.Policy) { w.ref = w.push(w.make("cart", "6.6.6")) }, "nobody signed it"},
		"a replayed signature": {replay, "none of its 2 signatures is by a trusted signer"},
		"nonsense":             {func(w *world, _ *seal.Policy) { w.registry = fresh(w, nil); w.attach(w.ref.Ref, []byte("nonsense")) }, "none of its 1 signatures is by a trusted signer"},
		"only a statement": {func(w *world, _ *seal.Policy) {
			w.registry = fresh(w, nil)
			st, err := provenance.New(w.ref.Ref, "https://example.dev/tested", struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			bundle, err := mine.Sign(t.Context(), st)
			if err != nil {
				t.Fatal(err)
			}
			w.attach(w.ref.Ref, bundle)
		}, "its statements are signed, but not the thing itself"},
		"another commit": {func(w *world, p *seal.Policy) {
			p.Verification.Provenance = &v1alpha1.ProvenancePolicy{}
			w.release.Source.Commit = strings.Repeat("f", 40)
		}, "it was built from commit " + commit + ", and the release says ffff"},
		"another builder": {func(_ *world, p *seal.Policy) {
			p.Verification.Provenance = &v1alpha1.ProvenancePolicy{Builders: []string{"https://ci.example/release"}}
		}, "it was built by https://ci.example/shop, not by https://ci.example/release"},
		"another source": {func(_ *world, p *seal.Policy) {
			p.Verification.Provenance = &v1alpha1.ProvenancePolicy{Sources: []string{"https://github.com/acme/other"}}
		}, "it was built from https://github.com/acme/shop, not from https://github.com/acme/other"},
		"another service": {func(w *world, p *seal.Policy) {
			p.Verification.Provenance = &v1alpha1.ProvenancePolicy{}
			w.release.Service = "payments"
		}, `it was built for service "cart"`},
		"no provenance": {func(w *world, p *seal.Policy) {
			p.Verification.Provenance = &v1alpha1.ProvenancePolicy{}
			bare(w, mine)
		}, "no provenance is signed by a trusted signer"},
		"uncommitted changes": {func(w *world, p *seal.Policy) {
			p.Verification.Provenance = &v1alpha1.ProvenancePolicy{}
			w.registry, w.release.Source.Dirty = fresh(w, nil), true
			w.signer = mine
			w.seal(w.release, w.ref)
		}, "it was built from changes that were not committed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.signer = mine
			w.seal(w.release, w.ref)
			p := policy(mine)
			if _, err := w.verify(p); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			c.change(w, &p)
			_, err := w.verify(p)
			if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it gave %v, want a refusal with %q", err, c.want)
			}
			if hint := fault.HintOf(err); !strings.Contains(hint, "cosign sign") {
				t.Errorf("it does not say how to sign: %q", hint)
			}
		})
	}
}

// fresh is a registry with the same content, sealed by somebody else or by nobody.
func fresh(w *world, signer sign.Signer) *registrytest.Memory {
	old := *w
	other := newWorld(w.t)
	if signer != nil {
		other.signer = signer
		other.seal(other.release, other.ref)
	}
	*w = old
	return other.registry
}

// replay puts the signatures of an earlier release beside another one.
func replay(w *world, _ *seal.Policy) {
	bundles := w.bundles(w.ref.Ref)
	w.release = w.make("payments", "2.0.0")
	w.ref = w.push(w.release)
	for _, b := range bundles {
		w.attach(w.ref.Ref, b)
	}
}

// bare signs everything and says nothing of how it was built.
func bare(w *world, signer sign.Signer) {
	w.registry = fresh(w, nil)
	for _, subject := range []string{w.ref.Ref, w.release.Chart, w.release.Images["web"]} {
		st, err := provenance.New(subject, provenance.SignatureType, struct{}{})
		if err != nil {
			w.t.Fatal(err)
		}
		bundle, err := signer.Sign(w.t.Context(), st)
		if err != nil {
			w.t.Fatal(err)
		}
		w.attach(subject, bundle)
	}
}

// TestNonsenseBesideDoesNotHarm: whoever may push cannot take a good signature away.
func TestNonsenseBesideDoesNotHarm(t *testing.T) {
	w := newWorld(t)
	w.signer = newKey(t)
	w.seal(w.release, w.ref)
	w.attach(w.ref.Ref, []byte("nonsense"))
	if _, err := w.registry.Attach(t.Context(), registry.Artifact{Type: sign.BundleType}, w.ref.Ref); err != nil {
		t.Fatal(err)
	}
	if _, err := w.verify(policy(w.signer)); err != nil {
		t.Error(err)
	}
}

// TestTheStricterWins: both policies must hold, in whatever order.
func TestTheStricterWins(t *testing.T) {
	w := newWorld(t)
	w.signer = newKey(t)
	w.seal(w.release, w.ref)
	good, bad := policy(w.signer), policy(newKey(t))
	bad.From = "the release"
	for _, policies := range [][]seal.Policy{{good, bad}, {bad, good}} {
		if _, err := w.verify(policies...); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), "(required by the release)") {
			t.Errorf("it gave %v", err)
		}
	}
}

func TestPolicies(t *testing.T) {
	v := func(pem string) *v1alpha1.Verification {
		return &v1alpha1.Verification{Signers: []v1alpha1.Signer{{PEM: pem}}}
	}
	env := func(v *v1alpha1.Verification) map[string]v1alpha1.Environment {
		return map[string]v1alpha1.Environment{"prod": {Verify: v}}
	}
	for name, c := range map[string]struct {
		project *v1alpha1.Project
		release map[string]v1alpha1.Environment
		want    string
	}{
		"nobody requires anything":   {&v1alpha1.Project{Environments: env(nil)}, env(nil), ""},
		"no file":                    {nil, env(v("r")), "the release:r"},
		"the release deleted it":     {&v1alpha1.Project{Environments: env(v("f"))}, env(nil), "sluice.yaml:f"},
		"the file deleted it":        {&v1alpha1.Project{Environments: env(nil)}, env(v("r")), "the release:r"},
		"the same":                   {&v1alpha1.Project{Environments: env(v("x"))}, env(v("x")), "sluice.yaml and the release:x"},
		"both":                       {&v1alpha1.Project{Environments: env(v("f"))}, env(v("r")), "sluice.yaml:f the release:r"},
		"the file has another place": {&v1alpha1.Project{Verify: v("p"), Environments: map[string]v1alpha1.Environment{}}, env(nil), "sluice.yaml:p"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range seal.Policies(c.project, &v1alpha1.Release{Environments: c.release}, "prod") {
				got = append(got, p.From+":"+p.Verification.Signers[0].PEM)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWithoutPolicyNobodyIsAsked(t *testing.T) {
	w := newWorld(t)
	w.registry.Fail = func(method, _ string) error { return fault.New(fault.Unreachable, method, "nobody should ask") }
	if proofs, err := w.verify(); err != nil || proofs != nil {
		t.Errorf("%v, %v", proofs, err)
	}
}

// TestNotKnownIsNotRefused: a registry that does not answer says nothing about signatures.
func TestNotKnownIsNotRefused(t *testing.T) {
	w := newWorld(t)
	w.registry.Fail = func(method, _ string) error {
		if method == "Referrers" {
			return fault.New(fault.Unreachable, method, "no answer")
		}
		return nil
	}
	if _, err := w.verify(policy(newKey(t))); !fault.Is(err, fault.Unreachable) {
		t.Errorf("it gave %v", err)
	}
}

func TestProofs(t *testing.T) {
	w := newWorld(t)
	w.signer = newKey(t)
	w.seal(w.release, w.ref)
	p := policy(newKey(t), w.signer)
	p.Verification.Provenance = &v1alpha1.ProvenancePolicy{Builders: []string{"https://ci.example/shop"}, Sources: []string{"git@github.com:acme/shop.git"}}
	proofs, err := w.verify(p)
	if err != nil {
		t.Fatal(err)
	}
	who, err := sigstore.Verifier{}.Identify(w.signer.Public())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, proof := range proofs {
		proof.Subject = ""
		got[proof.Name] = proof == seal.Proof{Name: proof.Name, Signer: who.Name, Builder: "https://ci.example/shop", Source: origin, Commit: commit}
	}
	if want := map[string]bool{"release": true, "chart": true, "image web": true}; !maps.Equal(got, want) {
		t.Errorf("%+v", proofs)
	}
}
