package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// variableStore checks where an environment's variables are.
func (v *validator) variableStore(path string, s v1alpha1.VariableStore) {
	if here := child(path, "sops"); v.positions.has(here) {
		v.sopsFile(here, s.SOPS)
	}
	if here := child(path, "keyVault"); v.positions.has(here) {
		v.keyVault(here, s.KeyVault)
	}
	if s.Vault != nil {
		v.vault(child(path, "vault"), *s.Vault)
	}
	if s.Kubernetes != nil {
		here := child(path, "kubernetes")
		if at := child(here, "secret"); v.positions.has(at) && !v.matches(objectName, s.Kubernetes.Secret) {
			v.report(at, "", "%q is no name of a Kubernetes Secret: lower-case letters, digits, hyphens and dots are allowed", s.Kubernetes.Secret)
		}
		if at := child(here, "namespace"); v.positions.has(at) {
			v.label(at, s.Kubernetes.Namespace)
		}
	}
}

func (v *validator) keyVault(here, vault string) {
	if strings.Contains(vault, "://") {
		v.absoluteURL(here, vault, true)
		if !strings.HasPrefix(vault, "https://") {
			v.report(here, "", "%q is not https", vault)
		}
		return
	}
	if !v.matches(`^[a-zA-Z](-?[a-zA-Z0-9])+$`, vault) || len(vault) < 3 || len(vault) > 24 {
		v.report(here, "it has 3 to 24 letters, digits and single hyphens; outside of the public cloud write its https URL", "%q is no name of a Key Vault", vault)
	}
}

func (v *validator) vault(path string, s v1alpha1.VaultStore) {
	if here := child(path, "address"); v.positions.has(here) {
		v.absoluteURL(here, s.Address, true)
	}
	for key, text := range map[string]string{"mount": s.Mount, "path": s.Path} {
		if here := child(path, key); v.positions.has(here) {
			v.vaultPlace(here, text)
		}
	}
	if here := child(path, "key"); v.positions.has(here) && s.Key == "" {
		v.report(here, "", "is empty")
	}
	if here := child(path, "version"); v.positions.has(here) && s.Version != 1 && s.Version != 2 {
		v.report(here, "known: 1, 2", "%d is no version of the key/value engine", s.Version)
	}
	if here := child(path, "caFile"); v.positions.has(here) {
		v.belowProject(here, s.CAFile)
	}
	if s.Auth != nil {
		v.vaultAuth(child(path, "auth"), *s.Auth)
	}
}

// vaultPlace checks that a path stays where it is when it is cleaned, as it is on the way to Vault.
func (v *validator) vaultPlace(here, text string) {
	switch {
	case text == "" || strings.Trim(text, "/") != text:
		v.report(here, "", "%q is empty, or begins or ends with a /", text)
	case slices.ContainsFunc(strings.Split(text, "/"), func(part string) bool { return part == "" || part == "." || part == ".." }):
		v.report(here, "write it as in vault kv get -mount=secret calculator/prod", "%q has an empty part, or one of dots", text)
	}
}

func (v *validator) vaultAuth(path string, a v1alpha1.VaultAuth) {
	v.vaultCredential(child(path, "token"), a.Token)
	if r := a.AppRole; r != nil {
		v.vaultCredential(child(child(path, "appRole"), "secretID"), &r.SecretID)
	}
	if j := a.JWT; j != nil {
		here := child(path, "jwt")
		v.vaultCredential(child(here, "token"), j.Token)
		if at := child(here, "audience"); v.positions.has(at) && j.Token != nil {
			v.report(at, "remove it, or token", "nobody is asked for a token where one is given")
		}
	}
}

func (v *validator) vaultCredential(path string, c *v1alpha1.VaultCredential) {
	if c == nil {
		return
	}
	if here := child(path, "env"); v.positions.has(here) {
		v.variable(here, c.Env)
	}
	if here := child(path, "file"); v.positions.has(here) && c.File == "" {
		v.report(here, "", "is empty")
	}
}

// belowProject checks that a file is part of the project: that it is there, below the folder of sluice.yaml.
func (v *validator) belowProject(here, name string) bool {
	if !filepath.IsAbs(name) && name != "" && !filepath.IsLocal(name) {
		v.report(here, "move it there", "%q lies outside of the folder of %s", name, FileName)
		return false
	}
	return v.inside(here, name, regular)
}

func (v *validator) sopsFile(here, name string) {
	if !slices.Contains([]string{".yaml", ".yml", ".json", ".env"}, filepath.Ext(name)) {
		v.report(here, "its name ends with .yaml, .yml, .json or .env", "%q is no YAML, JSON or dotenv file", name)
		return
	}
	if _, err := os.Lstat(filepath.Join(v.file.Dir, name)); os.IsNotExist(err) && filepath.IsLocal(name) {
		if !v.unmade {
			v.report(here, "`sluice variables init` makes it", "there is no file %q in the folder of %s", name, FileName)
		}
		return
	}
	if !v.belowProject(here, name) {
		return
	}
	data, err := os.ReadFile(filepath.Join(v.file.Dir, name))
	switch {
	case err != nil:
		v.report(here, "", "cannot read %q: %s", name, err)
	case !sopsEncrypted(name, data):
		v.report(here, "what it holds lies open: renew it, and let `sops encrypt --in-place "+name+"` or `sluice variables init` make the file", "%q is not encrypted by sops", name)
	}
}

// sopsEncrypted says whether a file bears the mark that sops puts into what it encrypts. It does not say that it can be decrypted.
func sopsEncrypted(name string, data []byte) bool {
	mark := `(?ms)^sops:.*^\s+mac: ['"]?ENC\[`
	switch filepath.Ext(name) {
	case ".env":
		mark = `(?m)^sops_mac=ENC\[`
	case ".json":
		mark = `(?s)"sops"\s*:.*"mac"\s*:\s*"ENC\[`
	}
	return regexp.MustCompile(mark).Match(data)
}
