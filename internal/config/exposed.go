package config

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// exposed finds secrets that lie in clear text in an encrypted file: sops encrypts only what the rules tell it to, and a release carries the
// file. secrets are the names in the stores, with the place that makes each a secret.
func (v *validator) exposed(path string, store *v1alpha1.VariableStore, secrets map[string]string) {
	if store == nil || store.SOPS == "" || !filepath.IsLocal(store.SOPS) {
		return
	}
	data, err := os.ReadFile(filepath.Join(v.file.Dir, store.SOPS))
	if err != nil || !sopsEncrypted(store.SOPS, data) {
		return // which is reported where the file is looked at
	}
	entries := topLevel(store.SOPS, data)
	for _, name := range sorted(secrets) {
		if text := entries[name]; text != "" && !strings.HasPrefix(text, "ENC[") {
			v.report(child(path, "sops"), "renew it, and correct the rules in .sops.yaml that say what is encrypted",
				"%s lies in clear text in %q, and is a secret by %s", name, store.SOPS, secrets[name])
		}
	}
}

// topLevel are the texts at the top of a file of sops, by their names. What cannot be read is found out by whoever decrypts it.
func topLevel(name string, data []byte) map[string]string {
	entries := map[string]string{}
	if filepath.Ext(name) == ".env" {
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			if key, text, ok := strings.Cut(lines.Text(), "="); ok && !strings.HasPrefix(key, "#") {
				entries[key] = text
			}
		}
		return entries
	}
	var document map[string]any
	if yaml.Unmarshal(data, &document) != nil {
		return entries
	}
	for key, value := range document {
		switch value := value.(type) {
		case string:
			entries[key] = value
		case nil, map[string]any, []any:
		default:
			entries[key] = "a number or the like"
		}
	}
	return entries
}
