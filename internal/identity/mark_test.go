package identity_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// scripted is a fake credential that gives a token for a scope, or says why not.
type scripted struct{ err error }

func (s scripted) GetToken(_ context.Context, scope string) (int, error) { return len(scope), s.err }

func TestMark(t *testing.T) {
	if token, err := identity.Mark(scripted{}).GetToken(t.Context(), "scope"); token != 5 || err != nil {
		t.Errorf("it gave %d, %v", token, err)
	}
	cause := errors.New("nobody is signed in")
	_, err := identity.Mark(scripted{cause}).GetToken(t.Context(), "scope")
	var noToken *identity.NoToken
	if !errors.As(fmt.Errorf("ask: %w", err), &noToken) || !errors.Is(err, cause) || err.Error() != cause.Error() {
		t.Errorf("it says %v", err)
	}
}

// TestNoToken keeps what whoever signs in knows best.
func TestNoToken(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
		says string
		cure string
	}{
		"unclassified": {errors.New("no"), fault.Unreachable, "read: no token for the vault: no", "sign in"},
		"with a cure":  {fault.New(fault.Usage, "", "no address").WithHint("leave it out"), fault.Usage, "read: no token for the vault: no address", "leave it out"},
		"interrupted":  {context.Canceled, fault.Interrupted, "read: context canceled", ""},
	} {
		err := (&identity.NoToken{Err: c.err}).For("read", "the vault", "sign in")
		if !fault.Is(err, c.kind) || err.Error() != c.says || fault.HintOf(err) != c.cure || !errors.Is(err, c.err) {
			t.Errorf("%s: %v (%s), of kind %s", name, err, fault.HintOf(err), fault.KindOf(err))
		}
	}
}
