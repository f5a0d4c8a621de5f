package buildkit

import (
	"context"
	"sync"

	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

// keyring finds the credentials that a build shows registries: those that Docker keeps, else those as whom the run is.
type keyring struct {
	docker authprovider.AuthConfigProvider
	// ask gives those of the run for a registry; nil: it has none.
	ask   func(ctx context.Context, host string) (user, secret string, err error)
	known *variables.Masker

	mu sync.Mutex
	// why says why the run had none, of the registry that was asked for last.
	why error
}

// find makes the credentials that are found known as secrets. Why the run has none is for the case that a registry then refuses.
func (c *keyring) find(ctx context.Context, host string, scope []string, check authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
	found, err := c.docker(ctx, host, scope, check)
	if c.ask != nil && err == nil && found.Username+found.Password+found.Auth+found.IdentityToken+found.RegistryToken == "" {
		user, secret, err := c.ask(ctx, host)
		c.mu.Lock()
		c.why = err
		c.mu.Unlock()
		if secret != "" {
			found.Username, found.IdentityToken = user, secret
		}
	}
	c.known.Add(found.Password, found.Auth, found.IdentityToken, found.RegistryToken)
	return found, err
}

// cure completes what to do where a registry refuses.
func (c *keyring) cure() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil {
		return ""
	}
	text := "; the run itself has none: " + c.why.Error()
	if hint := fault.HintOf(c.why); hint != "" {
		text += "; " + hint
	}
	return text
}
