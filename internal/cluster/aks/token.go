package aks

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// tokens asks for a user's token for the cluster whenever one is needed: the credential keeps it.
type tokens struct {
	credential azcore.TokenCredential
	// fail says for people why there is no token.
	fail func(error) error
}

// token is cluster.Access.Token.
func (t tokens) token(ctx context.Context) (string, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	got, err := t.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{serverScope}})
	if err != nil {
		return "", time.Time{}, t.fail(err)
	}
	return got.Token, got.ExpiresOn, nil
}
