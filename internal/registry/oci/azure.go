package oci

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

const (
	// azureUser is who a refresh token of an Azure registry is used as where a user is needed.
	azureUser = "00000000-0000-0000-0000-000000000000"
	// azureAudience is whom a token of Entra ID is for that is exchanged for one of a registry. It is taken whether or not a registry also
	// takes those that are for the resource manager.
	azureAudience = "https://containerregistry.azure.net/.default"
	// early is how long before its end a refresh token is replaced.
	early = 5 * time.Minute
	// unsaid is how long a refresh token is used that does not say when it ends; they live for three hours.
	unsaid = time.Hour
	// failing is how long it takes after a failure until an exchange is tried again: one pull asks for many things.
	failing = 30 * time.Second
	// largest bounds what is read of an answer in bytes.
	largest = 1 << 20
)

// isAzure says whether a host is a registry of Azure, of its public or a sovereign cloud.
func isAzure(host string) bool {
	host = strings.ToLower(host)
	return strings.HasSuffix(host, ".azurecr.io") || strings.HasSuffix(host, ".azurecr.cn") || strings.HasSuffix(host, ".azurecr.us")
}

// azure exchanges tokens of Entra ID for refresh tokens of its registries, with which they give access tokens as all registries do.
type azure struct {
	source  identity.Source
	serves  func(host string) bool
	client  *http.Client
	secrets *variables.Masker
	now     func() time.Time

	mu   sync.Mutex
	lent map[string]*exchanged
}

// loan is a refresh token, and what the token said that was exchanged for it.
type loan struct {
	token identity.Token
	who   identity.Claims
}

// exchanged is what an exchange with a registry gave.
type exchanged struct {
	// turn is taken by who exchanges; a channel, so that nobody waits longer than its context.
	turn chan struct{}
	loan loan
	err  error
	// again is when it is exchanged anew.
	again time.Time
}

func newAzure(o Options, next http.RoundTripper) *azure {
	backoff := o.Backoff
	backoff.Steps = min(backoff.Steps, 3)
	retrying := transport.NewRetry(rewound{next}, transport.WithRetryBackoff(backoff), transport.WithRetryPredicate(isPassing),
		transport.WithRetryStatusCodes(passingStatus()...))
	return &azure{
		source: o.Identity, serves: o.Azure, secrets: o.Secrets, now: o.Now, lent: map[string]*exchanged{},
		client: &http.Client{Transport: retrying, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// rewound gives a request that is sent again its body from the beginning.
type rewound struct{ next http.RoundTripper }

func (w rewound) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	again := r.Clone(r.Context())
	again.Body = body
	return w.next.RoundTrip(again)
}

// borrow gives a refresh token of a registry, which is good for some minutes yet.
func (a *azure) borrow(ctx context.Context, host string) (loan, error) {
	e := a.of(host)
	select {
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return loan{}, ctx.Err()
	}
	now := a.now()
	if now.Before(e.again) {
		return e.loan, e.err
	}
	next, err := a.exchange(ctx, host)
	switch ends := e.loan.token.Expires; {
	case err != nil && ctx.Err() != nil:
		return loan{}, ctx.Err()
	case err != nil && e.err == nil && now.Before(ends):
		e.again = now.Add(min(failing, ends.Sub(now)))
	case err != nil:
		e.loan, e.err, e.again = loan{}, err, now.Add(failing)
	default:
		e.loan, e.err = next, nil
		e.again = next.token.Expires.Add(-min(early, next.token.Expires.Sub(now)/2))
	}
	return e.loan, e.err
}

func (a *azure) of(host string) *exchanged {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lent[host] == nil {
		a.lent[host] = &exchanged{turn: make(chan struct{}, 1)}
	}
	return a.lent[host]
}

// exchange is POST /oauth2/exchange, as https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md describes it.
func (a *azure) exchange(ctx context.Context, host string) (loan, error) {
	shown, err := a.source.Token(ctx, azureAudience)
	if err != nil {
		return loan{}, err
	}
	form := url.Values{"grant_type": {"access_token"}, "service": {host}, "access_token": {shown.Reveal()}}
	// What cannot be read is for the registry to judge.
	who, err := shown.Claims()
	if err == nil && who.Tenant != "" {
		form.Set("tenant", who.Tenant)
	}
	token, err := a.post(ctx, host, form)
	if err != nil {
		return loan{}, err
	}
	a.secrets.Add(token.Reveal())
	token.Expires = a.now().Add(unsaid)
	if says, err := token.Claims(); err == nil && !says.Expires.IsZero() {
		token.Expires = says.Expires
	}
	return loan{token, who}, nil
}

// post repeats nothing of an answer: it may be the token.
func (a *azure) post(ctx context.Context, host string, form url.Values) (identity.Token, error) {
	op := "exchange the token of Entra ID for one of " + host
	registry, err := name.NewRegistry(host, nameOptions(host)...)
	if err != nil {
		return identity.Token{}, fault.Wrap(fault.Usage, op, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, registry.Scheme()+"://"+host+"/oauth2/exchange", strings.NewReader(form.Encode()))
	if err != nil {
		return identity.Token{}, fault.Wrap(fault.Usage, op, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := a.client.Do(request)
	if err != nil {
		return identity.Token{}, fault.New(fault.Unreachable, op, "%w", shorten(err)).WithHint("%s", reachHint(host, err))
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct {
		Token string `json:"refresh_token"`
	}
	err = json.NewDecoder(io.LimitReader(response.Body, largest)).Decode(&answer)
	switch {
	case response.StatusCode == http.StatusUnauthorized, response.StatusCode == http.StatusForbidden:
		return identity.Token{}, fault.New(fault.Unreachable, op, "it does not know the identity: it answered %s", response.Status).
			WithHint("grant it a role there, and see that it is of the registry's tenant")
	case response.StatusCode != http.StatusOK || err != nil || answer.Token == "":
		return identity.Token{}, fault.New(fault.Unreachable, op, "it answered %s, and gave no token", response.Status).
			WithHint("see that %s is a registry of Azure: az acr show --name %s --query loginServer", host, registryName(host))
	}
	return identity.NewToken(answer.Token, time.Time{}), nil
}

// registryName is what a registry is called in Azure.
func registryName(host string) string {
	first, _, _ := strings.Cut(host, ".")
	return first
}

// lent are the credentials that a run is lent for as whom it is.
type lent struct {
	keys *keychain
	host string
}

// Authorization is AuthorizationContext for those who have no context.
func (l *lent) Authorization() (*authn.AuthConfig, error) {
	return l.AuthorizationContext(context.Background())
}

// AuthorizationContext asks for them. Where there are none the registry may still let anybody in; if it does not, its refusal says why
// there were none.
func (l *lent) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	found, err := l.keys.azure.borrow(ctx, l.host)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, err
	case err != nil:
		l.keys.show(l.host, tried{"none, for `docker login` keeps none, and as the identity of this run: " + err.Error(), fault.HintOf(err)})
		return &authn.AuthConfig{}, nil
	}
	l.keys.show(l.host, asWhom(l.host, found.who))
	return &authn.AuthConfig{IdentityToken: found.token.Reveal()}, nil
}

// asWhom says as whom a registry was asked, and what to do where that is not enough.
func asWhom(host string, who identity.Claims) tried {
	t, object := tried{with: "those of the identity of this run"}, "OBJECT-ID"
	// It goes into a command that a person may paste.
	if regexp.MustCompile(`^[0-9A-Za-z-]+$`).MatchString(who.Object) {
		object = who.Object
		t.with += ", " + object + " of tenant " + who.Tenant
	}
	t.hint = "or grant the identity of this run a role: az role assignment create --role AcrPush --assignee " + object +
		" --scope \"$(az acr show --name " + registryName(host) + " --query id -o tsv)\""
	return t
}
