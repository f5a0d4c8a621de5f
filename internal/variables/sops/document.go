package sops

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/logging"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// document is a file as the library holds it. It is not safe for concurrent use.
type document struct {
	name   string
	data   []byte
	format sops.Store
	tree   sops.Tree
	// cipher remembers the ciphertexts that it has seen, so that what does not change is written as it was.
	cipher aes.Cipher
	key    []byte
}

// formatOf is the library's reader and writer of a file, with the indentation that the file has already.
func formatOf(name string, data []byte) (sops.Store, error) {
	indent := func(pattern string, otherwise int) int {
		if m := regexp.MustCompile(pattern).FindSubmatch(data); m != nil {
			return len(m[1])
		}
		return otherwise
	}
	switch filepath.Ext(name) {
	case ".yaml", ".yml":
		return yaml.NewStore(&config.YAMLStoreConfig{Indent: indent(`(?m)^sops:\r?\n( +)`, 0)}), nil
	case ".json":
		return json.NewStore(&config.JSONStoreConfig{Indent: indent(`(?m)^( +)"`, -1)}), nil
	case ".env":
		return dotenv.NewStore(&config.DotenvStoreConfig{}), nil
	}
	return nil, fault.New(fault.Usage, "", "%q is no YAML, JSON or dotenv file", name).WithHint("its name ends with .yaml, .yml, .json or .env")
}

// parse reads an encrypted file.
func parse(name string, data []byte) (*document, error) {
	format, err := formatOf(name, data)
	if err != nil {
		return nil, err
	}
	silence()
	d := &document{name: name, data: data, format: format, cipher: aes.NewCipher()}
	err = guarded(func() (err error) {
		d.tree, err = format.LoadEncryptedFile(data)
		return err
	})
	if errors.Is(err, sops.MetadataNotFound) {
		return nil, fault.New(fault.Refused, "", "it is not encrypted by sops").
			WithHint("what it holds lies open: renew it, and let `sluice variables init` make the file")
	}
	if err != nil {
		return nil, fault.New(fault.Refused, "", "it cannot be read as a file of sops%s", place(err)).
			WithHint("take it from version control as it was")
	}
	return d, d.shape()
}

// shape refuses what variables cannot be read from without a doubt.
func (d *document) shape() error {
	if len(d.tree.Branches) != 1 {
		return fault.New(fault.Refused, "", "it holds %d documents, and must hold one", len(d.tree.Branches)).WithHint("make a file of each")
	}
	seen := map[string]bool{}
	for _, item := range d.tree.Branches[0] {
		name, ok := item.Key.(string)
		if _, comment := item.Key.(sops.Comment); comment {
			continue
		}
		if !ok {
			return fault.New(fault.Refused, "", "the name %v in it is no text", item.Key).WithHint("put it into quotes")
		}
		if seen[name] {
			return fault.New(fault.Refused, "", "it holds %s twice", name).WithHint("remove one of them by `sops edit`")
		}
		seen[name] = true
	}
	return nil
}

// sealed are the entries as they stand in the file: encrypted, or in clear text where sops was told to leave them so.
func (d *document) sealed() map[string]string {
	texts := map[string]string{}
	for name, value := range d.values() {
		texts[name] = fmt.Sprint(value)
	}
	return texts
}

// values are the entries by name, as decrypted as the document is.
func (d *document) values() map[string]any {
	values := map[string]any{}
	for _, item := range d.tree.Branches[0] {
		if name, ok := item.Key.(string); ok {
			values[name] = item.Value
		}
	}
	return values
}

// decrypt opens the document in memory. It fails with fault.Unreachable where no key is at hand, and with fault.Refused where somebody has changed the file.
func (d *document) decrypt(ctx context.Context) (*document, error) {
	key, err := dataKey(ctx, d.tree.Metadata)
	if err != nil {
		return nil, err
	}
	d.key = key
	sealed := d.sealed()
	var mac string
	err = guarded(func() (err error) {
		mac, err = d.tree.Decrypt(key, d.cipher)
		return err
	})
	if err != nil {
		return nil, changed(sealed)
	}
	var recorded any
	err = guarded(func() (err error) {
		recorded, err = d.cipher.Decrypt(d.tree.Metadata.MessageAuthenticationCode, key, d.tree.Metadata.LastModified.Format(time.RFC3339))
		return err
	})
	if text, ok := recorded.(string); err != nil || !ok || subtle.ConstantTimeCompare([]byte(text), []byte(mac)) != 1 {
		return nil, fault.New(fault.Refused, "", "its code of authentication (MAC) does not match: it was changed by somebody without the key, or merged by hand").
			WithHint("take it from version control as it was, and change it by `sluice variables set` or `edit`")
	}
	return d, nil
}

// changed is the error of a document of which an entry cannot be decrypted. The library's own error may hold what stands there.
func changed(sealed map[string]string) error {
	var open []string
	for name, text := range sealed {
		if exposed(text) {
			open = append(open, name)
		}
	}
	if len(open) == 0 {
		return fault.New(fault.Refused, "", "an entry cannot be decrypted: the file is damaged, or an entry was renamed or moved by hand").
			WithHint("take it from version control as it was, and change it by `sluice variables set` or `edit`")
	}
	slices.Sort(open)
	return fault.New(fault.Refused, "", "not encrypted where sops expects it: %s", strings.Join(open, ", ")).
		WithHint("take the file from version control as it was, renew what lay open, and write it by `sluice variables set`")
}

func encrypted(text string) bool { return strings.HasPrefix(text, "ENC[") }

// exposed says that an entry, as it stands in the file, lies in clear text.
func exposed(sealed string) bool { return sealed != "" && !encrypted(sealed) }

// refuseOpen fails where the rules of the file leave an entry, which was just encrypted, in clear text.
func (d *document) refuseOpen(name string) error {
	if !exposed(d.sealed()[name]) {
		return nil
	}
	return variables.Problem(fault.Refused, name, "let the rules in .sops.yaml, and those in the file, say that it is encrypted: encrypted_regex and its like",
		"would lie in clear text in the file, as its rules say")
}

// encryptAll replaces the rules which say what is encrypted by those of sops itself.
func encryptAll(m *sops.Metadata) {
	m.EncryptedSuffix, m.EncryptedRegex, m.UnencryptedRegex, m.UnencryptedCommentRegex, m.EncryptedCommentRegex = "", "", "", "", ""
	m.UnencryptedSuffix, m.MACOnlyEncrypted = sops.DefaultUnencryptedSuffix, false
}

// encrypt returns the file as it is written. The document is encrypted afterwards, and of no more use.
func (d *document) encrypt(now time.Time) ([]byte, error) {
	d.tree.Metadata.LastModified = now.UTC()
	var data []byte
	err := guarded(func() error {
		mac, err := d.tree.Encrypt(d.key, d.cipher)
		if err != nil {
			return err
		}
		if d.tree.Metadata.MessageAuthenticationCode, err = d.cipher.Encrypt(mac, d.key, d.tree.Metadata.LastModified.Format(time.RFC3339)); err != nil {
			return err
		}
		data, err = d.format.EmitEncryptedFile(d.tree)
		return err
	})
	if err != nil {
		// What the library says may hold what stands there.
		return nil, fault.New(fault.Refused, "", "its content cannot be encrypted").WithHint("a dotenv file holds texts only; names do not begin with sops")
	}
	return data, nil
}

// place is the line that an error of a parser names; what else it says may hold what stands there.
func place(err error) string {
	if line := regexp.MustCompile(`line \d+`).FindString(err.Error()); line != "" {
		return " (" + line + ")"
	}
	return ""
}

// guarded turns a panic of the library into an error: it meets unexpected contents so, for example bytes as a key of a map.
func guarded(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("unexpected content")
		}
	}()
	return f()
}

// silence keeps the library from writing to the log, where it would repeat comments of the file.
func silence() {
	for _, logger := range logging.Loggers {
		logger.SetOutput(io.Discard)
	}
}
