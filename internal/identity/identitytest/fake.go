package identitytest

import (
	"context"
	"sync"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// Fake is a Source that gives one token to whoever asks, or fails.
type Fake struct {
	Content identity.Token
	Err     error

	mu    sync.Mutex
	asked []string
}

var _ identity.Source = (*Fake)(nil)

// Token gives the token, for any audience.
func (f *Fake) Token(ctx context.Context, audience string) (identity.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, audience)
	switch {
	case ctx.Err() != nil:
		return identity.Token{}, fault.Wrap(fault.Interrupted, "get a token", ctx.Err())
	case f.Err != nil:
		return identity.Token{}, f.Err
	}
	return f.Content, nil
}

// Asked are the audiences that were asked for.
func (f *Fake) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}
