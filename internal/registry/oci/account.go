package oci

import (
	"context"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-dev/sluice/internal/fault"
)

// ThisRun is the Account of a registry of Azure that is asked as the identity of this run.
const ThisRun = "the identity of this run"

// Account says whose credentials are shown to the registry of a repository, as far as they tell; "" where there are none. It asks no
// registry, and nobody to sign in, but the credential helpers.
func (r *Registry) Account(ctx context.Context, repository string) (string, error) {
	op := "find the credentials for " + repository
	repo, err := parseRepository(op, repository)
	if err != nil {
		return "", err
	}
	found, err := r.keys.ResolveContext(ctx, repo)
	if err != nil || found == authn.Anonymous {
		return "", err
	}
	if _, ok := found.(*lent); ok {
		return ThisRun, nil
	}
	with, err := authn.Authorization(ctx, found)
	switch {
	case err != nil:
		return "", fault.New(fault.Unreachable, op, "%w", err).WithHint("%s", repairHint)
	case with.IdentityToken != "" || with.RegistryToken != "" || with.Username == azureUser || strings.HasPrefix(with.Username, "<"):
		return "the owner of a token", nil
	case with.Username != "":
		return with.Username, nil
	}
	return "", nil
}
