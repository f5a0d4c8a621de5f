package sops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/keyservice"

	"github.com/sluice-dev/sluice/internal/fault"
)

const (
	// rulesName is the file in which sops looks for the keys of new files; SOPS_CONFIG names another one.
	rulesName = ".sops.yaml"
	rulesEnv  = "SOPS_CONFIG"
	// formatVersion is the version of sops whose form of files this is: that of the library.
	formatVersion = "3.13.3"
)

// Created is what making a file came to.
type Created struct {
	// Recipients are the keys that the file is encrypted for, Rules the file that names them; "" where they are the user's own.
	Recipients []string `json:"recipients"`
	Rules      string   `json:"rules,omitempty"`
	// KeyFile is where a new private key was written; "" where there was one, or none was needed.
	KeyFile string `json:"keyFile,omitempty"`
}

// Create makes the file, without a variable in it, encrypted for the keys that the creation rules of .sops.yaml name, else for the user's
// own keys of age, of which it makes one where there is none. It fails with fault.Conflict where there is a file already.
func (f File) Create() (Created, error) {
	op := "make " + f.Store().String()
	if _, err := os.Lstat(f.Path); err == nil {
		return Created{}, fault.New(fault.Conflict, op, "it is there already").WithHint("`sluice variables set` and `edit` change it")
	}
	format, err := formatOf(f.Name, nil)
	if err != nil {
		return Created{}, fault.Wrap(fault.KindOf(err), op, err)
	}
	silence()
	rule, rules, err := f.rule()
	if err != nil {
		return Created{}, fault.Wrap(fault.KindOf(err), op, err)
	}
	created := Created{Rules: rules}
	if rule == nil {
		if rule, created.KeyFile, err = own(f.Now()); err != nil {
			return Created{}, fault.Wrap(fault.KindOf(err), op, err)
		}
	}
	for _, group := range rule.KeyGroups {
		for _, key := range group {
			created.Recipients = append(created.Recipients, key.TypeToIdentifier()+" "+key.ToString())
		}
	}
	doc := &document{name: f.Name, format: format, cipher: aes.NewCipher(), tree: sops.Tree{Branches: sops.TreeBranches{sops.TreeBranch{}}, Metadata: metadata(rule)}}
	if err := doc.generate(); err != nil {
		return created, fault.Wrap(fault.KindOf(err), op, err)
	}
	data, err := doc.encrypt(f.Now())
	if err != nil {
		return created, fault.Wrap(fault.KindOf(err), op, err)
	}
	err = os.MkdirAll(filepath.Dir(f.Path), 0o755)
	if err == nil {
		err = write(f.Path, data, 0o644, false)
	}
	return created, fault.Wrap(fault.Refused, op, err)
}

// generate makes the key of the entries and encrypts it for all recipients.
func (d *document) generate() error {
	var errs []error
	err := guarded(func() error {
		d.key, errs = d.tree.GenerateDataKeyWithKeyServices([]keyservice.KeyServiceClient{keyservice.NewLocalClient()})
		return nil
	})
	if err = errors.Join(append(errs, err)...); err != nil {
		return fault.New(fault.Unreachable, "", "its key cannot be encrypted for all recipients: %w", err).
			WithHint("correct the keys in %s, or get the right to encrypt with them", rulesName)
	}
	return nil
}

func metadata(rule *config.Config) sops.Metadata {
	m := sops.Metadata{
		KeyGroups: rule.KeyGroups, ShamirThreshold: rule.ShamirThreshold, Version: formatVersion, MACOnlyEncrypted: rule.MACOnlyEncrypted,
		UnencryptedSuffix: rule.UnencryptedSuffix, EncryptedSuffix: rule.EncryptedSuffix,
		UnencryptedRegex: rule.UnencryptedRegex, EncryptedRegex: rule.EncryptedRegex,
		UnencryptedCommentRegex: rule.UnencryptedCommentRegex, EncryptedCommentRegex: rule.EncryptedCommentRegex,
	}
	if m.UnencryptedSuffix+m.EncryptedSuffix+m.UnencryptedRegex+m.EncryptedRegex+m.UnencryptedCommentRegex+m.EncryptedCommentRegex == "" {
		m.UnencryptedSuffix = sops.DefaultUnencryptedSuffix
	}
	return m
}

// rule finds the creation rule for the file; nil where there are no rules at all.
func (f File) rule() (*config.Config, string, error) {
	rules := os.Getenv(rulesEnv)
	if rules == "" {
		found, err := config.FindConfigFile(filepath.Dir(f.Path) + string(filepath.Separator))
		if err != nil {
			return nil, "", nil //nolint:nilerr // The only error is that there are no rules.
		}
		rules = found
	}
	rule, err := config.LoadCreationRuleForFile(rules, f.Path, nil)
	if err != nil {
		return nil, "", fault.New(fault.Usage, "", "%s: %s", rules, strings.TrimPrefix(err.Error(), "error loading config: ")).
			WithHint("add a rule to it that fits %s", f.Name)
	}
	if rule == nil {
		return nil, "", nil
	}
	for _, group := range rule.KeyGroups {
		if len(group) == 0 {
			return nil, "", fault.New(fault.Usage, "", "%s: the rule for %s names no key", rules, f.Name).WithHint("add one, for example `age: age1…`")
		}
	}
	return rule, rules, nil
}

// own are the user's keys of age as a rule. Where there are none it makes one, and says in which file.
func own(now time.Time) (*config.Config, string, error) {
	path, err := keyFile()
	if err != nil {
		return nil, "", err
	}
	text, where := []byte(os.Getenv(sopsage.SopsAgeKeyEnv)), "$"+sopsage.SopsAgeKeyEnv
	if len(text) == 0 {
		where = path
		text, err = os.ReadFile(path)
	}
	made := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if text, err = makeKey(path, now); err != nil {
			return nil, "", fault.New(fault.Refused, "", "cannot write a private key to %s: %w", path, err).
				WithHint("name another file in $%s", sopsage.SopsAgeKeyFileEnv)
		}
		made = path
	case err != nil:
		return nil, "", fault.New(fault.Unreachable, "", "cannot read the private keys in %s: %w", path, err)
	}
	recipients, err := recipientsOf(text)
	if err != nil || len(recipients) == 0 {
		return nil, "", fault.New(fault.Refused, "", "cannot tell the public key of what %s holds: it is encrypted, or no key of age", where).
			WithHint("name the public keys in a creation rule of %s", rulesName)
	}
	keys, err := sopsage.MasterKeysFromRecipients(strings.Join(recipients, ","))
	if err != nil {
		return nil, "", fault.Wrap(fault.Internal, "", err)
	}
	group := sops.KeyGroup{}
	for _, key := range keys {
		group = append(group, key)
	}
	return &config.Config{KeyGroups: []sops.KeyGroup{group}}, made, nil
}

// keyFile is where the user's private key of age is, or belongs.
func keyFile() (string, error) {
	if path := os.Getenv(sopsage.SopsAgeKeyFileEnv); path != "" {
		return path, nil
	}
	path, err := userKeys()
	if err != nil {
		return "", fault.New(fault.Usage, "", "there is no folder for a private key: %w", err).WithHint("name a file in $%s", sopsage.SopsAgeKeyFileEnv)
	}
	return path, nil
}

// makeKey writes a new private key that only the user can read.
func makeKey(path string, now time.Time) ([]byte, error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	text := fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", now.UTC().Format(time.RFC3339), identity.Recipient(), identity)
	return text, write(path, text, 0o600, false)
}
