package config

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// maxTrustedRoot bounds a trusted root in bytes: that of the public good instance has 7 KB, and a release carries one per signer.
const maxTrustedRoot = 256 << 10

func (v *validator) keylessSigning(path string, s v1alpha1.KeylessSigning) {
	if here := child(path, "tokenEnv"); v.positions.has(here) {
		v.variable(here, s.TokenEnv)
	}
	if here := child(path, "audience"); v.positions.has(here) && strings.TrimSpace(s.Audience) == "" {
		v.report(here, "", "is empty")
	}
	own := []string{"rekor", "timestampAuthority", "trustedRoot"}
	if !v.positions.has(child(path, "fulcio")) {
		for _, key := range own {
			if here := child(path, key); v.positions.has(here) {
				v.reportKey(here, "name your own instance by fulcio:, or remove it", "belongs to an own instance, and without fulcio the public good instance is used")
			}
		}
		return
	}
	for _, service := range []struct{ key, url string }{{"fulcio", s.Fulcio}, {"rekor", s.Rekor}, {"timestampAuthority", s.TimestampAuthority}} {
		if here := child(path, service.key); v.positions.has(here) {
			v.serviceURL(here, service.url)
		}
	}
	if !v.positions.has(child(path, "rekor")) && !v.positions.has(child(path, "timestampAuthority")) {
		v.reportKey(path, "add rekor: or timestampAuthority:", "nobody witnesses when something was signed, and the certificate is valid for minutes only")
	}
	if s.TrustedRoot == nil {
		v.reportKey(path, "`cosign trusted-root create` writes the file for trustedRoot: {file: trusted_root.json}", "an own instance needs trustedRoot")
		return
	}
	v.trustedRoot(child(path, "trustedRoot"), s.TrustedRoot)
}

// serviceURL checks the address of a service that is sent what nobody else may see: the token that Fulcio gets is enough to sign.
func (v *validator) serviceURL(path, text string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		v.report(path, "", "%q is no URL such as https://fulcio.example.com", text)
	case u.User != nil:
		v.report(path, "remove them", "holds credentials, which do not belong into a file")
	case u.RawQuery != "" || u.Fragment != "":
		v.report(path, "remove what follows ? or #", "%q is no address of a service", text)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		v.report(path, "use https", "%q would send what others could sign with through the network in clear", text)
	}
}

func loopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

func (v *validator) keylessSigner(path string, s *v1alpha1.KeylessSigner) {
	if here := child(path, "issuer"); v.positions.has(here) {
		u, err := url.Parse(s.Issuer)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			v.report(here, "that of GitHub Actions is https://token.actions.githubusercontent.com", "%q is no URL of an issuer", s.Issuer)
		}
	}
	if here := child(path, "identity"); v.positions.has(here) && strings.TrimSpace(s.Identity) == "" {
		v.report(here, "", "is empty")
	}
	if here := child(path, "identityRegExp"); v.positions.has(here) {
		expression, err := regexp.Compile(s.IdentityRegExp)
		switch {
		case err != nil:
			v.report(here, "the syntax is that of RE2", "no regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		case expression.MatchString(""):
			v.report(here, "write what the identity must begin with", "%q takes anybody, even nobody", s.IdentityRegExp)
		}
	}
	if s.TrustedRoot != nil {
		v.trustedRoot(child(path, "trustedRoot"), s.TrustedRoot)
	}
}

// trustedRoot replaces the file by its content, and looks whether that can be a trusted root at all. Certificates and keys in it are
// read where signatures are.
func (v *validator) trustedRoot(path string, r *v1alpha1.TrustedRoot) {
	here := child(path, "json")
	if v.positions.has(child(path, "file")) {
		here = child(path, "file")
		data, ok := v.carried(here, r.File)
		if !ok {
			return
		}
		r.File, r.JSON = "", data
	} else if !v.positions.has(here) {
		return
	}
	const cure = "`cosign trusted-root create` writes it"
	var content struct {
		MediaType   string            `json:"mediaType"`
		Authorities []json.RawMessage `json:"certificateAuthorities"`
		Logs        []json.RawMessage `json:"tlogs"`
		Timestamps  []json.RawMessage `json:"timestampAuthorities"`
	}
	if len(r.JSON) > maxTrustedRoot {
		v.report(here, "", "has %d bytes; a trusted root has at most %d", len(r.JSON), maxTrustedRoot)
		return
	}
	err := json.Unmarshal([]byte(r.JSON), &content)
	switch {
	case err != nil:
		v.report(here, cure, "is no JSON: %s", err)
	case !strings.HasPrefix(content.MediaType, "application/vnd.dev.sigstore.trustedroot"):
		v.report(here, cure, "is no trusted root: its mediaType is %q", snippet(content.MediaType))
	case len(content.Authorities) == 0:
		v.report(here, cure, "is a trusted root without certificateAuthorities, so no identity could be verified by it")
	case len(content.Logs)+len(content.Timestamps) == 0:
		v.report(here, cure, "is a trusted root without tlogs and timestampAuthorities, so nobody could say when something was signed")
	}
}
