package oci

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-dev/sluice/internal/fault"
)

// nobody is the name that Azure's registries give to whoever shows a token in place of a password.
const nobody = "00000000-0000-0000-0000-000000000000"

// Account says whose credentials are shown to the registry of a repository, as far as they tell; "" where there are none. It asks no
// registry, but the credential helpers.
func (r *Registry) Account(ctx context.Context, repository string) (string, error) {
	op := "find the credentials for " + repository
	repo, err := parseRepository(op, repository)
	if err != nil {
		return "", err
	}
	found, err := authn.Resolve(ctx, r.o.Keychain, repo)
	if err != nil || found == authn.Anonymous {
		return "", err
	}
	with, err := authn.Authorization(ctx, found)
	switch {
	case err != nil:
		return "", fault.Wrap(fault.Unreachable, op, err)
	case with.IdentityToken != "" || with.RegistryToken != "" || with.Username == nobody || strings.HasPrefix(with.Username, "<"):
		return "the owner of a token", nil
	case with.Username != "":
		return with.Username, nil
	}
	return "", nil
}
