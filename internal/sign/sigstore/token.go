package sigstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// tokenVariable is the variable that cosign reads a token from.
const tokenVariable = "SIGSTORE_ID_TOKEN"

// Tokens gets identity tokens from the environment or from the pipeline.
type Tokens struct {
	// LookupEnv reads an environment variable.
	LookupEnv func(string) (string, bool)
	// Env is the variable that holds the token. Default: cosign's, else the pipeline is asked.
	Env string
	// Audience is who the pipeline is asked to make the token for.
	Audience string
	// Pipeline gives its job a token. Nil: none does.
	Pipeline identity.Source
	// Learn is told a token that the environment holds. Default: nobody is.
	Learn func(secrets ...string)
	Now   func() time.Time
}

// token is an identity token as it presents itself: only whoever it is shown to checks what it says.
type token struct {
	shown identity.Token
	says  identity.Claims
	from  string
}

func (t token) String() string { return "the token of " + t.from + ", " + t.says.String() }

// get returns a token that has not expired. It fails with fault.Usage where there is none, and with fault.Unreachable where it cannot
// be had now.
func (t Tokens) get(ctx context.Context) (token, error) {
	const op = "get an identity token"
	found, err := t.find(ctx)
	if err != nil {
		return token{}, fault.Wrap(fault.KindOf(err), op, err)
	}
	if found.says, err = found.shown.Claims(); err != nil {
		return token{}, fault.New(fault.Usage, op, "what %s holds is no token: %w", found.from, err).WithHint("an OpenID Connect token in JWT form is needed")
	}
	if now := t.Now(); !found.says.Expires.IsZero() && now.After(found.says.Expires) {
		return token{}, fault.New(fault.Usage, op, "%s has expired; it is %s now", found, now.UTC().Format(time.RFC3339)).
			WithHint("such tokens live for minutes: get it right before `sluice build`, or let GitHub Actions or Azure Pipelines be asked for a fresh one")
	}
	return found, nil
}

func (t Tokens) find(ctx context.Context) (token, error) {
	if t.Env != "" {
		raw := t.lookup(t.Env)
		if raw == "" {
			return token{}, fault.New(fault.Usage, "", "the environment variable %s of signing.keyless.tokenEnv is not set, or empty", t.Env).
				WithHint("set it where sluice runs, by a step of the pipeline that asks for an OpenID Connect token")
		}
		return t.given(raw, t.Env), nil
	}
	if raw := t.lookup(tokenVariable); raw != "" {
		return t.given(raw, tokenVariable), nil
	}
	if t.Pipeline == nil {
		return token{}, none(identity.ErrAbsent)
	}
	asked, err := t.Pipeline.Token(ctx, t.Audience)
	if errors.Is(err, identity.ErrAbsent) {
		return token{}, none(err)
	}
	return token{shown: asked, from: "the pipeline"}, err
}

func (t Tokens) given(raw, from string) token {
	if t.Learn != nil {
		t.Learn(raw)
	}
	return token{shown: identity.NewToken(raw, time.Time{}), from: from}
}

// none says what was looked for; what is missing where a pipeline was recognised, the pipeline says.
func none(why error) error {
	hint := fault.HintOf(why)
	if hint == "" {
		hint = "set " + tokenVariable + ", or name another variable by signing.keyless.tokenEnv; outside of a pipeline sign with signing.key"
	}
	return fault.New(fault.Usage, "", "there is none: %s is not set, and %w", tokenVariable, why).WithHint("%s", hint)
}

func (t Tokens) lookup(name string) string {
	text, _ := t.LookupEnv(name)
	return strings.TrimSpace(text)
}
