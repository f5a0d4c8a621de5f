package vault

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// expiresKey is the custom metadata of a secret that says from when on it must not be used.
const expiresKey = "expires"

// secret is one version of one secret of the engine.
type secret struct {
	path    string
	version int64 // 0 where the engine counts none
	expires time.Time
	held    map[string]json.RawMessage
}

func (f *secret) String() string {
	if f.version == 0 {
		return "secret " + f.path
	}
	return "secret " + f.path + ", version " + strconv.FormatInt(f.version, 10) + ","
}

// keyOf is the key in a secret that holds a variable.
func (s *Store) keyOf(name string) string { return cmp.Or(s.at.Key, name) }

// pick takes a variable out of a secret.
func (s *Store) pick(found *secret, name string) (variables.Variable, error) {
	key := s.keyOf(name)
	content, ok := found.held[key]
	var text string
	switch {
	case !ok || bytes.Equal(content, []byte("null")):
		return variables.Variable{}, fault.New(fault.NotFound, "", "%s has no key %s", found, key).
			WithHint("add it: %s %s=@FILE", s.cli("patch", found.path), key)
	case json.Unmarshal(content, &text) != nil:
		text = string(content) // a number, a boolean, or JSON: as it was written
	}
	version := strconv.FormatInt(found.version, 10)
	if !s.counts() {
		version = s.fingerprint(found.path, key, content)
	}
	return variables.Variable{Name: name, Version: version, Value: variables.NewValue(text), Expires: found.expires}, nil
}

// read asks for a secret whose versions the engine counts.
func (s *Store) read(ctx context.Context, path, version string) (*secret, error) {
	if version == "" {
		return s.latest(ctx, path)
	}
	if !isVersion(version) {
		return nil, s.gone(path, version, "")
	}
	found, err := s.numbered(ctx, path, version)
	if !errors.Is(err, errNothing) {
		return found, err
	}
	// The engine says the same of a secret that does not exist and of a version. What the current one answers tells them apart.
	if _, err := s.latest(ctx, path); err != nil && !errors.Is(err, variables.ErrGone) {
		return nil, err
	}
	return nil, s.gone(path, version, "")
}

// latest is the current version. It comes with an error of variables.ErrGone where it was deleted, if need be.
func (s *Store) latest(ctx context.Context, path string) (*secret, error) {
	found, err := s.ask(ctx, path, nil)
	if errors.Is(err, errNothing) {
		return nil, s.nothing(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	if s.at.Version == 2 {
		return s.kept(found, path)
	}
	var held map[string]json.RawMessage
	if json.Unmarshal(found.Data, &held) != nil || held == nil {
		return nil, s.stranger()
	}
	return &secret{path: path, held: held}, nil
}

// numbered fails with errNothing where the engine has no such version.
func (s *Store) numbered(ctx context.Context, path, version string) (*secret, error) {
	found, err := s.ask(ctx, path, url.Values{"version": {version}})
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
		state
		Version int64             `json:"version"`
		Custom  map[string]string `json:"custom_metadata"`
	} `json:"metadata"`
}

// state is whether a version is still there.
type state struct {
	Deleted   string `json:"deletion_time"`
	Destroyed bool   `json:"destroyed"`
}

// kept judges what version 2 of the engine gives out.
func (s *Store) kept(found answer, path string) (*secret, error) {
	var data second
	if json.Unmarshal(found.Data, &data) != nil || data.Metadata.Version < 1 {
		return nil, s.stranger()
	}
	expires, err := s.judge(path, data.Metadata.Version, data.Metadata.state, data.Metadata.Custom)
	if err == nil && data.Data == nil {
		return nil, s.stranger()
	}
	if errors.Is(err, variables.ErrGone) {
		return &secret{path: path, version: data.Metadata.Version}, err
	}
	if err != nil {
		return nil, err
	}
	return &secret{path: path, version: data.Metadata.Version, expires: expires, held: data.Data}, nil
}

// judge says whether a version of a secret may be used, and until when.
func (s *Store) judge(path string, number int64, v state, custom map[string]string) (time.Time, error) {
	version := strconv.FormatInt(number, 10)
	deleted, err := time.Parse(time.RFC3339, v.Deleted)
	if v.Deleted != "" && err != nil {
		return time.Time{}, s.stranger()
	}
	now := s.o.Clock.Now()
	switch {
	case v.Destroyed:
		return time.Time{}, s.gone(path, version, ": it was destroyed")
	case !deleted.IsZero() && !now.Before(deleted):
		return time.Time{}, s.gone(path, version, ": it was deleted on "+deleted.UTC().Format(time.RFC3339))
	}
	expires, err := expiry(custom[expiresKey])
	if err != nil {
		return time.Time{}, fault.New(fault.Refused, "", "the custom metadata %q of secret %s is no time such as 2027-01-31T12:00:00Z, and no day", expiresKey, path).
			WithHint("correct it: %s -custom-metadata=%s=2027-01-31", s.metadata(path), expiresKey)
	}
	if !expires.IsZero() && !now.Before(expires) {
		return time.Time{}, fault.New(fault.Refused, "", "secret %s, version %s, %w on %s", path, version, variables.ErrExpired, expires.UTC().Format(time.RFC3339)).
			WithHint("renew it: %s KEY=@FILE, then say for how long: %s -custom-metadata=%s=YYYY-MM-DD", s.cli("patch", path), s.metadata(path), expiresKey)
	}
	if !deleted.IsZero() && (expires.IsZero() || deleted.Before(expires)) {
		expires = deleted // it is set when the version is written, where the engine deletes versions by age
	}
	return expires, nil
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
