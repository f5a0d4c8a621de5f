// Package azure signs in to Entra ID as whoever this run is, by one chain of ways in a fixed order; it must not know what is asked of Azure, nor try somebody else where an identity that was named is refused.
package azure

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

const (
	// early is how long before its end a token is replaced; one that lives for less than twice as long, at half of its life.
	early = 5 * time.Minute
	// pause is how long it takes after a failure until the same is tried again.
	pause = 30 * time.Second
)

// Pipeline is who vouches for a job of a pipeline; see identity/pipeline.
type Pipeline interface {
	// System names the pipeline that gives tokens to this job; "" where none does.
	System() string
	// Cure is what a job of a pipeline lacks to be given tokens; "" outside of a pipeline.
	Cure() string
	// Connection is the source of tokens for a service connection of Azure Pipelines, "" for the pipeline itself.
	Connection(id string) identity.Source
}

// Options are what a Chain needs. What the libraries below read of the environment themselves, such as IDENTITY_ENDPOINT, is not among them.
type Options struct {
	// LookupEnv reads an environment variable. Default: the process's.
	LookupEnv func(name string) (string, bool)
	// ReadFile reads a certificate, or the token of a service account. Default: os.ReadFile.
	ReadFile func(path string) ([]byte, error)
	// Pipeline gives this job its token. Nil: no pipeline does.
	Pipeline Pipeline
	// Transport sends requests to Entra ID. Default: Go's own client, which honours the proxy of the environment.
	Transport policy.Transporter
	// Metadata asks the machine for its identity. Default: a client that uses no proxy.
	Metadata policy.Transporter
	// Retry is how requests that failed are repeated. Default: twice, within a few seconds.
	Retry policy.RetryOptions
	// Learn is told every token that is given, and every secret that is used. Default: nobody is.
	Learn func(secrets ...string)
	Now   func() time.Time
}

// Chain is one identity: whoever it signed in as first, for all audiences and for as long as the run lasts.
type Chain struct {
	o Options
	// turn is taken by who signs in; a channel, so that nobody waits longer than its context.
	turn chan struct{}

	mu       sync.Mutex
	tokens   map[question]answer
	attempts []identity.Attempt
	// chosen is the way that led to a token, nil as long as none did.
	chosen *way
}

var (
	_ identity.Source        = (*Chain)(nil)
	_ azcore.TokenCredential = (*Chain)(nil)
)

// question is what a token is asked for; answer what was given.
type question struct {
	scopes, tenant string
	revocable      bool
}

type answer struct {
	token azcore.AccessToken
	err   error
	// again is when it is asked anew.
	again time.Time
}

// New asks nobody yet.
func New(o Options) *Chain {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.ReadFile == nil {
		o.ReadFile = os.ReadFile
	}
	if o.Transport == nil {
		o.Transport = http.DefaultClient
	}
	if o.Metadata == nil {
		o.Metadata = direct()
	}
	if o.Learn == nil {
		o.Learn = func(...string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Retry.MaxRetries == 0 {
		o.Retry.MaxRetries = 2
	}
	return &Chain{o: o, turn: make(chan struct{}, 1), tokens: map[question]answer{}}
}

// Attempts are the ways that were tried so far, or could not be, in their order; none before the first token was asked for.
func (c *Chain) Attempts() []identity.Attempt {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]identity.Attempt(nil), c.attempts...)
}

// Token signs in for a scope, such as https://vault.azure.net/.default. It fails with fault.Usage where AZURE_AUTHORITY_HOST is no address.
func (c *Chain) Token(ctx context.Context, audience string) (identity.Token, error) {
	token, err := c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{audience}})
	if err != nil {
		return identity.Token{}, err
	}
	return identity.NewToken(token.Token, token.ExpiresOn), nil
}

// GetToken is Token for the clients of the SDK. A token is kept until shortly before its end; one that cannot be replaced then is used
// until its end. What failed is not tried again for 30 s.
func (c *Chain) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	const op = "sign in to Azure"
	q := question{strings.Join(o.Scopes, " "), o.TenantID, o.EnableCAE}
	if known, ok := c.known(q, o); ok {
		return known.token, known.err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return azcore.AccessToken{}, c.over(ctx, op)
	}
	if known, ok := c.known(q, o); ok {
		return known.token, known.err
	}
	if ctx.Err() != nil {
		return azcore.AccessToken{}, c.over(ctx, op)
	}
	token, err := c.signIn(ctx, o)
	if err != nil && ctx.Err() != nil {
		return azcore.AccessToken{}, c.over(ctx, op)
	}
	return c.keep(q, o, token, err)
}

// over is why nobody waits any more.
func (c *Chain) over(ctx context.Context, op string) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fault.Wrap(fault.Interrupted, op, ctx.Err())
	}
	return fault.New(fault.Unreachable, op, "it took too long: %w", ctx.Err()).WithHint("check the network and the proxy between here and %s", c.authority())
}

// known is what was answered before. Claims are a service's demand for a new token.
func (c *Chain) known(q question, o policy.TokenRequestOptions) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.tokens[q]
	return a, ok && o.Claims == "" && c.o.Now().Before(a.again)
}

func (c *Chain) keep(q question, o policy.TokenRequestOptions, token azcore.AccessToken, err error) (azcore.AccessToken, error) {
	now := c.o.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.tokens[q]
	if err != nil && o.Claims == "" && before.err == nil && now.Before(before.token.ExpiresOn) {
		c.tokens[q] = answer{token: before.token, again: now.Add(min(pause, before.token.ExpiresOn.Sub(now)))}
		return before.token, nil
	}
	a := answer{token: token, err: err, again: now.Add(pause)}
	if err == nil {
		c.o.Learn(token.Token)
		left := token.ExpiresOn.Sub(now)
		a.again = token.ExpiresOn.Add(-min(early, left/2))
		if !token.RefreshOn.IsZero() && token.RefreshOn.Before(a.again) {
			a.again = token.RefreshOn
		}
	}
	c.tokens[q] = a
	return a.token, a.err
}

// signIn asks the way that was chosen, or chooses one.
func (c *Chain) signIn(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if host := c.authority(); !isAuthority(host) {
		return azcore.AccessToken{}, fault.New(fault.Usage, "sign in to Azure", "AZURE_AUTHORITY_HOST is no address with https").
			WithHint("leave it out for the public cloud; otherwise it is, for example, https://login.microsoftonline.us")
	}
	c.mu.Lock()
	chosen, attempts := c.chosen, c.attempts
	c.mu.Unlock()
	if chosen != nil {
		token, made := chosen.try(ctx, o)
		attempts = append(append([]identity.Attempt(nil), attempts[:len(attempts)-1]...), made)
		c.tell(attempts, chosen)
		if made.Err != nil {
			return token, failed(&identity.Failure{Attempts: attempts, Decided: "this run has signed in by it before, so no other way is tried"})
		}
		return token, nil
	}
	return c.choose(ctx, o)
}

// choose tries the ways in their order. After a way that failed only those are tried that prove the same identity by other means.
func (c *Chain) choose(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	f := &identity.Failure{}
	var refused *way
	for _, w := range c.ways() {
		if refused != nil && !w.proves(refused) {
			f.Decided = "the ways after " + refused.name + " would be somebody else, or prove it no better, so they are not tried"
			continue
		}
		token, made := w.try(ctx, o)
		if ctx.Err() != nil && made.Err != nil {
			c.tell(append(f.Attempts, made), nil)
			return azcore.AccessToken{}, ctx.Err()
		}
		f.Attempts = append(f.Attempts, made)
		switch {
		case made.Worked():
			c.tell(f.Attempts, w)
			return token, nil
		case made.Err != nil:
			refused = w
		}
	}
	c.tell(f.Attempts, nil)
	return azcore.AccessToken{}, failed(f)
}

func (c *Chain) tell(attempts []identity.Attempt, chosen *way) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts, c.chosen = attempts, chosen
}

func failed(f *identity.Failure) error {
	return identity.Failed("sign in to Azure", "sign in with `az login`, or give the run a federated or managed identity", f)
}

func (c *Chain) lookup(name string) string {
	text, _ := c.o.LookupEnv(name)
	return strings.TrimSpace(text)
}
