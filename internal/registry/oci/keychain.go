package oci

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// keychain finds the credentials for a registry: those that Docker and its helpers keep, else for Azure's the identity of this run, else
// none. It makes those that it finds known as secrets, and says of a failure that it was about credentials.
type keychain struct {
	next    authn.Keychain
	secrets *variables.Masker
	azure   *azure

	mu sync.Mutex
	// shown are the credentials that each registry was last asked with.
	shown map[string]tried
}

// tried is which credentials a registry was asked with.
type tried struct {
	// with are they, for people; "" where none was looked for yet.
	with string
	// hint is what to do so that there are better ones; "" where nothing special is.
	hint string
}

// String completes "refuses the credentials".
func (t tried) String() string {
	if t.with == "" {
		return ""
	}
	return " (tried: " + t.with + ")"
}

// cure completes a sentence.
func (t tried) cure() string {
	if t.hint == "" {
		return ""
	}
	return "; " + t.hint
}

func newKeychain(o Options, transport http.RoundTripper) *keychain {
	k := &keychain{next: o.Keychain, secrets: o.Secrets, shown: map[string]tried{}}
	if o.Identity != nil {
		k.azure = newAzure(o, transport)
	}
	return k
}

// Resolve is ResolveContext for those who have no context.
func (k *keychain) Resolve(target authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), target)
}

// ResolveContext finds the credentials for a registry. Those of Azure are asked for when they are used.
func (k *keychain) ResolveContext(ctx context.Context, target authn.Resource) (authn.Authenticator, error) {
	host := target.RegistryStr()
	found, err := authn.Resolve(ctx, k.next, target)
	if err != nil {
		return nil, fault.New(fault.Unreachable, "find the credentials for "+host, "%w", err).
			WithHint("repair what `docker login` keeps (config.json in $DOCKER_CONFIG, else ~/.docker), or log in anew")
	}
	if found == authn.Anonymous {
		k.show(host, tried{with: "none, for `docker login` keeps none"})
		if k.azure != nil && k.azure.serves(host) {
			return &lent{k, host}, nil
		}
		return found, nil
	}
	with := tried{with: "those that `docker login` or a credential helper keeps"}
	// What cannot be read is found out by who sends it.
	if auth, err := authn.Authorization(ctx, found); err == nil {
		k.secrets.Add(auth.Password, auth.Auth, auth.IdentityToken, auth.RegistryToken)
		if auth.Username != "" && auth.Username != azureUser && !strings.HasPrefix(auth.Username, "<") {
			with.with += " for " + auth.Username
		}
	}
	k.show(host, with)
	return found, nil
}

func (k *keychain) show(host string, t tried) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.shown[host] = t
}

func (k *keychain) tried(host string) tried {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.shown[host]
}

// within is a keychain for those who pass on no context.
type within struct {
	//nolint:containedctx // the library's function takes none
	ctx  context.Context
	keys *keychain
}

func (w within) Resolve(target authn.Resource) (authn.Authenticator, error) {
	found, err := w.keys.ResolveContext(w.ctx, target)
	if l, ok := found.(*lent); ok {
		return inside{w.ctx, l}, err
	}
	return found, err
}

// inside are credentials for those who pass on no context.
type inside struct {
	//nolint:containedctx // the library's function takes none
	ctx  context.Context
	lent *lent
}

func (i inside) Authorization() (*authn.AuthConfig, error) { return i.lent.AuthorizationContext(i.ctx) }

// Credentials are a user and a secret for a registry of Azure as whom this run is; empty for all others, and where the run is nobody.
// They are for builders, which ask registries themselves; why there are none the error says, and whoever asks may go on without.
func (r *Registry) Credentials(ctx context.Context, host string) (user, secret string, err error) {
	if r.keys.azure == nil || !r.keys.azure.serves(host) {
		return "", "", nil
	}
	found, err := r.keys.azure.borrow(ctx, host)
	if err != nil {
		return "", "", err
	}
	return azureUser, found.token.Reveal(), nil
}
