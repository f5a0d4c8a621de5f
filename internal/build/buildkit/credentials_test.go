package buildkit

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/docker/cli/cli/config/types"
	"github.com/moby/buildkit/session/auth/authprovider"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func TestCredentials(t *testing.T) {
	nobody := fault.New(fault.Unreachable, "sign in to Azure", "no way led to a token").WithHint("run az login")
	kept := map[string]types.AuthConfig{"kept.test": {Username: "robot", Password: "the password of robot"}}
	for name, c := range map[string]struct {
		host, user, secret string
		err                error
		none               bool
		want               types.AuthConfig
		cure               string
	}{
		"what Docker keeps comes first": {host: "kept.test", user: "u", secret: "s", want: kept["kept.test"]},
		"else those of the run":         {host: "acme.azurecr.io", user: "u", secret: "the token of the run", want: types.AuthConfig{Username: "u", IdentityToken: "the token of the run"}},
		"else none":                     {host: "elsewhere.test"},
		"none, and a reason":            {host: "acme.azurecr.io", err: nobody, cure: "the run itself has none: sign in to Azure: no way led to a token; run az login"},
		"a run that is nobody":          {host: "acme.azurecr.io", none: true},
	} {
		t.Run(name, func(t *testing.T) {
			docker := func(_ context.Context, host string, _ []string, _ authprovider.ExpireCachedAuthCheck) (types.AuthConfig, error) {
				return kept[host], nil
			}
			j := &job{op: "build", credentials: &keyring{docker: docker, known: &variables.Masker{}}}
			if !c.none {
				j.credentials.ask = func(_ context.Context, host string) (string, string, error) {
					if host != c.host || host == "kept.test" {
						return "", "", errors.New("asked for " + host)
					}
					return c.user, c.secret, c.err
				}
			}
			got, err := j.credentials.find(t.Context(), c.host, nil, nil)
			if err != nil || got != c.want {
				t.Errorf("it found %+v, %v", got, err)
			}
			for _, secret := range []string{got.Password, got.IdentityToken} {
				if secret != "" && !j.credentials.known.Holds(secret) {
					t.Error("it is not known as a secret")
				}
			}
			refusal := j.known("pull access denied", 0)
			if refusal == nil || !strings.HasSuffix(refusal.Hint, c.cure) || c.cure == "" && strings.Contains(refusal.Hint, "the run itself") {
				t.Errorf("a refusal says %v", refusal)
			}
		})
	}
}
