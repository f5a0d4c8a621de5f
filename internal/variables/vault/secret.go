package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// expiresKey is the custom metadata of a secret that says from when on it must not be used.
const expiresKey = "expires"

// secret is one version of one secret of the engine.
type secret struct {
	path    string
	version string
	expires time.Time
	held    map[string]json.RawMessage
}

// pick takes a variable out of a secret.
func (s *Store) pick(found *secret, q variables.Query) (variables.Variable, error) {
	key := cmp.Or(s.at.Key, q.Name)
	content, ok := found.held[key]
	var text string
	switch {
	case !ok && q.Version != "" && s.at.Key == "":
		return variables.Variable{}, fault.New(fault.Refused, "", "version %s %w: secret %s did not hold it", q.Version, variables.ErrGone, found.path).
			WithHint("take the current version: %s", s.cli("get", found.path))
	case !ok || bytes.Equal(content, []byte("null")):
		return variables.Variable{}, fault.New(fault.NotFound, "", "secret %s, version %s, has no key %s", found.path, found.version, key).
			WithHint("add it: %s %s=@FILE", s.cli("patch", found.path), key)
	case json.Unmarshal(content, &text) != nil:
		text = string(content) // a number, a boolean, or JSON: as it was written
	}
	return variables.Variable{Name: q.Name, Version: found.version, Value: variables.NewValue(text), Expires: found.expires}, nil
}

// read asks for a secret.
func (s *Store) read(ctx context.Context, path, version string) (*secret, error) {
	if s.at.Version == 1 {
		return s.readFirst(ctx, path, version)
	}
	if version != "" && !isVersion(version) {
		return nil, s.gone(path, version, "")
	}
	parameters := url.Values{}
	if version != "" {
		parameters.Set("version", version)
	}
	found, err := s.ask(ctx, path, parameters)
	if errors.Is(err, errNothing) && version != "" {
		// The engine says the same of a secret that does not exist and of a version. What the current one answers tells them apart.
		if _, current := s.ask(ctx, path, nil); current == nil {
			return nil, s.gone(path, version, "")
		} else if !errors.Is(current, errNothing) {
			return nil, current
		}
	}
	if errors.Is(err, errNothing) {
		return nil, s.nothing(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	return s.kept(found, path)
}

func isVersion(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n > 0 && strconv.FormatInt(n, 10) == text
}

// answer is what the engine says of a secret. Contents are kept as they were sent.
type answer struct {
	Data json.RawMessage `json:"data"`
	// Errors is there in what Vault refuses, if need be empty.
	Errors []string `json:"errors"`
}

// second is the data of version 2 of the engine.
type second struct {
	Data     map[string]json.RawMessage `json:"data"`
	Metadata struct {
		Version   int64             `json:"version"`
		Deleted   string            `json:"deletion_time"`
		Destroyed bool              `json:"destroyed"`
		Custom    map[string]string `json:"custom_metadata"`
	} `json:"metadata"`
}

// kept judges what version 2 of the engine gives out.
func (s *Store) kept(found answer, path string) (*secret, error) {
	var data second
	if json.Unmarshal(found.Data, &data) != nil || data.Metadata.Version < 1 {
		return nil, s.stranger()
	}
	m := data.Metadata
	version := strconv.FormatInt(m.Version, 10)
	deleted, err := time.Parse(time.RFC3339, m.Deleted)
	if m.Deleted != "" && err != nil {
		return nil, s.stranger()
	}
	now := s.o.Clock.Now()
	switch {
	case m.Destroyed:
		return nil, s.gone(path, version, ": it was destroyed")
	case !deleted.IsZero() && !now.Before(deleted):
		return nil, s.gone(path, version, ": it was deleted on "+deleted.UTC().Format(time.RFC3339))
	case data.Data == nil:
		return nil, s.stranger()
	}
	expires, err := expiry(m.Custom[expiresKey])
	if err != nil {
		return nil, fault.New(fault.Refused, "", "the custom metadata %q of secret %s is no time such as 2027-01-31T12:00:00Z, and no day", expiresKey, path).
			WithHint("correct it: %s -custom-metadata=%s=2027-01-31", s.metadata(path), expiresKey)
	}
	if !expires.IsZero() && !now.Before(expires) {
		return nil, fault.New(fault.Refused, "", "secret %s, version %s, %w on %s", path, version, variables.ErrExpired, expires.UTC().Format(time.RFC3339)).
			WithHint("renew it: %s KEY=@FILE, then say for how long: %s -custom-metadata=%s=YYYY-MM-DD", s.cli("patch", path), s.metadata(path), expiresKey)
	}
	if !deleted.IsZero() && (expires.IsZero() || deleted.Before(expires)) {
		expires = deleted // it is set when the version is written, where the engine deletes versions by age
	}
	return &secret{path: path, version: version, expires: expires, held: data.Data}, nil
}

// expiry reads a time, or a day: the first moment that no longer counts.
func expiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, nil
	}
	return time.Parse(time.RFC3339, text)
}

func (s *Store) gone(path, version, why string) error {
	cure := "take the current version: " + s.cli("get", path)
	if why != "" {
		cure = "bring it back, where it was not destroyed: " + s.cli("undelete", path, "-versions="+version) + "; or put a new one: " + s.cli("put", path) + " KEY=@FILE"
	}
	return fault.New(fault.Refused, "", "version %s of secret %s %w%s", version, path, variables.ErrGone, why).WithHint("%s", cure)
}

// readFirst reads version 1 of the engine, which counts no versions and keeps none.
func (s *Store) readFirst(ctx context.Context, path, version string) (*secret, error) {
	found, err := s.ask(ctx, path, nil)
	if errors.Is(err, errNothing) {
		return nil, s.nothing(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	var held map[string]json.RawMessage
	if json.Unmarshal(found.Data, &held) != nil || held == nil {
		return nil, s.stranger()
	}
	now := s.fingerprint(path, held)
	if version != "" && version != now {
		return nil, fault.New(fault.Refused, "", "version %s of secret %s %w: version 1 of the engine keeps the latest only, now %s", version, path, variables.ErrGone, now).
			WithHint("take the current one with `onRollback: current`, or let the engine keep versions: vault kv enable-versioning %s, and `version: 2`", s.at.Mount)
	}
	return &secret{path: path, version: now, held: held}, nil
}

// fingerprint stands for a version where the engine counts none. There is no key that others who deploy would share, so it is made
// slow: whoever reads a record must spend 19 MiB and two rounds of Argon2id on each guess at the whole secret.
func (s *Store) fingerprint(path string, held map[string]json.RawMessage) string {
	var all bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(held)) {
		// Two lengths before two texts: no other secret is written the same.
		all.WriteString(strconv.Itoa(len(key)) + " " + strconv.Itoa(len(held[key])) + " " + key)
		all.Write(held[key])
	}
	salt := strings.Join([]string{"sluice variables v1", s.at.Namespace, s.at.Mount, path}, "\x00")
	return base64.RawURLEncoding.EncodeToString(argon2.IDKey(all.Bytes(), []byte(salt), 2, 19<<10, 1, 18))
}

// place is where the API has a secret.
func (s *Store) place(path string) string {
	if s.at.Version == 1 {
		return s.at.Mount + "/" + path
	}
	return s.at.Mount + "/data/" + path
}

// nothing finds out why there is nothing where the secret should be: who may read a secret may also ask for what is mounted there.
func (s *Store) nothing(ctx context.Context, path string) error {
	var mount struct {
		Type    string `json:"type"`
		Options struct {
			Version string `json:"version"`
		} `json:"options"`
	}
	found, err := s.get(ctx, "sys/internal/ui/mounts/"+s.at.Mount, nil)
	switch {
	case fault.Is(err, fault.Unreachable) && statusOf(err) == http.StatusForbidden:
		return variables.Wide(fault.New(fault.NotFound, "", "nothing is mounted at %s%s", s.at.Mount, s.within()).
			WithHint("look for it: vault secrets list%s; and write it as `mount`", s.option()))
	case err != nil && !errors.Is(err, errNothing):
		return err
	case err != nil || json.Unmarshal(found.Data, &mount) != nil:
		mount.Type = "kv" // an older server: what it does not say is not concluded from
		mount.Options.Version = strconv.Itoa(s.at.Version)
	}
	version := cmp.Or(mount.Options.Version, "1")
	switch {
	case mount.Type != "kv" && mount.Type != "generic":
		return variables.Wide(fault.New(fault.Usage, "", "what is mounted at %s is an engine for %s, and none for keys and values", s.at.Mount, mount.Type).
			WithHint("look for it: vault secrets list%s; and write it as `mount`", s.option()))
	case version != strconv.Itoa(s.at.Version):
		return variables.Wide(fault.New(fault.Usage, "", "the engine at %s is of version %s, and not %d", s.at.Mount, version, s.at.Version).
			WithHint("write `version: %s`", version))
	}
	return fault.New(fault.NotFound, "", "there is no secret %s at %s%s", path, s.at.Mount, s.within()).
		WithHint("put it there: %s %s=@FILE", s.cli("put", path), cmp.Or(s.at.Key, "KEY"))
}
