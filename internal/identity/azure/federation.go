package azure

import (
	"context"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// federated signs in with the token that a pipeline gives to its job.
func (c *Chain) federated() *way {
	w := c.principal(WayPipeline)
	system := ""
	if c.o.Pipeline != nil {
		system = c.o.Pipeline.System()
	}
	if system == "" {
		w.missing = "a job of GitHub Actions or Azure Pipelines"
		if c.o.Pipeline != nil && c.o.Pipeline.Cure() != "" {
			w.missing = "the job's token: " + c.o.Pipeline.Cure()
		}
		return w
	}
	w.name += " (" + system + ")"
	// A task of Azure Pipelines that has a service connection, such as AzureCLI@2, says by these which one.
	connection, of := c.lookup("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"), c.lookup("AZURESUBSCRIPTION_CLIENT_ID")
	switch {
	case w.client == "" && of != "":
		w.client, w.tenant = of, c.lookup("AZURESUBSCRIPTION_TENANT_ID")
	case of != "" && !strings.EqualFold(w.client, of):
		connection = ""
	}
	if w.missing = w.half(); w.missing != "" {
		return w
	}
	w.found = w.who()
	if connection != "" {
		w.found += " by service connection " + connection
	}
	source := c.o.Pipeline.Connection(connection)
	return c.asserting(w, func(ctx context.Context) (identity.Token, error) { return source.Token(ctx, c.exchangeAudience()) })
}

// cluster signs in with the token of a service account that AKS puts into a pod.
func (c *Chain) cluster() *way {
	w := c.principal(WayAKS)
	const variable = "AZURE_FEDERATED_TOKEN_FILE"
	path := c.lookup(variable)
	if w.missing = w.half(variable, path); w.missing != "" {
		return w
	}
	w.found += " with " + path
	return c.asserting(w, func(context.Context) (identity.Token, error) {
		// It is read each time: the cluster replaces it before it ends.
		data, err := c.o.ReadFile(path)
		raw := strings.TrimSpace(string(data))
		if err != nil {
			return identity.Token{}, fault.New(fault.Unreachable, "", "read the token of the service account: %w", err).
				WithHint("label the pod azure.workload.identity/use: \"true\", so that AKS puts the token there")
		}
		token := identity.NewToken(raw, time.Time{})
		c.o.Learn(raw)
		if says, err := token.Claims(); err == nil {
			token.Expires = says.Expires
		}
		return token, nil
	})
}

// asserting signs in with tokens that somebody else has signed. What each says of itself is kept for the account.
func (c *Chain) asserting(w *way, get func(context.Context) (identity.Token, error)) *way {
	credential, err := azidentity.NewClientAssertionCredential(w.tenant, w.client, func(ctx context.Context) (string, error) {
		token, err := get(ctx)
		if err != nil {
			w.unasserted = err
			return "", err
		}
		says, err := token.Claims()
		if err != nil {
			w.unasserted = fault.New(fault.Unreachable, "", "what was given as a token is none: %w", err).WithHint("a signed token (JWT) is needed")
			return "", w.unasserted
		}
		w.assertion = &says
		return token.Reveal(), nil
	}, &azidentity.ClientAssertionCredentialOptions{
		ClientOptions: c.client(), AdditionallyAllowedTenants: c.tenants(), DisableInstanceDiscovery: c.private(),
	})
	return use(w, credential, err)
}
