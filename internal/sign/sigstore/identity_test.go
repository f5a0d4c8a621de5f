package sigstore_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"crypto/elliptic"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sign/signtest"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
	"github.com/sluice-dev/sluice/test/fakesigstore"
)

// without takes members out of a bundle.
func without(t *testing.T, bundle []byte, path ...string) []byte {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(bundle, &all); err != nil {
		t.Fatal(err)
	}
	at := all
	for _, key := range path[:len(path)-1] {
		at = at[key].(map[string]any)
	}
	if _, ok := at[path[len(path)-1]]; !ok {
		t.Fatalf("the bundle has no %v", path)
	}
	delete(at, path[len(path)-1])
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestIdentitiesThatAreTaken: the exact one, and expressions that fit it from end to end.
func TestIdentitiesThatAreTaken(t *testing.T) {
	i := start(t, fakesigstore.Options{})
	bundle := signed(t, keyless(t, options(t, i)))
	for expression, ok := range map[string]bool{
		`https://github\.com/acme/shop/\.github/workflows/.+@refs/heads/main`:      true,
		`^https://github\.com/acme/.+$`:                                            true,
		`https://github\.com/acme/.+@refs/heads/(main|release)`:                    true,
		`x|https://github\.com/acme/.+|y`:                                          true,
		`https://github\.com/acme/shop`:                                            false,
		`/acme/shop/`:                                                              false,
		`github\.com/acme/.+`:                                                      false,
		`https://github\.com/acme/shop/\.github/workflows/release\.yaml@refs/.+/x`: false,
	} {
		s := v1alpha1.Signer{Keyless: &v1alpha1.KeylessSigner{Issuer: i.IssuerURL, IdentityRegExp: expression, TrustedRoot: trusted(t, i, everyWitness())}}
		got, err := sigstore.Verifier{}.Verify(t.Context(), bundle, signtest.Digest(1), []v1alpha1.Signer{s})
		if (err == nil) != ok || err != nil && !fault.Is(err, fault.Refused) {
			t.Errorf("%s gave %v", expression, err)
		}
		if ok && got.By.Name != "https://github.com/"+workflow {
			t.Errorf("%s says that %v signed", expression, got.By)
		}
	}
}

// TestKeylessThatDoesNotHold: what was presented stands in the message against what is demanded.
func TestKeylessThatDoesNotHold(t *testing.T) {
	i, other := start(t, fakesigstore.Options{}), start(t, fakesigstore.Options{})
	bare := start(t, fakesigstore.Options{WithoutSCT: true})
	var late atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(late.Load())) }
	short := start(t, fakesigstore.Options{Lifetime: time.Minute, Now: clock})
	good := signed(t, keyless(t, options(t, i)))
	of := func(i *fakesigstore.Instance, w fakesigstore.Witnesses) []byte {
		o := options(t, i)
		o.Signing.TrustedRoot = trusted(t, i, w)
		return signed(t, keyless(t, o))
	}
	key := signer(t, pkcs8(t, ecKey(t, elliptic.P256())))
	who := "https://github.com/" + workflow
	demand := func(change func(k *v1alpha1.KeylessSigner)) []v1alpha1.Signer {
		k := &v1alpha1.KeylessSigner{Issuer: i.IssuerURL, Identity: who, TrustedRoot: trusted(t, i, everyWitness())}
		change(k)
		return []v1alpha1.Signer{{Keyless: k}}
	}
	asIs := demand(func(*v1alpha1.KeylessSigner) {})
	if _, err := (sigstore.Verifier{}).Verify(t.Context(), good, signtest.Digest(1), asIs); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bundle  []byte
		signers []v1alpha1.Signer
		want    []string
	}{
		"the wrong issuer": {good, demand(func(k *v1alpha1.KeylessSigner) { k.Issuer = "https://ci.acme.example" }),
			[]string{"it presents a certificate of " + who + " (issuer " + i.IssuerURL + ")", "and one of " + who + " (issuer https://ci.acme.example) is demanded"}},
		"the wrong identity": {good, demand(func(k *v1alpha1.KeylessSigner) { k.Identity = "https://github.com/acme/other" }),
			[]string{"it presents a certificate of " + who, "and one of https://github.com/acme/other (issuer"}},
		"the wrong expression": {good, demand(func(k *v1alpha1.KeylessSigner) { k.Identity, k.IdentityRegExp = "", "https://acme/.+" }),
			[]string{"and one of /https://acme/.+/ (issuer"}},
		"another authority": {good, demand(func(k *v1alpha1.KeylessSigner) { k.TrustedRoot = trusted(t, other, everyWitness()) }),
			[]string{"it presents a certificate that was issued by CN=sigstore-intermediate", "the trusted root in the policy takes those of " + other.FulcioURL}},
		"a key, and an identity is demanded": {signed(t, key), asIs, []string{"it presents a key without a certificate, and a certificate of " + who}},
		"an identity, and a key is demanded": {good, []v1alpha1.Signer{key.Public()}, []string{"it presents a certificate of " + who, "and the key SHA256:"}},
		"no entry of the log":                {without(t, good, "verificationMaterial", "tlogEntries"), asIs, []string{"it presents no entry of a transparency log, and the trusted root in the policy demands it"}},
		"no timestamp": {without(t, good, "verificationMaterial", "timestampVerificationData"),
			demand(func(k *v1alpha1.KeylessSigner) {
				k.TrustedRoot = trusted(t, i, fakesigstore.Witnesses{Timestamps: true})
			}), []string{"it does not hold by the trusted root in the policy"}},
		"no witness at all": {without(t, without(t, good, "verificationMaterial", "timestampVerificationData"), "verificationMaterial", "tlogEntries"),
			demand(func(k *v1alpha1.KeylessSigner) {
				k.TrustedRoot = trusted(t, i, fakesigstore.Witnesses{Timestamps: true})
			}), []string{"it presents no signed timestamp"}},
		"no certificate transparency": {of(bare, fakesigstore.Witnesses{Rekor: true}), demand(func(k *v1alpha1.KeylessSigner) {
			k.Issuer, k.TrustedRoot = bare.IssuerURL, trusted(t, bare, everyWitness())
		}), []string{"it presents a certificate without a timestamp (SCT)"}},
		"another log": {good, demand(func(k *v1alpha1.KeylessSigner) { k.TrustedRoot = mixed(t, i, other) }), []string{"it does not hold by the trusted root in the policy"}},
		"both wrong":  {good, append(demand(func(k *v1alpha1.KeylessSigner) { k.Identity = "a" }), key.Public()), []string{"and one of a (issuer", "and the key SHA256:"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sigstore.Verifier{}.Verify(t.Context(), c.bundle, signtest.Digest(1), c.signers)
			for _, want := range c.want {
				if !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), want) {
					t.Errorf("it gave %v, want a refusal with %q", err, want)
				}
			}
		})
	}
	// A certificate that is over is good for what was signed while it was valid, and for nothing else.
	o := options(t, short)
	// The clock of who signs stands still: it takes the certificate for a new one.
	issued := clock()
	o.Now = func() time.Time { return issued.Add(-time.Hour) }
	k := keyless(t, o)
	early := signed(t, k)
	late.Store(int64(3 * time.Minute))
	if _, err := (sigstore.Verifier{}).Verify(t.Context(), early, signtest.Digest(1), []v1alpha1.Signer{k.Public()}); err != nil {
		t.Errorf("signed in time: %v", err)
	}
	if _, err := k.Sign(t.Context(), signtest.Statement(signtest.Digest(1))); !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "integrated time outside certificate validity (the certificate was valid from") {
		t.Errorf("signed too late: %v", err)
	}
}

// mixed is the trusted root of one instance with the transparency log of another.
func mixed(t *testing.T, i, other *fakesigstore.Instance) *v1alpha1.TrustedRoot {
	t.Helper()
	var mine, theirs map[string]any
	for text, into := range map[string]*map[string]any{trusted(t, i, everyWitness()).JSON: &mine, trusted(t, other, everyWitness()).JSON: &theirs} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	mine["tlogs"] = theirs["tlogs"]
	data, err := json.Marshal(mine)
	if err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.TrustedRoot{JSON: string(data)}
}

func TestKeylessSignersThatAreNone(t *testing.T) {
	i := start(t, fakesigstore.Options{})
	bundle := signed(t, keyless(t, options(t, i)))
	for name, c := range map[string]struct {
		signer v1alpha1.KeylessSigner
		want   string
	}{
		"no issuer":            {v1alpha1.KeylessSigner{Identity: "x"}, "it needs an issuer"},
		"nobody":               {v1alpha1.KeylessSigner{Issuer: i.IssuerURL}, "either an identity or an expression"},
		"an expression":        {v1alpha1.KeylessSigner{Issuer: i.IssuerURL, IdentityRegExp: "a)(b"}, "error parsing regexp"},
		"a root that was left": {v1alpha1.KeylessSigner{Issuer: i.IssuerURL, Identity: "x", TrustedRoot: &v1alpha1.TrustedRoot{File: "root.json"}}, "was not read into the policy"},
		"a root that is none":  {v1alpha1.KeylessSigner{Issuer: i.IssuerURL, Identity: "x", TrustedRoot: &v1alpha1.TrustedRoot{JSON: "{}"}}, "unsupported TrustedRoot media type"},
		"a root of nobody":     {v1alpha1.KeylessSigner{Issuer: i.IssuerURL, Identity: "x", TrustedRoot: &v1alpha1.TrustedRoot{JSON: `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`}}, "it names no certificate authority"},
		"a root without time":  {v1alpha1.KeylessSigner{Issuer: i.IssuerURL, Identity: "x", TrustedRoot: trusted(t, i, fakesigstore.Witnesses{Certificates: true})}, "so nobody could say when something was signed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sigstore.Verifier{}.Verify(t.Context(), bundle, signtest.Digest(1), []v1alpha1.Signer{{Keyless: &c.signer}})
			if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it gave %v, want %q", err, c.want)
			}
		})
	}
}
