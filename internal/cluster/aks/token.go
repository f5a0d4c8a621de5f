package aks

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/sluice-dev/sluice/internal/variables"
)

// early is how long before its end a token is replaced: a request that is under way must not outlive it.
const early = 5 * time.Minute

// tokens keeps a user's token for the cluster until it has to be replaced.
type tokens struct {
	credential azcore.TokenCredential
	clock      variables.Clock
	// fail says for people why there is no token.
	fail func(error) error

	mu  sync.Mutex
	now azcore.AccessToken
}

// token is cluster.Access.Token. A new one that cannot be had is no error while the old one holds.
func (t *tokens) token(ctx context.Context) (string, time.Time, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	if t.now.Token != "" && now.Before(t.due()) {
		return t.now.Token, t.now.ExpiresOn, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	got, err := t.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{serverScope}})
	switch {
	case err == nil:
		t.now = got
	case t.now.Token == "" || !now.Before(t.now.ExpiresOn):
		return "", time.Time{}, t.fail(err)
	}
	return t.now.Token, t.now.ExpiresOn, nil
}

func (t *tokens) due() time.Time {
	due := t.now.ExpiresOn.Add(-early)
	if !t.now.RefreshOn.IsZero() && t.now.RefreshOn.Before(due) {
		return t.now.RefreshOn
	}
	return due
}
