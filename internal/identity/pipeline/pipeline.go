// Package pipeline gets the ID token that GitHub Actions or Azure Pipelines gives to its job; it must not know whom the token is shown to, nor repeat anything of an answer.
package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Variables by which the pipelines say where a job asks who it is, and with what.
const (
	githubURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	azureURL    = "SYSTEM_OIDCREQUESTURI"
	azureToken  = "SYSTEM_ACCESSTOKEN"
)

// The pipelines, for people.
const (
	GitHub = "GitHub Actions"
	Azure  = "Azure Pipelines"
)

const (
	// answerTime bounds one attempt.
	answerTime = 15 * time.Second
	// largest bounds what is read of an answer in bytes.
	largest = 1 << 20
)

// Options are what Tokens need. The zero value asks nobody.
type Options struct {
	// LookupEnv reads an environment variable.
	LookupEnv func(name string) (string, bool)
	// Clock counts the pauses between attempts. Default: the machine's.
	Clock variables.Clock
	// AnswerTime is how long one attempt may take. Default: 15 s.
	AnswerTime time.Duration
	// Learn is told every token that is given. Default: nobody is.
	Learn func(secrets ...string)
}

// Tokens are the ID tokens of this job. Each is asked for anew: they live for minutes.
type Tokens struct {
	o          Options
	connection string
}

var _ identity.Source = (*Tokens)(nil)

// New asks nothing yet.
func New(o Options) *Tokens {
	if o.LookupEnv == nil {
		o.LookupEnv = func(string) (string, bool) { return "", false }
	}
	if o.Clock == nil {
		o.Clock = variables.SystemClock{}
	}
	if o.AnswerTime == 0 {
		o.AnswerTime = answerTime
	}
	if o.Learn == nil {
		o.Learn = func(...string) {}
	}
	return &Tokens{o: o}
}

// Connection are the tokens for a service connection of Azure Pipelines, whose subject names it. GitHub Actions knows no such thing.
func (t *Tokens) Connection(id string) identity.Source { return &Tokens{o: t.o, connection: id} }

// offer is where a pipeline gives its job a token.
type offer struct {
	name, method, variable, address string
	query                           url.Values
	secret                          string
}

// System names the pipeline that gives tokens to this job, GitHub or Azure; "" where none does.
func (t *Tokens) System() string {
	if o, ok := t.offer(""); ok {
		return o.name
	}
	return ""
}

func (t *Tokens) offer(audience string) (offer, bool) {
	if at, secret := t.lookup(githubURL), t.lookup(githubToken); at != "" && secret != "" {
		query := url.Values{}
		if audience != "" {
			query.Set("audience", audience)
		}
		return offer{GitHub, http.MethodGet, githubURL, at, query, secret}, true
	}
	if at, secret := t.lookup(azureURL), t.lookup(azureToken); at != "" && secret != "" {
		query := url.Values{"api-version": {"7.1"}}
		if t.connection != "" {
			query.Set("serviceConnectionId", t.connection)
		}
		return offer{Azure, http.MethodPost, azureURL, at, query, secret}, true
	}
	return offer{}, false
}

func (t *Tokens) lookup(name string) string {
	text, _ := t.o.LookupEnv(name)
	return strings.TrimSpace(text)
}

// Cure is what a job of a pipeline lacks to be given tokens; "" outside of a pipeline.
func (t *Tokens) Cure() string {
	switch {
	case t.lookup("GITHUB_ACTIONS") == "true":
		return "give the job the permission to ask for a token: `permissions: {id-token: write}` in the workflow"
	case t.lookup("TF_BUILD") != "":
		return "hand the job's own token to the step: `env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}`"
	}
	return ""
}

// Token asks the pipeline. Azure Pipelines makes its tokens for api://AzureADTokenExchange, whatever the audience is.
//
// It fails with identity.ErrAbsent where no pipeline gives tokens here, with fault.Usage where it says to ask at what is no URL, and
// with fault.Unreachable where it gives none, the last after bounded retries where that may pass.
func (t *Tokens) Token(ctx context.Context, audience string) (identity.Token, error) {
	const op = "get the pipeline's ID token"
	o, ok := t.offer(audience)
	if !ok {
		return identity.Token{}, fault.New(fault.Unreachable, op, "%w: neither %s with %s (%s) nor %s with %s (%s) is set",
			identity.ErrAbsent, githubURL, githubToken, GitHub, azureURL, azureToken, Azure).WithHint("%s", t.Cure())
	}
	at, err := url.Parse(o.address)
	if err != nil || at.Host == "" {
		return identity.Token{}, fault.New(fault.Usage, op, "%s says by %s where it gives tokens, and that is no URL", o.name, o.variable).
			WithHint("see which step changes the pipeline's own environment variables")
	}
	query := at.Query()
	for key, values := range o.query {
		query[key] = values
	}
	at.RawQuery = query.Encode()
	var raw string
	err = variables.Patiently(ctx, t.o.Clock, func(ctx context.Context) error {
		raw, err = t.ask(ctx, o, at)
		return err
	})
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return identity.Token{}, fault.Wrap(fault.Interrupted, op, ctx.Err())
	case errors.As(err, new(*variables.Later)):
		// It was asked again already: whoever is patient above need not be.
		return identity.Token{}, fault.New(fault.KindOf(err), op, "%s", err.Error()).WithHint("%s", fault.HintOf(err))
	case err != nil:
		return identity.Token{}, fault.Wrap(fault.KindOf(err), op, err)
	}
	t.o.Learn(raw)
	token := identity.NewToken(raw, time.Time{})
	// What cannot be read is for whoever it is shown to.
	if says, err := token.Claims(); err == nil {
		token.Expires = says.Expires
	}
	return token, nil
}

// ask asks once. It repeats nothing of an answer: it may be the token.
func (t *Tokens) ask(ctx context.Context, o offer, at *url.URL) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, t.o.AnswerTime)
	defer cancel()
	where := "the token service of " + o.name + " at " + at.Scheme + "://" + at.Host
	request, err := http.NewRequestWithContext(ctx, o.method, at.String(), http.NoBody)
	if err != nil {
		return "", fault.New(fault.Usage, "", "%s cannot be asked", where)
	}
	request.Header.Set("Authorization", "Bearer "+o.secret)
	request.Header.Set("Accept", "application/json")
	// Azure DevOps otherwise sends those whose token it does not take to a page where people sign in.
	request.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return "", later(0, fault.New(fault.Unreachable, "", "%s does not answer: %w", where, err))
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		GitHub string `json:"value"`
		Azure  string `json:"oidcToken"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, largest)).Decode(&answer)
	switch raw := strings.TrimSpace(answer.GitHub + answer.Azure); {
	case response.StatusCode == http.StatusTooManyRequests || response.StatusCode >= http.StatusInternalServerError:
		return "", later(variables.RetryAfter(response.Header.Get("Retry-After"), t.o.Clock.Now()),
			fault.New(fault.Unreachable, "", "%s answered %s", where, response.Status))
	case response.StatusCode != http.StatusOK || err != nil || raw == "":
		return "", fault.New(fault.Unreachable, "", "%s answered %s, and gave no token", where, response.Status).
			WithHint("see whether the job may ask for one: `permissions: {id-token: write}` in GitHub Actions, SYSTEM_ACCESSTOKEN in the step's env in Azure Pipelines")
	default:
		return raw, nil
	}
}

func later(after time.Duration, err *fault.Error) error {
	return &variables.Later{After: after, Err: err.WithHint("run the job again: nothing was changed")}
}
