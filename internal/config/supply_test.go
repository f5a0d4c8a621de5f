package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/config"
)

func publicKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// loadWithKeys loads the small file with more at its end, beside files of keys.
func loadWithKeys(t *testing.T, more string, files map[string]string) (string, *config.File, error) {
	t.Helper()
	path := write(t, small+more)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(filepath.Dir(path), name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := config.Load(path, getenv)
	return path, f, err
}

// TestPolicyTravels: what a release carries holds the keys themselves, also in environments that have no policy of their own.
func TestPolicyTravels(t *testing.T) {
	key, other := publicKey(t), publicKey(t)
	more := "    verify: {signers: [{file: prod.pub}]}\nverify:\n  signers: [{file: all.pub}]\n  provenance: {sources: [https://github.com/acme/shop]}\n"
	_, f, err := loadWithKeys(t, more, map[string]string{"all.pub": key, "prod.pub": other})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*v1alpha1.Verification{
		"dev":  {Signers: []v1alpha1.Signer{{PEM: key}}, Provenance: &v1alpha1.ProvenancePolicy{Sources: []string{"https://github.com/acme/shop"}}},
		"prod": {Signers: []v1alpha1.Signer{{PEM: other}}},
	}
	for name, policy := range want {
		if diff := cmp.Diff(policy, f.Project.Environments[name].Verify); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestSupplyDefaults(t *testing.T) {
	_, f, err := loadWithKeys(t, "signing: {key: {env: KEY}}\nscan: {grype: {}}\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Project.Signing.Key.PasswordEnv; got != "COSIGN_PASSWORD" {
		t.Errorf("the password comes from %q", got)
	}
	want := &v1alpha1.Scan{Grype: &v1alpha1.ScanProgram{}, FailOn: "high", MaxAge: v1alpha1.Duration(120 * time.Hour), Unavailable: "fail"}
	if diff := cmp.Diff(want, f.Project.Scan); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for name, e := range f.Project.Environments {
		if e.Verify != nil {
			t.Errorf("%s got a policy from nowhere", name)
		}
	}
}

func TestProblemsOfSupply(t *testing.T) {
	const pub = "; `cosign public-key --key …` and `openssl pkey -in … -pubout` write it"
	key := publicKey(t)
	files := map[string]string{
		"ok.pub": key, "two.pub": key + key, "private.pem": strings.ReplaceAll(key, "PUBLIC", "PRIVATE"), "cert.pem": strings.ReplaceAll(key, "PUBLIC KEY", "CERTIFICATE"),
		"damaged.pub": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "text.pub": "ssh-ed25519 AAAA",
	}
	for name, c := range map[string]struct {
		more string
		want []string
	}{
		"two keys to sign with":     {"signing: {key: {env: A}, kms: acme://k}\n", []string{"30:26: signing: has key and kms, and needs exactly one of them; remove all but one"}},
		"no key to sign with":       {"signing: {}\n", []string{"30:1: signing: needs exactly one of key, kms, keyless"}},
		"a key in place of a name":  {"signing: {key: {env: -----BEGIN}}\n", []string{"30:22: signing.key.env: is no name of an environment variable; write the variable's name, and its content where sluice runs"}},
		"an empty file":             {"signing: {key: {file: ''}}\n", []string{"30:23: signing.key.file: is empty"}},
		"a password":                {"signing: {key: {env: A, passwordEnv: my secret}}\n", []string{"30:38: signing.key.passwordEnv: is no name of an environment variable; write the variable's name, and its content where sluice runs"}},
		"a key that is no URI":      {"signing: {kms: release}\n", []string{`30:16: signing.kms: "release" is no URI of a key such as acme://keys/release`}},
		"nobody":                    {"verify: {signers: []}\n", []string{"30:19: verify.signers: needs at least one signer; name the public keys of those who may sign"}},
		"no file of that name":      {"verify: {signers: [{file: no.pub}]}\n", []string{`30:27: verify.signers[0].file: there is no file "no.pub" in the folder of sluice.yaml`}},
		"a file elsewhere":          {"verify: {signers: [{file: ../ok.pub}]}\n", []string{`30:27: verify.signers[0].file: "../ok.pub" lies outside of the folder of sluice.yaml; move it there`}},
		"two keys in a file":        {"verify: {signers: [{file: two.pub}]}\n", []string{"30:27: verify.signers[0].file: holds more than one key; name each as a signer of its own" + pub}},
		"a private key":             {"verify: {signers: [{file: private.pem}]}\n", []string{"30:27: verify.signers[0].file: is a private key; whoever can read this file could sign with it" + pub}},
		"a certificate":             {"verify: {signers: [{file: cert.pem}]}\n", []string{"30:27: verify.signers[0].file: is a CERTIFICATE in PEM, no PUBLIC KEY" + pub}},
		"a damaged key":             {"verify: {signers: [{file: ok.pub}, {file: damaged.pub}]}\n", []string{"30:43: verify.signers[1].file: is a public key that cannot be read" + pub}},
		"no PEM":                    {"verify: {signers: [{pem: x}, {file: text.pub}]}\n", []string{"30:26: verify.signers[0].pem: is no public key in PEM" + pub, "30:37: verify.signers[1].file: is no public key in PEM" + pub}},
		"no source":                 {"verify: {signers: [{file: ok.pub}], provenance: {sources: [shop, 'https://me:pw@host/shop'], builders: ['']}}\n", []string{`30:60: verify.provenance.sources[0]: "shop" is no URL of a repository such as https://github.com/acme/shop`, "30:66: verify.provenance.sources[1]: holds credentials, which do not belong into a file; remove them", "30:105: verify.provenance.builders[0]: is empty"}},
		"an environment's policy":   {"    verify: {signers: [{file: no.pub}]}\n", []string{`30:31: environments.prod.verify.signers[0].file: there is no file "no.pub" in the folder of sluice.yaml`}},
		"two scanners":              {"scan: {grype: {}, trivy: {}}\n", []string{"30:19: scan: has grype and trivy, and needs exactly one of them; remove all but one"}},
		"a severity that is none":   {"scan: {grype: {}, failOn: serious}\n", []string{`30:27: scan.failOn: "serious" is no severity that can fail a build; known: low, medium, high, critical`}},
		"a limit that means all":    {"scan: {grype: {}, failOn: unknown}\n", []string{`30:27: scan.failOn: "unknown" is no severity that can fail a build; known: low, medium, high, critical`}},
		"another answer":            {"scan: {grype: {}, unavailable: ignore}\n", []string{`30:32: scan.unavailable: "ignore" is no answer to a scan that could not be made; known: fail, warn`}},
		"no age at all":             {"scan: {grype: {}, maxAge: 0s}\n", []string{"30:27: scan.maxAge: must be more than 0"}},
		"the age of a report":       {"scan: {sarif: {file: a.sarif}, maxAge: 1h}\n", []string{"30:32: scan.maxAge: a SARIF report does not say how old the scanner's database is; remove it, and let the scanner itself refuse an old database"}},
		"a report elsewhere":        {"scan: {sarif: {file: ../a.sarif}}\n", []string{`30:22: scan.sarif.file: "../a.sarif" is no path below the folder of sluice.yaml`}},
		"no command":                {"scan: {sarif: {command: []}}\n", []string{"30:25: scan.sarif.command: names no program"}},
		"a name in a command":       {"scan: {sarif: {command: [scan, '{digest}', '{layout}']}}\n", []string{"30:32: scan.sarif.command[1]: {digest} stands for nothing here; known: {image}, {layout}"}},
		"a finding without reason":  {"scan: {grype: {}, ignore: [{id: CVE-1, until: 2026-12-31}]}\n", []string{"30:28: scan.ignore[0].reason: is missing"}},
		"a finding ignored forever": {"scan: {grype: {}, ignore: [{id: CVE-1, reason: ' ', until: never}]}\n", []string{"30:48: scan.ignore[0].reason: is empty; say why it does not matter here", `30:60: scan.ignore[0].until: "never" is no day such as 2026-12-31`}},
	} {
		t.Run(name, func(t *testing.T) {
			path, _, err := loadWithKeys(t, c.more, files)
			compareProblems(t, path, err, c.want)
		})
	}
}
