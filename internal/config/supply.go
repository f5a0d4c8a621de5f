package config

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// defaultScanAge is how old a scanner's database may be, defaultPassword the variable that cosign reads too, and defaultAudience who
// Fulcio wants a token to be for.
const (
	defaultAudience = "sigstore"
	defaultScanAge  = 120 * time.Hour
	defaultPassword = "COSIGN_PASSWORD"
)

func (v *validator) supply(p *v1alpha1.Project) {
	if p.Signing != nil {
		v.signing("signing", *p.Signing)
	}
	if p.Verify != nil {
		v.verification("verify", p.Verify)
	}
	if p.Scan != nil {
		v.scan("scan", *p.Scan)
	}
}

func (v *validator) signing(path string, s v1alpha1.Signing) {
	if here := child(path, "kms"); v.positions.has(here) {
		switch {
		case !regexp.MustCompile(`^[a-z][a-z0-9-]*://.+$`).MatchString(s.KMS):
			v.report(here, "", "%q is no URI of a key such as acme://keys/release", s.KMS)
		case strings.HasPrefix(s.KMS, "azurekms:") && !regexp.MustCompile(`^azurekms://[a-zA-Z0-9.-]+/[a-zA-Z0-9-]+(/[a-z0-9]+)?$`).MatchString(s.KMS):
			v.report(here, "", "%q is no URI of a key in Azure Key Vault such as azurekms://shop.vault.azure.net/release", s.KMS)
		}
	}
	if s.Keyless != nil {
		v.keylessSigning(child(path, "keyless"), *s.Keyless)
	}
	if s.Key == nil {
		return
	}
	path = child(path, "key")
	if v.positions.has(child(path, "env")) {
		v.variable(child(path, "env"), s.Key.Env)
	}
	if v.positions.has(child(path, "passwordEnv")) {
		v.variable(child(path, "passwordEnv"), s.Key.PasswordEnv)
	}
	if v.positions.has(child(path, "file")) && s.Key.File == "" {
		v.report(child(path, "file"), "", "is empty")
	}
}

// variable checks the name of an environment variable. What stands there may be a key by mistake, so it is not repeated.
func (v *validator) variable(path, name string) {
	if !variableName(name) {
		v.report(path, "write the variable's name, and its content where sluice runs", "is no name of an environment variable")
	}
}

// verification checks a policy, and replaces files by the keys they hold: the policy travels with the release, and files do not.
func (v *validator) verification(path string, p *v1alpha1.Verification) {
	signers := child(path, "signers")
	if len(p.Signers) == 0 {
		v.report(signers, "name the public keys of those who may sign", "needs at least one signer")
	}
	for i := range p.Signers {
		v.signer(item(signers, i), &p.Signers[i])
	}
	if p.Provenance == nil {
		return
	}
	path = child(path, "provenance")
	for i, builder := range p.Provenance.Builders {
		if builder == "" {
			v.report(item(child(path, "builders"), i), "", "is empty")
		}
	}
	for i, source := range p.Provenance.Sources {
		here := item(child(path, "sources"), i)
		u, err := url.Parse(source)
		switch {
		case err != nil || u.Scheme == "" || u.Host == "":
			v.report(here, "", "%q is no URL of a repository such as https://github.com/acme/shop", source)
		case u.User != nil:
			v.report(here, "remove them", "holds credentials, which do not belong into a file")
		}
	}
}

func (v *validator) signer(path string, s *v1alpha1.Signer) {
	switch {
	case s.Keyless != nil:
		v.keylessSigner(child(path, "keyless"), s.Keyless)
	case v.positions.has(child(path, "file")):
		here := child(path, "file")
		if data, ok := v.carried(here, s.File); ok && v.publicKey(here, data) {
			s.File, s.PEM = "", data
		}
	case v.positions.has(child(path, "pem")):
		v.publicKey(child(path, "pem"), s.PEM)
	}
}

// carried is the content of a file below the folder of sluice.yaml which a release will carry.
func (v *validator) carried(path, name string) (string, bool) {
	if name != "" && !filepath.IsAbs(name) && !filepath.IsLocal(name) {
		v.report(path, "move it there", "%q lies outside of the folder of %s", name, FileName)
		return "", false
	}
	if !v.inside(path, name, regular) {
		return "", false
	}
	data, err := os.ReadFile(filepath.Join(v.file.Dir, name))
	if err != nil {
		v.report(path, "", "cannot read %q: %s", name, err)
	}
	return string(data), err == nil
}

func (v *validator) publicKey(path, text string) bool {
	const cure = "`cosign public-key --key …` and `openssl pkey -in … -pubout` write it"
	block, rest := pem.Decode([]byte(text))
	var err error
	switch {
	case block == nil:
		err = errors.New("is no public key in PEM")
	case strings.Contains(block.Type, "PRIVATE"):
		err = errors.New("is a private key; whoever can read this file could sign with it")
	case block.Type != "PUBLIC KEY":
		err = errors.New("is a " + snippet(block.Type) + " in PEM, no PUBLIC KEY")
	case strings.TrimSpace(string(rest)) != "":
		err = errors.New("holds more than one key; name each as a signer of its own")
	default:
		if _, parse := x509.ParsePKIXPublicKey(block.Bytes); parse != nil {
			err = errors.New("is a public key that cannot be read")
		}
	}
	if err != nil {
		v.report(path, cure, "%s", err)
	}
	return err == nil
}

func (v *validator) scan(path string, s v1alpha1.Scan) {
	if v.positions.has(child(path, "failOn")) && s.FailOn.Rank() < v1alpha1.SeverityLow.Rank() {
		v.report(child(path, "failOn"), "known: low, medium, high, critical", "%q is no severity that can fail a build", s.FailOn)
	}
	if v.positions.has(child(path, "unavailable")) && !slices.Contains([]string{"fail", "warn"}, s.Unavailable) {
		v.report(child(path, "unavailable"), "known: fail, warn", "%q is no answer to a scan that could not be made", s.Unavailable)
	}
	if here := child(path, "maxAge"); v.positions.has(here) {
		switch {
		case s.SARIF != nil:
			v.reportKey(here, "remove it, and let the scanner itself refuse an old database", "a SARIF report does not say how old the scanner's database is")
		case s.MaxAge == 0:
			v.report(here, "", "must be more than 0")
		}
	}
	if s.SARIF != nil {
		v.sarif(child(path, "sarif"), *s.SARIF)
	}
	for i, ignore := range s.Ignore {
		v.scanIgnore(item(child(path, "ignore"), i), ignore)
	}
}

func (v *validator) sarif(path string, s v1alpha1.SARIFScan) {
	if v.positions.has(child(path, "command")) && (len(s.Command) == 0 || s.Command[0] == "") {
		v.report(child(path, "command"), "", "names no program")
	}
	if here := child(path, "file"); v.positions.has(here) && !filepath.IsLocal(s.File) {
		v.report(here, "", "%q is no path below the folder of %s", s.File, FileName)
	}
	for i, text := range append(slices.Clone(s.Command), s.File) {
		here := child(path, "file")
		if i < len(s.Command) {
			here = item(child(path, "command"), i)
		}
		for _, name := range regexp.MustCompile(`\{[a-z]+\}`).FindAllString(text, -1) {
			if known := sarifNames(s); !slices.Contains(known, name) {
				v.report(here, "known: "+strings.Join(known, ", "), "%s stands for nothing here", name)
			}
		}
	}
}

func sarifNames(s v1alpha1.SARIFScan) []string {
	if s.File != "" {
		return []string{"{image}", "{digest}"}
	}
	return []string{"{image}", "{layout}"}
}

func (v *validator) scanIgnore(path string, i v1alpha1.ScanIgnore) {
	if v.positions.has(child(path, "id")) && strings.TrimSpace(i.ID) == "" {
		v.report(child(path, "id"), "", "is empty")
	}
	if v.positions.has(child(path, "reason")) && strings.TrimSpace(i.Reason) == "" {
		v.report(child(path, "reason"), "say why it does not matter here", "is empty")
	}
	if v.positions.has(child(path, "until")) {
		if _, err := time.Parse(time.DateOnly, i.Until); err != nil {
			v.report(child(path, "until"), "", "%q is no day such as 2026-12-31", i.Until)
		}
	}
}

// supplyDefaults writes out the defaults, and gives environments without a policy that of the project.
func supplyDefaults(p *v1alpha1.Project) {
	if s := p.Signing; s != nil {
		if s.Key != nil && s.Key.PasswordEnv == "" {
			s.Key.PasswordEnv = defaultPassword
		}
		if s.Keyless != nil && s.Keyless.Audience == "" {
			s.Keyless.Audience = defaultAudience
		}
	}
	if s := p.Scan; s != nil {
		if s.FailOn == "" {
			s.FailOn = v1alpha1.SeverityHigh
		}
		if s.Unavailable == "" {
			s.Unavailable = "fail"
		}
		if s.SARIF == nil {
			orDuration(&s.MaxAge, defaultScanAge)
		}
	}
	for name, e := range p.Environments {
		if e.Verify == nil {
			e.Verify = p.Verify
			p.Environments[name] = e
		}
	}
}
