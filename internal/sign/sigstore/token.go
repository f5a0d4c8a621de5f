package sigstore

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Variables that say who a job is, or where that is asked.
const (
	tokenVariable       = "SIGSTORE_ID_TOKEN"
	githubURLVariable   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	githubTokenVariable = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
	azureURLVariable    = "SYSTEM_OIDCREQUESTURI"
	azureTokenVariable  = "SYSTEM_ACCESSTOKEN"
)

// Tokens gets identity tokens from where a pipeline offers them.
type Tokens struct {
	// LookupEnv reads an environment variable.
	LookupEnv func(string) (string, bool)
	// Env is the variable that holds the token. Default: what is offered is looked for.
	Env string
	// Audience is who GitHub is asked to make the token for.
	Audience string
	Patience Patience
	Now      func() time.Time
}

// token is an identity token as it presents itself: only whoever it is shown to checks what it says.
type token struct {
	raw, from       string
	issuer, subject string
	audience        []string
	expires         time.Time
}

func (t token) String() string {
	text := "the token of " + t.from + ", by issuer " + t.issuer + " for subject " + t.subject + " and audience " + strings.Join(t.audience, ", ")
	if !t.expires.IsZero() {
		text += ", valid until " + t.expires.UTC().Format(time.RFC3339)
	}
	return text
}

// get returns a token that has not expired. It fails with fault.Usage where there is none, and with fault.Unreachable where it cannot
// be had now.
func (t Tokens) get(ctx context.Context) (token, error) {
	const op = "get an identity token"
	raw, from, err := t.raw(ctx)
	if err != nil {
		return token{}, fault.Wrap(fault.KindOf(err), op, err)
	}
	found, err := parseToken(raw)
	if err != nil {
		// What is no token may be another secret by mistake, so it is not quoted.
		return token{}, fault.New(fault.Usage, op, "what %s holds is no token: %w", from, err).WithHint("an OpenID Connect token in JWT form is needed")
	}
	found.from = from
	if now := t.Now(); !found.expires.IsZero() && now.After(found.expires) {
		return token{}, fault.New(fault.Usage, op, "%s has expired; it is %s now", found, now.UTC().Format(time.RFC3339)).
			WithHint("such tokens live for minutes: get it right before `sluice build`, or let GitHub Actions or Azure Pipelines be asked for a fresh one")
	}
	return found, nil
}

func (t Tokens) raw(ctx context.Context) (raw, from string, err error) {
	if t.Env != "" {
		raw = t.lookup(t.Env)
		if raw == "" {
			return "", "", fault.New(fault.Usage, "", "the environment variable %s of signing.keyless.tokenEnv is not set, or empty", t.Env).
				WithHint("set it where sluice runs, by a step of the pipeline that asks for an OpenID Connect token")
		}
		return raw, t.Env, nil
	}
	if raw = t.lookup(tokenVariable); raw != "" {
		return raw, tokenVariable, nil
	}
	if address, secret := t.lookup(githubURLVariable), t.lookup(githubTokenVariable); address != "" && secret != "" {
		raw, err = t.github(ctx, address, secret)
		return raw, "GitHub Actions", err
	}
	if address, secret := t.lookup(azureURLVariable), t.lookup(azureTokenVariable); address != "" && secret != "" {
		raw, err = t.azure(ctx, address, secret)
		return raw, "Azure Pipelines", err
	}
	return "", "", t.none()
}

// none says what was looked for, and what is missing where a pipeline was recognised.
func (t Tokens) none() error {
	hint := "set " + tokenVariable + ", or name another variable by signing.keyless.tokenEnv; outside of a pipeline sign with signing.key"
	switch {
	case t.lookup("GITHUB_ACTIONS") == "true":
		hint = "give the job the permission to ask for a token: `permissions: {id-token: write}` in the workflow"
	case t.lookup("TF_BUILD") != "":
		hint = "hand the job's own token to the step: `env: {SYSTEM_ACCESSTOKEN: $(System.AccessToken)}`"
	}
	return fault.New(fault.Usage, "", "there is none: %s is not set, nor %s with %s (GitHub Actions), nor %s with %s (Azure Pipelines)",
		tokenVariable, githubURLVariable, githubTokenVariable, azureURLVariable, azureTokenVariable).WithHint("%s", hint)
}

func (t Tokens) lookup(name string) string {
	text, _ := t.LookupEnv(name)
	return strings.TrimSpace(text)
}

func (t Tokens) github(ctx context.Context, address, secret string) (string, error) {
	var answer struct {
		Value string `json:"value"`
	}
	err := t.ask(ctx, "GitHub Actions", http.MethodGet, address, url.Values{"audience": {t.Audience}}, secret, &answer)
	return answer.Value, err
}

func (t Tokens) azure(ctx context.Context, address, secret string) (string, error) {
	var answer struct {
		Value string `json:"oidcToken"`
	}
	err := t.ask(ctx, "Azure Pipelines", http.MethodPost, address, url.Values{"api-version": {"7.1"}}, secret, &answer)
	return answer.Value, err
}

func (t Tokens) ask(ctx context.Context, name, method, address string, query url.Values, secret string, answer any) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return fault.New(fault.Usage, "", "%s offers no token at %q, which is no URL", name, address)
	}
	all := u.Query()
	for key, values := range query {
		all[key] = values
	}
	u.RawQuery = all.Encode()
	request, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err != nil {
		return fault.Wrap(fault.Usage, "", err)
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	request.Header.Set("Accept", "application/json")
	// Azure DevOps otherwise sends those whose token it does not take to a page where people sign in.
	request.Header.Set("X-TFS-FedAuthRedirect", "Suppress")
	response, err := t.Patience.client(ctx, "the token service of "+name, secret).Do(request)
	if err != nil {
		return fault.Wrap(fault.KindOf(err), "", unwrapURL(err))
	}
	defer response.Body.Close()
	// What answers may hold the token, so it is not quoted.
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fault.New(fault.Unreachable, "", "the token service of %s answered something that is no token", name)
	}
	return nil
}

// parseToken reads what a token says of itself.
func parseToken(raw string) (token, error) {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return token{}, fmt.Errorf("it has %d parts between dots, not 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return token{}, fmt.Errorf("its second part is not in base64url")
	}
	var claims struct {
		Issuer   string          `json:"iss"`
		Subject  string          `json:"sub"`
		Audience json.RawMessage `json:"aud"`
		Expires  float64         `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return token{}, fmt.Errorf("its second part holds no claims")
	}
	t := token{raw: raw, issuer: claims.Issuer, subject: claims.Subject}
	if claims.Expires > 0 {
		t.expires = time.Unix(int64(claims.Expires), 0)
	}
	var one string
	if json.Unmarshal(claims.Audience, &one) == nil {
		t.audience = []string{one}
	} else if len(claims.Audience) > 0 && json.Unmarshal(claims.Audience, &t.audience) != nil {
		return token{}, fmt.Errorf("it names no audience that can be read")
	}
	return t, nil
}
