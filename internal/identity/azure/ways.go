package azure

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// The ways to sign in, for people.
const (
	WaySecret      = "service principal (secret)"
	WayCertificate = "service principal (certificate)"
	WayPipeline    = "workload identity federation"
	WayAKS         = "AKS workload identity"
	WayManaged     = "managed identity"
	WayAz          = "az login"
)

// way is one way to sign in.
type way struct {
	name string
	// client and tenant are whom it signs in as; "" where only the token tells.
	client, tenant string
	// found is what there is to try it with; missing what it would need, and then it cannot be tried.
	found, missing string
	// final says that what fails here was given by hand for this identity, so that nothing else is tried.
	final bool
	// wrong is why what was given cannot be used.
	wrong error
	// credential is nil where something is missing or wrong.
	credential azcore.TokenCredential
	// look says what is missing although it was not configured, such as a machine that has identities; nil: there is nothing to look for.
	look func(ctx context.Context) (missing string, err error)
	// explain makes an error for people of what the credential returned; an errNone says that there was nothing to try it with after all.
	explain func(w *way, err error, seen *exchange, scope string) error

	// assertion is the token that was presented last, unasserted why there was none. Both belong to whose turn it is.
	assertion  *identity.Claims
	unasserted error
}

// errNone is what is missing, as the answer to a try tells it.
type errNone struct{ missing string }

func (e *errNone) Error() string { return e.missing }

// proves says whether this way is another proof of the identity that was refused by r.
func (w *way) proves(r *way) bool {
	return !r.final && w.client != "" && strings.EqualFold(w.client, r.client)
}

// try signs in by this way.
func (w *way) try(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, identity.Attempt) {
	made := identity.Attempt{Way: w.name, Found: w.found, Err: w.wrong}
	if w.missing != "" {
		return azcore.AccessToken{}, identity.Attempt{Way: w.name, Missing: w.missing}
	}
	if made.Err != nil {
		return azcore.AccessToken{}, made
	}
	if w.look != nil {
		missing, err := w.look(ctx)
		if missing != "" {
			return azcore.AccessToken{}, identity.Attempt{Way: w.name, Missing: missing}
		}
		if err != nil {
			made.Err = err
			return azcore.AccessToken{}, made
		}
	}
	w.assertion, w.unasserted = nil, nil
	seen := &exchange{}
	token, err := w.credential.GetToken(watched(ctx, seen), o)
	made.Presented = w.assertion
	if err == nil {
		return token, made
	}
	if w.unasserted != nil {
		err = w.unasserted
	} else {
		err = w.explain(w, err, seen, strings.Join(o.Scopes, " "))
	}
	var none *errNone
	if errors.As(err, &none) {
		return azcore.AccessToken{}, identity.Attempt{Way: w.name, Missing: none.missing}
	}
	made.Err = err
	return azcore.AccessToken{}, made
}

// ways are all of them in the order in which they are tried: what was given by hand for this run, what the run's surroundings vouch
// for, the machine, and last whoever sits before it.
func (c *Chain) ways() []*way {
	return []*way{c.secret(), c.certificate(), c.federated(), c.cluster(), c.machine(), c.az()}
}

// principal begins a way that signs in as the client which the environment names.
func (c *Chain) principal(name string) *way {
	w := &way{name: name, client: c.lookup("AZURE_CLIENT_ID"), tenant: c.lookup("AZURE_TENANT_ID"), explain: c.refused}
	w.found = w.who()
	return w
}

func (w *way) who() string { return fmt.Sprintf("client %s of tenant %s", w.client, w.tenant) }

// half says what is not set of what belongs together; "" where all is.
func (w *way) half(others ...string) string {
	var names []string
	for i := 0; i+1 < len(others); i += 2 {
		if others[i+1] == "" {
			names = append(names, others[i])
		}
	}
	if w.client == "" {
		names = append(names, "AZURE_CLIENT_ID")
	}
	if w.tenant == "" {
		names = append(names, "AZURE_TENANT_ID")
	}
	return strings.Join(names, ", ")
}

// given makes a way final whose proof was given by hand. Where that is a half, nobody else is meant by it.
func (w *way) given(variable string) (whole bool) {
	w.final = true
	if missing := w.half(); missing != "" {
		w.found = "what " + variable + " gives"
		w.wrong = fault.New(fault.Unreachable, "", "%s is set, but not %s", variable, missing).WithHint("set %s too, or take %s away", missing, variable)
		return false
	}
	return true
}

// use makes the credential of a way.
func use[T azcore.TokenCredential](w *way, credential T, err error) *way {
	if err != nil {
		w.wrong = fault.New(fault.Unreachable, "", "%w", err).WithHint("check AZURE_CLIENT_ID and AZURE_TENANT_ID: both are IDs, such as 11111111-2222-3333-4444-555555555555")
		return w
	}
	w.credential = credential
	return w
}

func (c *Chain) secret() *way {
	w := c.principal(WaySecret)
	const variable = "AZURE_CLIENT_SECRET"
	secret := c.lookup(variable)
	if secret == "" {
		w.missing = w.half(variable, secret)
		return w
	}
	c.o.Learn(secret)
	if !w.given(variable) {
		return w
	}
	credential, err := azidentity.NewClientSecretCredential(w.tenant, w.client, secret, &azidentity.ClientSecretCredentialOptions{
		ClientOptions: c.client(), AdditionallyAllowedTenants: c.tenants(), DisableInstanceDiscovery: c.private(),
	})
	return use(w, credential, err)
}

func (c *Chain) certificate() *way {
	w := c.principal(WayCertificate)
	const variable = "AZURE_CLIENT_CERTIFICATE_PATH"
	path := c.lookup(variable)
	if path == "" {
		w.missing = w.half(variable, path)
		return w
	}
	if !w.given(variable) {
		return w
	}
	w.found += " with " + path
	data, err := c.o.ReadFile(path)
	if err != nil {
		w.wrong = fault.New(fault.Unreachable, "", "read the certificate: %w", err).WithHint("let %s name a file with the certificate and its key, in PEM or PKCS #12", variable)
		return w
	}
	password := c.lookup("AZURE_CLIENT_CERTIFICATE_PASSWORD")
	c.o.Learn(string(data), password)
	certificates, key, err := azidentity.ParseCertificates(data, []byte(password))
	if err != nil {
		// What the file holds may be quoted by who failed to read it.
		w.wrong = fault.New(fault.Unreachable, "", "%s holds no certificate and key that can be read", path).
			WithHint("it takes PEM without a password, or PKCS #12 with the password in AZURE_CLIENT_CERTIFICATE_PASSWORD: openssl pkcs12 -in FILE -nodes converts")
		return w
	}
	chain := c.lookup("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN")
	credential, err := azidentity.NewClientCertificateCredential(w.tenant, w.client, certificates, key, &azidentity.ClientCertificateCredentialOptions{
		ClientOptions: c.client(), AdditionallyAllowedTenants: c.tenants(), DisableInstanceDiscovery: c.private(),
		SendCertificateChain: chain == "1" || strings.EqualFold(chain, "true"),
	})
	return use(w, credential, err)
}

// az is whoever signed in to the Azure CLI on this machine. The library runs it, for at most ten seconds.
func (c *Chain) az() *way {
	w := &way{name: WayAz, found: "whoever signed in to it", look: lookForAz, explain: azSays}
	if tenant := c.lookup("AZURE_TENANT_ID"); tenant != "" {
		w.tenant = tenant
		w.found += ", in tenant " + tenant
	}
	credential, err := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{TenantID: w.tenant, AdditionallyAllowedTenants: c.tenants()})
	return use(w, credential, err)
}
