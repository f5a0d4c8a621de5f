package vault

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func unreachable(format string, args ...any) *fault.Error {
	return fault.New(fault.Unreachable, "", format, args...)
}

// later marks what may pass by itself. It concerns all that the server is asked.
func later(after time.Duration, err error) error {
	return &variables.Later{After: after, Err: variables.Wide(err)}
}

// stranger says that something else answers in Vault's place.
func (s *Store) stranger() error {
	return variables.Wide(unreachable("%s does not answer as Vault does", s.at.Address).
		WithHint("check the address, and whether a proxy or a sign-in page answers in its place: curl -i %s/v1/sys/health", s.at.Address))
}

// failure says for people why a place of the API was not read, and what to do. It repeats no text of the answer: it could be anything.
func (s *Store) failure(response *api.Response, err error, place string) error {
	var answered *api.ResponseError
	if errors.As(err, &answered) {
		return s.answered(response, answered, place)
	}
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	} else if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, new(net.Error)) {
		return s.stranger()
	}
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return variables.Wide(unreachable("there is no host %s", dns.Name).WithHint("check `address`, and whether it is known outside of its network"))
	case errors.As(err, &certificate):
		return variables.Wide(unreachable("the certificate of %s is not trusted: %w", s.at.Address, err).
			WithHint("name the file with the certificates of its authority as `caFile`"))
	default:
		return later(0, unreachable("%s does not answer: %w", s.at.Address, err).
			WithHint("check the network, the proxy and whether the server runs: curl -i %s/v1/sys/health; then run the command again: nothing was changed", s.at.Address))
	}
}

func (s *Store) answered(response *api.Response, said *api.ResponseError, place string) error {
	var after time.Duration
	if response != nil {
		after = variables.RetryAfter(response.Header.Get("Retry-After"), s.o.Clock.Now())
	}
	switch {
	case said.StatusCode == http.StatusTooManyRequests:
		return later(after, unreachable("%s is throttled: a quota takes no more requests for now", s.at.Address).
			WithHint("wait some seconds and run the command again; quotas are listed by vault list sys/quotas/rate-limit%s", s.option()))
	case said.RawError && said.StatusCode < http.StatusInternalServerError:
		return s.stranger()
	case has(said, "Vault is sealed"), has(said, "OpenBao is sealed"):
		return variables.Wide(unreachable("%s is sealed", s.at.Address).
			WithHint("somebody who has a key unseals it: vault operator unseal -address=%s", s.at.Address))
	case said.StatusCode >= http.StatusInternalServerError || said.StatusCode == http.StatusPreconditionFailed || said.StatusCode == http.StatusRequestTimeout:
		return later(after, unreachable("%s answered %d", s.at.Address, said.StatusCode).
			WithHint("look at the server's log and at vault status -address=%s; then run the command again: nothing was changed", s.at.Address))
	case said.StatusCode == http.StatusForbidden && (has(said, "invalid token") || has(said, "bad token")):
		return variables.Wide(&refused{unreachable("%s does not know the token: it has expired, or was revoked, or is of another server%s", s.at.Address, s.within()).
			WithHint("%s", s.freshToken()), said.StatusCode, true})
	case said.StatusCode == http.StatusForbidden:
		return &refused{unreachable("forbidden: the token's policies do not let it read %s%s", place, s.within()).
			WithHint("check mount and path; then let a policy of %s hold: path %q { capabilities = [\"read\"] }", s.who(), s.granted(place)), said.StatusCode, false}
	default:
		return unreachable("%s answered %d to the question for %s", s.at.Address, said.StatusCode, place).
			WithHint("ask the same with vault read -address=%s %s", s.at.Address, place)
	}
}

func has(said *api.ResponseError, text string) bool {
	return strings.Contains(strings.Join(said.Errors, "\n"), text)
}

// granted is the path of the policy that would be enough for a place and its like.
func (s *Store) granted(place string) string {
	allowed := s.place(s.at.Path)
	if strings.HasPrefix(place, s.at.Mount+"/metadata/") {
		allowed = s.listing(s.at.Path)
	}
	if s.at.Key == "" {
		return allowed
	}
	return allowed + "/*"
}

// option is what the vault command needs to find the namespace.
func (s *Store) option() string {
	if s.at.Namespace == "" {
		return ""
	}
	return " -namespace=" + s.at.Namespace
}

func (s *Store) within() string {
	if s.at.Namespace == "" {
		return ""
	}
	return " in namespace " + s.at.Namespace
}

// cli is a command about a secret, for people.
func (s *Store) cli(verb, path string, options ...string) string {
	return strings.Join(append([]string{"vault kv " + verb + s.option() + " -mount=" + s.at.Mount}, append(options, path)...), " ")
}

func (s *Store) metadata(path string) string {
	return fmt.Sprintf("vault kv metadata patch%s -mount=%s %s", s.option(), s.at.Mount, path)
}
