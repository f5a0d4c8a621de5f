package vault

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/variables"
)

// login is what the store knows of its own login. The token itself is with the library's client.
type login struct {
	mu    sync.Mutex
	valid bool
	until time.Time // zero: no end is known
	lent  bool      // the token was given by a login of this store, which can be repeated
}

// forget makes the next question log in anew. It is false where that gives no other token.
func (l *login) forget() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.valid = l.valid && !l.lent
	return l.lent
}

// enter logs in where that was not done, or is over.
func (s *Store) enter(ctx context.Context) error {
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	now := s.o.Clock.Now()
	if s.login.valid && (s.login.until.IsZero() || now.Before(s.login.until)) {
		return nil
	}
	if a := s.at.Auth; a == nil || a.Token != nil {
		token, err := s.givenToken()
		if err != nil {
			return err
		}
		s.client.SetToken(token)
		s.login.valid = true
		return nil
	}
	auth, err := s.logIn(ctx)
	if err != nil {
		return err
	}
	s.client.SetToken(auth.ClientToken)
	s.login.valid, s.login.lent, s.login.until = true, true, time.Time{}
	if auth.LeaseDuration > 0 {
		// A tenth before its end, so that it does not end on the way.
		s.login.until = now.Add(time.Duration(auth.LeaseDuration) * time.Second * 9 / 10)
	}
	return nil
}

// givenToken is one that somebody else has logged in for.
func (s *Store) givenToken() (string, error) {
	if s.at.Auth != nil {
		return s.credential("token", *s.at.Auth.Token)
	}
	if token := strings.TrimSpace(s.o.Getenv("VAULT_TOKEN")); token != "" {
		return s.printable("the environment variable VAULT_TOKEN", token)
	}
	home := s.o.Getenv("HOME")
	text, err := s.o.ReadFile(filepath.Join(home, ".vault-token"))
	token := strings.TrimSpace(string(text))
	if home == "" || err != nil || token == "" {
		return "", unreachable("no token: the environment variable VAULT_TOKEN is not set, and ~/.vault-token holds none").
			WithHint("%s; or say in `auth` how to log in", s.freshToken())
	}
	return s.printable("~/.vault-token", token)
}

func (s *Store) freshToken() string {
	if s.at.Auth == nil {
		return "log in: vault login -address=" + s.at.Address + s.option()
	}
	return "let " + s.who() + " be renewed"
}

// credential reads what the settings only name.
func (s *Store) credential(what string, c v1alpha1.VaultCredential) (string, error) {
	place := "the environment variable " + c.Env
	text := s.o.Getenv(c.Env)
	if c.Env == "" {
		place = "the file " + c.File
		data, err := s.o.ReadFile(c.File)
		if err != nil {
			return "", unreachable("no %s: %w", what, err).WithHint("let %s hold it, where sluice runs", place)
		}
		text = string(data)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return "", unreachable("no %s: %s is not set, or empty", what, place).WithHint("let it hold the %s, where sluice runs", what)
	}
	return s.printable(place, text)
}

// printable refuses what HTTP would, in words that do not show it.
func (s *Store) printable(place, text string) (string, error) {
	for _, r := range text {
		if r < '!' || r > '~' {
			return "", unreachable("%s holds something that is no credential: it has blanks, line ends or other characters that none has", place).
				WithHint("look at it where no log is written: it holds one credential and nothing else")
		}
	}
	s.o.Learn(text)
	return text, nil
}

// who is who reads, for people.
func (s *Store) who() string {
	switch a := s.at.Auth; {
	case a == nil:
		return "the token"
	case a.Kubernetes != nil:
		return "role " + a.Kubernetes.Role + " of auth/" + a.Kubernetes.Mount
	case a.AppRole != nil:
		return "role " + a.AppRole.RoleID + " of auth/" + a.AppRole.Mount
	case a.JWT != nil:
		return "role " + a.JWT.Role + " of auth/" + a.JWT.Mount
	case a.Token.Env != "":
		return "the token in the environment variable " + a.Token.Env
	default:
		return "the token in the file " + a.Token.File
	}
}

// request is what a way to log in sends.
type request struct {
	mount string
	data  map[string]any
	// secret must not come back in an error.
	secret string
	cure   string
}

func (s *Store) request(ctx context.Context) (request, error) {
	switch a := s.at.Auth; {
	case a.Kubernetes != nil:
		jwt, err := s.credential("token of a service account", v1alpha1.VaultCredential{File: a.Kubernetes.TokenFile})
		return request{a.Kubernetes.Mount, map[string]any{"role": a.Kubernetes.Role, "jwt": jwt}, jwt,
			"compare the service account and its namespace with the role's: vault read auth/" + a.Kubernetes.Mount + "/role/" + a.Kubernetes.Role}, err
	case a.AppRole != nil:
		secret, err := s.credential("secret ID", a.AppRole.SecretID)
		return request{a.AppRole.Mount, map[string]any{"role_id": a.AppRole.RoleID, "secret_id": secret}, secret,
			"make a new secret ID, and see that the role ID is right: vault list auth/" + a.AppRole.Mount + "/role; vault write -f auth/" + a.AppRole.Mount + "/role/NAME/secret-id"}, err
	default:
		jwt, err := s.identity(ctx, *a.JWT)
		return request{a.JWT.Mount, map[string]any{"role": a.JWT.Role, "jwt": jwt}, jwt,
			"compare issuer, audience and subject with the role's: vault read auth/" + a.JWT.Mount + "/role/" + a.JWT.Role}, err
	}
}

// logIn asks for a token.
func (s *Store) logIn(ctx context.Context) (*api.SecretAuth, error) {
	r, err := s.request(ctx)
	if err != nil {
		return nil, err
	}
	place := "auth/" + r.mount + "/login"
	var auth *api.SecretAuth
	err = variables.Patiently(ctx, s.o.Clock, func(ctx context.Context) error {
		inner, cancel := context.WithTimeout(ctx, s.o.AnswerTime)
		defer cancel()
		answer, err := s.door.Logical().WriteWithContext(inner, place, r.data)
		switch status := responded(err); {
		case status == http.StatusBadRequest || status == http.StatusForbidden || status == http.StatusNotFound:
			return s.turnedAway(err, place, r)
		case err != nil:
			return s.failure(nil, err, place)
		case answer == nil || answer.Auth == nil || answer.Auth.ClientToken == "":
			return s.stranger()
		}
		auth = answer.Auth
		s.o.Learn(auth.ClientToken)
		return nil
	})
	return auth, err
}

// turnedAway repeats what Vault says of a login: it names what does not fit. It does not if that holds what was sent.
func (s *Store) turnedAway(err error, place string, r request) error {
	var said *api.ResponseError
	if !errors.As(err, &said) || said.RawError {
		return s.stranger()
	}
	why := strings.Join(strings.Fields(strings.Join(said.Errors, "; ")), " ")
	if why == "" || strings.Contains(why, r.secret) || len(why) > 300 {
		why = http.StatusText(said.StatusCode)
	}
	cure := r.cure
	if said.StatusCode != http.StatusBadRequest { // Vault says no more where nothing is mounted
		cure = "see that the way to log in is mounted there: vault auth list" + s.option() + "; then " + cure
	}
	return unreachable("the login at %s%s was refused: %s", place, s.within(), why).WithHint("%s", cure)
}
