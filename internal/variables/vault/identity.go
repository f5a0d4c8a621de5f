package vault

import (
	"context"
	"errors"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// identity is the signed token that says who runs this: a given one, or the one that the pipeline gives to its job.
func (s *Store) identity(ctx context.Context, j v1alpha1.VaultJWT) (string, error) {
	if j.Token != nil {
		return s.credential("signed token", *j.Token)
	}
	token, err := s.o.Pipeline.Token(ctx, j.Audience)
	if errors.Is(err, identity.ErrAbsent) {
		cure := fault.HintOf(err)
		if cure == "" {
			cure = "run within GitHub Actions or Azure Pipelines, or name where a token is with `token`"
		}
		return "", unreachable("no signed token: %w", err).WithHint("%s", cure)
	}
	return token.Reveal(), err
}
