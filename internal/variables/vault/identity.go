package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/variables"
)

// identity is the signed token that says who runs this: a given one, or the one that the CI gives to its job.
func (s *Store) identity(ctx context.Context, j v1alpha1.VaultJWT) (string, error) {
	if j.Token != nil {
		return s.credential("signed token", *j.Token)
	}
	if at := s.o.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"); at != "" {
		query := url.Values{}
		if j.Audience != "" {
			query.Set("audience", j.Audience)
		}
		return s.offered(ctx, ci{"GitHub Actions", http.MethodGet, at, query, s.o.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")})
	}
	if at := s.o.Getenv("SYSTEM_OIDCREQUESTURI"); at != "" && s.o.Getenv("SYSTEM_ACCESSTOKEN") != "" {
		return s.offered(ctx, ci{"Azure Pipelines", http.MethodPost, at, url.Values{"api-version": {"7.1"}}, s.o.Getenv("SYSTEM_ACCESSTOKEN")})
	}
	cure := "run within GitHub Actions or Azure Pipelines, or name where a token is with `token`"
	switch {
	case s.o.Getenv("GITHUB_ACTIONS") != "":
		cure = "give the job the right to ask for one: permissions: {id-token: write}"
	case s.o.Getenv("TF_BUILD") != "":
		cure = "hand the job's own token to the step: env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}"
	}
	return "", unreachable("no signed token: neither GitHub Actions nor Azure Pipelines offers one here").WithHint("%s", cure)
}

// ci is where a CI gives a job the token that says which job it is.
type ci struct {
	name, method, address string
	query                 url.Values
	secret                string
}

func (s *Store) offered(ctx context.Context, c ci) (string, error) {
	at, err := url.Parse(c.address)
	if err != nil {
		return "", unreachable("%s offers a signed token at what is no URL", c.name).WithHint("see who changes the CI's own environment variables")
	}
	query := at.Query()
	for key, values := range c.query {
		query[key] = values
	}
	at.RawQuery = query.Encode()
	var token string
	err = variables.Patiently(ctx, s.o.Clock, func(ctx context.Context) error {
		inner, cancel := context.WithTimeout(ctx, s.o.AnswerTime)
		defer cancel()
		token, err = c.ask(inner, at.String())
		return err
	})
	return token, err
}

// ask repeats nothing of an answer: it may be the token.
func (c ci) ask(ctx context.Context, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, address, http.NoBody)
	if err != nil {
		return "", unreachable("%s offers a signed token at what is no URL", c.name)
	}
	request.Header.Set("Authorization", "Bearer "+c.secret)
	request.Header.Set("Accept", "application/json")
	// Otherwise Azure DevOps shows a page to sign in to whom it does not know.
	request.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	// Not the client of the store: the CI's certificate is not of the authority that signs Vault's.
	response, err := (&http.Client{Transport: bounded{http.DefaultTransport}}).Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return "", later(0, unreachable("the token service of %s does not answer: %w", c.name, err).WithHint("run the job again: nothing was changed"))
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		GitHub string `json:"value"`
		Azure  string `json:"oidcToken"`
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	switch {
	case response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= http.StatusInternalServerError:
		return "", later(0, unreachable("the token service of %s answered %d", c.name, response.StatusCode).WithHint("run the job again: nothing was changed"))
	case response.StatusCode != http.StatusOK || err != nil || answer.GitHub+answer.Azure == "":
		return "", unreachable("the token service of %s answered %d, and gave no token", c.name, response.StatusCode).
			WithHint("see whether the job may ask for one: `permissions: {id-token: write}` in GitHub Actions, SYSTEM_ACCESSTOKEN in the step's env in Azure Pipelines")
	}
	return answer.GitHub + answer.Azure, nil
}
