package vault

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/hashicorp/vault/api"

	"github.com/sluice-dev/sluice/internal/variables"
)

// errNothing is Vault's answer where there is nothing.
var errNothing = errors.New("there is nothing")

// refused is Vault's own refusal: what the error of a status is made of.
type refused struct {
	error
	status int
	stale  bool // the token is not, or no longer, known
}

// Unwrap returns what is said of it.
func (r *refused) Unwrap() error { return r.error }

func statusOf(err error) int {
	var r *refused
	if errors.As(err, &r) {
		return r.status
	}
	return 0
}

// ask reads a secret.
func (s *Store) ask(ctx context.Context, path string, parameters url.Values) (answer, error) {
	return s.enquire(ctx, s.place(path), parameters)
}

// enquire reads what is at a place of the engine. A token that ended while it was used is replaced once, where this store has logged in for it.
func (s *Store) enquire(ctx context.Context, place string, parameters url.Values) (answer, error) {
	found, err := s.get(ctx, place, parameters)
	var r *refused
	if errors.As(err, &r) && r.stale && s.login.forget() {
		return s.get(ctx, place, parameters)
	}
	return found, err
}

// get reads what is at a place of the API, logged in. It fails with errNothing where nothing is there.
func (s *Store) get(ctx context.Context, place string, parameters url.Values) (answer, error) {
	if err := s.enter(ctx); err != nil {
		return answer{}, variables.Wide(err)
	}
	var found answer
	err := variables.Patiently(ctx, s.o.Clock, func(ctx context.Context) error {
		inner, cancel := context.WithTimeout(ctx, s.o.AnswerTime)
		defer cancel()
		response, err := s.client.Logical().ReadRawWithDataWithContext(inner, place, parameters)
		if response != nil {
			defer func() { _ = response.Body.Close() }()
		}
		if status := responded(err); err != nil && status != http.StatusNotFound {
			return s.failure(response, err, place)
		}
		found, err = decode(response)
		switch {
		case errors.Is(err, errStranger):
			return s.stranger()
		case err != nil:
			return s.failure(nil, err, place)
		case response.StatusCode != http.StatusNotFound:
			return nil
		case len(found.Data) == 0 || string(found.Data) == "null":
			return errNothing
		}
		return nil // a version that was deleted: Vault tells when
	})
	return found, err
}

// errStranger says that something answers which is no Vault, such as a proxy's page. What it answered is not repeated: it could be anything.
var errStranger = errors.New("what answers is not a Vault")

func decode(response *api.Response) (answer, error) {
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, &url.Error{Op: "Get", Err: err}
	}
	var a answer
	if json.Unmarshal(body, &a) != nil || a.Data == nil && a.Errors == nil {
		return answer{}, errStranger
	}
	return a, nil
}

// responded is the status that the library made an error of, or 0.
func responded(err error) int {
	var answered *api.ResponseError
	if errors.As(err, &answered) {
		return answered.StatusCode
	}
	return 0
}
