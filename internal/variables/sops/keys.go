package sops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"

	"github.com/sluice-dev/sluice/internal/fault"
)

// dataKey asks the keys that the file names for the one that its entries are encrypted with.
func dataKey(ctx context.Context, m sops.Metadata) ([]byte, error) {
	asked := &keyring{KeyServiceClient: keyservice.NewLocalClient()}
	type answer struct {
		key []byte
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		if err := guarded(func() error {
			a.key, a.err = m.GetDataKeyWithKeyServices([]keyservice.KeyServiceClient{asked}, sops.DefaultDecryptionOrder)
			return nil
		}); err != nil {
			a.err = err
		}
		answers <- a
	}()
	// The library cannot be interrupted while it asks a service or a person; what it answers later nobody hears.
	select {
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Interrupted, "", ctx.Err())
	case a := <-answers:
		if a.err != nil {
			return nil, noKey(m, asked.failures())
		}
		return a.key, nil
	}
}

// keyring asks for keys and remembers why there was none.
type keyring struct {
	keyservice.KeyServiceClient
	mu     sync.Mutex
	failed []error
}

// Decrypt asks one key.
func (k *keyring) Decrypt(ctx context.Context, in *keyservice.DecryptRequest, opts ...grpc.CallOption) (*keyservice.DecryptResponse, error) {
	out, err := k.KeyServiceClient.Decrypt(ctx, in, opts...)
	// What is tried for age is told in full by tried.
	if err != nil && in.Key.GetAgeKey() == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.failed = append(k.failed, err)
	}
	return out, err
}

func (k *keyring) failures() []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.failed)
}

// noKey is the account of what the file asks for and what was tried.
func noKey(m sops.Metadata, failures []error) error {
	var recipients []string
	age := false
	for _, group := range m.KeyGroups {
		for _, key := range group {
			recipients = append(recipients, key.TypeToIdentifier()+" "+key.ToString())
			age = age || key.TypeToIdentifier() == sopsage.KeyTypeIdentifier
		}
	}
	lines := []string{"no key for it is available here"}
	if m.ShamirThreshold > 1 {
		lines[0] = fmt.Sprintf("not enough keys for it are available here: one of each of %d groups is needed", m.ShamirThreshold)
	}
	lines = append(lines, "it is encrypted for "+strings.Join(recipients, ", "))
	hint := "get access to one of these keys, or let somebody who has one add yours to .sops.yaml and call `sops updatekeys`"
	if age {
		lines = append(lines, "tried "+strings.Join(tried(), ", "))
		hint = "put the private key of one of these recipients into $" + sopsage.SopsAgeKeyEnv + " or the file that $" + sopsage.SopsAgeKeyFileEnv +
			" names, or let somebody who has one add yours to .sops.yaml and call `sops updatekeys`"
	}
	for _, err := range failures {
		lines = append(lines, firstLine(err.Error()))
	}
	return fault.New(fault.Unreachable, "", "%s", strings.Join(lines, "\n")).WithHint("%s", hint)
}

// tried tells where keys of age were looked for, and whose were found.
func tried() []string {
	var places []string
	variable := func(name string, look func(value string) string) {
		if value, ok := os.LookupEnv(name); ok {
			places = append(places, "$"+name+" ("+look(value)+")")
		} else {
			places = append(places, "$"+name+" (not set)")
		}
	}
	variable(sopsage.SopsAgeKeyEnv, func(text string) string { return holds([]byte(text)) })
	variable(sopsage.SopsAgeKeyFileEnv, func(path string) string { return path + ": " + holdsFile(path) })
	variable(sopsage.SopsAgeKeyCmdEnv, func(string) string { return "its program gave none that fits" })
	if path, err := userKeys(); err == nil {
		places = append(places, path+" ("+holdsFile(path)+")")
	}
	variable(sopsage.SopsAgeSshPrivateKeyFileEnv, func(path string) string { return path })
	if home, err := os.UserHomeDir(); err == nil {
		places = append(places, filepath.Join(home, ".ssh"))
	}
	return places
}

func holdsFile(path string) string {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "not there"
	case err != nil:
		return "cannot be read"
	}
	return holds(data)
}

// holds names the recipients of the private keys in a text.
func holds(text []byte) string {
	recipients, err := recipientsOf(text)
	switch {
	case err != nil:
		return "no plain keys of age"
	case len(recipients) == 0:
		return "no key"
	}
	return "for " + strings.Join(recipients, ", ")
}

// recipientsOf are the public keys that belong to private keys of age. What the parser says about what is none may hold it.
func recipientsOf(text []byte) ([]string, error) {
	var recipients []string
	for _, word := range strings.FieldsFunc(string(uncommented(text)), func(r rune) bool { return r == '\n' || r == ' ' || r == '\r' || r == '\t' }) {
		switch {
		case strings.HasPrefix(word, "AGE-SECRET-KEY-PQ-1"):
			identity, err := age.ParseHybridIdentity(word)
			if err != nil {
				return nil, errors.New("holds what is no private key of age")
			}
			recipients = append(recipients, identity.Recipient().String())
		default:
			identity, err := age.ParseX25519Identity(word)
			if err != nil {
				return nil, errors.New("holds what is no private key of age")
			}
			recipients = append(recipients, identity.Recipient().String())
		}
	}
	return recipients, nil
}

func uncommented(text []byte) []byte {
	var kept [][]byte
	for _, line := range bytes.Split(text, []byte("\n")) {
		if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, []byte("\n"))
}

// userKeys is where the library looks for the user's own keys.
func userKeys() (string, error) {
	dir, err := os.UserConfigDir()
	if xdg := os.Getenv("XDG_CONFIG_HOME"); runtime.GOOS == "darwin" && xdg != "" {
		dir, err = xdg, nil
	}
	return filepath.Join(dir, filepath.FromSlash(sopsage.SopsAgeKeyUserConfigPath)), err
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
