package identity

import (
	"context"

	"github.com/sluice-dev/sluice/internal/fault"
)

// NoToken is why there is no token: what the credential of a client says, and not the service that the client is for.
type NoToken struct{ Err error }

func (n *NoToken) Error() string { return n.Err.Error() }

// Unwrap returns what the credential said.
func (n *NoToken) Unwrap() error { return n.Err }

// For makes an error for people of it: there is no token for what. Whoever signs in knows best of what kind that is, and what to do;
// otherwise is the cure where it says none.
func (n *NoToken) For(op, what, otherwise string) error {
	kind, cure := fault.KindOf(n.Err), fault.HintOf(n.Err)
	switch kind {
	case fault.Interrupted:
		return fault.Wrap(kind, op, n.Err)
	case fault.Internal:
		kind = fault.Unreachable
	}
	if cure == "" {
		cure = otherwise
	}
	return fault.New(kind, op, "no token for %s: %w", what, n.Err).WithHint("%s", cure)
}

// Credential is what a client gets its tokens of; what it asks for and gets is the client's own affair.
type Credential[Options, Token any] interface {
	GetToken(ctx context.Context, o Options) (Token, error)
}

// Marked is a credential whose errors are each a *NoToken.
type Marked[Options, Token any] struct{ next Credential[Options, Token] }

// Mark makes the errors of a credential known as such.
func Mark[Options, Token any](c Credential[Options, Token]) Marked[Options, Token] {
	return Marked[Options, Token]{c}
}

// GetToken asks the credential.
func (m Marked[Options, Token]) GetToken(ctx context.Context, o Options) (Token, error) {
	token, err := m.next.GetToken(ctx, o)
	if err != nil {
		err = &NoToken{err}
	}
	return token, err
}
