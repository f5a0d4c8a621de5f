package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

const trustedRoot = `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "certificateAuthorities": [{}], "tlogs": [{}]}`

// TestTrustedRootTravels: a release carries the trusted root itself.
func TestTrustedRootTravels(t *testing.T) {
	more := "signing: {keyless: {fulcio: https://fulcio.acme.example, timestampAuthority: https://tsa.acme.example/api/v1/timestamp, trustedRoot: {file: root.json}}}\n" +
		"verify:\n  signers:\n    - keyless: {issuer: https://ci.acme.example, identity: job, trustedRoot: {file: root.json}}\n    - keyless: {issuer: https://ci.acme.example, identityRegExp: 'https://acme\\.example/.+'}\n"
	_, f, err := loadWithKeys(t, more, map[string]string{"root.json": trustedRoot})
	if err != nil {
		t.Fatal(err)
	}
	carried := &v1alpha1.TrustedRoot{JSON: trustedRoot}
	want := &v1alpha1.Verification{Signers: []v1alpha1.Signer{
		{Keyless: &v1alpha1.KeylessSigner{Issuer: "https://ci.acme.example", Identity: "job", TrustedRoot: carried}},
		{Keyless: &v1alpha1.KeylessSigner{Issuer: "https://ci.acme.example", IdentityRegExp: `https://acme\.example/.+`}},
	}}
	if diff := cmp.Diff(want, f.Project.Environments["prod"].Verify); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	signing := f.Project.Signing.Keyless
	if diff := cmp.Diff(carried, signing.TrustedRoot); diff != "" || signing.Audience != "sigstore" {
		t.Errorf("audience %q (-want +got)\n%s", signing.Audience, diff)
	}
}

func TestProblemsOfKeyless(t *testing.T) {
	files := map[string]string{
		"root.json": trustedRoot, "text.json": "text", "other.json": `{"mediaType": "application/json"}`,
		"nobody.json":  `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`,
		"nowhen.json":  `{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "certificateAuthorities": [{}]}`,
		"verylong.txt": strings.Repeat(" ", 300<<10),
	}
	const cure = "; `cosign trusted-root create` writes it"
	at := func(s string) string { return "verify.signers[0].keyless" + s }
	for name, c := range map[string]struct {
		more string
		want []string
	}{
		"an own instance without its root":  {"signing: {keyless: {fulcio: https://f.example, rekor: https://r.example}}\n", []string{"30:11: signing.keyless: an own instance needs trustedRoot; `cosign trusted-root create` writes the file for trustedRoot: {file: trusted_root.json}"}},
		"an own instance without a witness": {"signing: {keyless: {fulcio: https://f.example, trustedRoot: {file: root.json}}}\n", []string{"30:11: signing.keyless: nobody witnesses when something was signed, and the certificate is valid for minutes only; add rekor: or timestampAuthority:"}},
		"a witness without an instance":     {"signing: {keyless: {rekor: https://r.example}}\n", []string{"30:21: signing.keyless.rekor: belongs to an own instance, and without fulcio the public good instance is used; name your own instance by fulcio:, or remove it"}},
		"a token in clear":                  {"signing: {keyless: {fulcio: http://f.example, rekor: http://127.0.0.1:3000, trustedRoot: {file: root.json}}}\n", []string{`30:29: signing.keyless.fulcio: "http://f.example" would send what others could sign with through the network in clear; use https`}},
		"no addresses":                      {"signing: {keyless: {fulcio: f.example, rekor: 'https://r.example?x=1', timestampAuthority: 'https://a:b@t.example', trustedRoot: {file: root.json}}}\n", []string{`30:29: signing.keyless.fulcio: "f.example" is no URL such as https://fulcio.example.com`, `30:47: signing.keyless.rekor: "https://r.example?x=1" is no address of a service; remove what follows ? or #`, "30:92: signing.keyless.timestampAuthority: holds credentials, which do not belong into a file; remove them"}},
		"a token instead of its variable":   {"signing: {keyless: {tokenEnv: eyJh.x.y, audience: ' '}}\n", []string{"30:31: signing.keyless.tokenEnv: is no name of an environment variable; write the variable's name, and its content where sluice runs", "30:51: signing.keyless.audience: is empty"}},
		"no vault":                          {"signing: {kms: 'azurekms://shop.vault.azure.net'}\n", []string{`30:16: signing.kms: "azurekms://shop.vault.azure.net" is no URI of a key in Azure Key Vault such as azurekms://shop.vault.azure.net/release`}},
		"nobody in particular":              {"verify: {signers: [{keyless: {issuer: https://i.example}}]}\n", []string{"30:21: " + at("") + ": needs exactly one of identity, identityRegExp"}},
		"no issuer":                         {"verify: {signers: [{keyless: {identity: x}}]}\n", []string{"30:21: " + at(".issuer") + ": is missing"}},
		"an issuer that is none":            {"verify: {signers: [{keyless: {issuer: github, identity: ' '}}]}\n", []string{"30:39: " + at(".issuer") + `: "github" is no URL of an issuer; that of GitHub Actions is https://token.actions.githubusercontent.com`, "30:57: " + at(".identity") + ": is empty"}},
		"an expression that is none":        {"verify: {signers: [{keyless: {issuer: https://i.example, identityRegExp: '(a'}}]}\n", []string{"30:74: " + at(".identityRegExp") + ": no regular expression: missing closing ): `(a`; the syntax is that of RE2"}},
		"an expression that takes anybody":  {"verify: {signers: [{keyless: {issuer: https://i.example, identityRegExp: '.*'}}]}\n", []string{"30:74: " + at(".identityRegExp") + `: ".*" takes anybody, even nobody; write what the identity must begin with`}},
		"a root that is not there":          {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: no.json}}}]}\n", []string{"30:91: " + at(".trustedRoot.file") + `: there is no file "no.json" in the folder of sluice.yaml`}},
		"a root that is elsewhere":          {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: ../no.json}}}]}\n", []string{"30:91: " + at(".trustedRoot.file") + `: "../no.json" lies outside of the folder of sluice.yaml; move it there`}},
		"a root that is no JSON":            {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: text.json}}}]}\n", []string{"30:91: " + at(".trustedRoot.file") + ": is no JSON: invalid character 'e' in literal true (expecting 'r')" + cure}},
		"a root that is something else":     {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: other.json}}}]}\n", []string{"30:91: " + at(".trustedRoot.file") + `: is no trusted root: its mediaType is "application/json"` + cure}},
		"a root without an authority":       {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: nobody.json}}}]}\n", []string{"30:91: " + at(".trustedRoot.file") + ": is a trusted root without certificateAuthorities, so no identity could be verified by it" + cure}},
		"a root by which nobody knows when": {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: nowhen.json}}}]}\n", []string{"30:91: " + at(".trustedRoot.file") + ": is a trusted root without tlogs and timestampAuthorities, so nobody could say when something was signed" + cure}},
		"a root that is far too large":      {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: verylong.txt}}}]}\n", []string{"30:91: " + at(".trustedRoot.file") + ": has 307200 bytes; a trusted root has at most 262144"}},
		"a root in two places":              {"verify: {signers: [{keyless: {issuer: https://i.example, identity: x, trustedRoot: {file: root.json, json: '{}'}}}]}\n", []string{"30:102: " + at(".trustedRoot") + ": has file and json, and needs exactly one of them; remove all but one"}},
	} {
		t.Run(name, func(t *testing.T) {
			path, _, err := loadWithKeys(t, c.more, files)
			compareProblems(t, path, err, c.want)
		})
	}
}
