package keyvault

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

// right is what an identity needs for a request: a role, or a permission where the vault uses access policies, and for what.
type right struct{ role, permission, purpose string }

func toRead() right { return right{"Key Vault Secrets User", "get", "read secrets"} }

func toList() right { return right{"Key Vault Reader", "list", "list the versions of secrets"} }

// failure says for people why a secret was not read, and what to do. It repeats no text of the vault's answer but what it knows the form of.
func (s *Store) failure(err error, need right, name, version string) error {
	if err == nil {
		return nil
	}
	var noToken *identity.NoToken
	var noAnswer *lost
	if errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &noAnswer) && !errors.As(err, &noToken) {
		err = &lost{err} // the library gives out the context's error in place of the transport's
	}
	var answer *azcore.ResponseError
	switch {
	case errors.As(err, &noToken):
		return variables.Wide(noToken.For("", s.host, "sign in as somebody who may read it, for example with az login, or give the run a federated or managed identity"))
	case errors.As(err, &answer):
		return s.answered(answer, need, name, version)
	case errors.As(err, &noAnswer) && noAnswer.unknownHost():
		return variables.Wide(unreachable("there is no host %s: the vault's name is wrong, or its private DNS zone is not known here", s.host).
			WithHint("compare the name: az keyvault list --query '[].properties.vaultUri'; a vault with a private endpoint is found only from its network"))
	case errors.As(err, &noAnswer) && noAnswer.untrusted():
		return variables.Wide(unreachable("the certificate of %s is not trusted: %w", s.host, noAnswer.err).
			WithHint("a proxy may stand between: let it pass %s through, or add its authority to the system's", s.host))
	case errors.As(err, &noAnswer):
		return later(0, unreachable("%s does not answer: %w", s.host, noAnswer.err).
			WithHint("check the network and the proxy between here and https://%s, then run the command again: nothing was changed", s.host))
	default:
		return s.stranger()
	}
}

func unreachable(format string, args ...any) *fault.Error {
	return fault.New(fault.Unreachable, "", format, args...)
}

func later(after time.Duration, err error) error {
	return &variables.Later{After: after, Err: variables.Wide(err)}
}

// stranger says that something else answers in the vault's place.
func (s *Store) stranger() error {
	return variables.Wide(unreachable("https://%s does not answer as a Key Vault does", s.host).
		WithHint("check the vault's URL, and whether a proxy or a sign-in page answers in its place: curl -i https://%s/secrets?api-version=7.4", s.host))
}

// refusal is what Key Vault says in the body of an error.
type refusal struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Inner   struct {
			Code string `json:"code"`
		} `json:"innererror"`
	} `json:"error"`
}

func refusalOf(answer *azcore.ResponseError) (refusal, bool) {
	var r refusal
	if answer.RawResponse == nil || answer.RawResponse.Body == nil {
		return r, false
	}
	body, err := io.ReadAll(answer.RawResponse.Body)
	if err != nil || json.Unmarshal(body, &r) != nil {
		return r, false
	}
	return r, r.Error.Code != ""
}

func (s *Store) answered(answer *azcore.ResponseError, need right, name, version string) error {
	said, vault := refusalOf(answer)
	var after time.Duration
	if answer.RawResponse != nil {
		after = variables.RetryAfter(answer.RawResponse.Header.Get("Retry-After"), s.o.Clock.Now())
	}
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		return later(after, unreachable("%s is throttled: it takes no more requests for now", s.host).
			WithHint("wait some seconds and run the command again; a vault takes 4000 requests in 10 seconds, shared by all who use it"))
	case answer.StatusCode == http.StatusRequestTimeout || answer.StatusCode >= http.StatusInternalServerError:
		return later(after, unreachable("%s answered %d", s.host, answer.StatusCode).
			WithHint("run the command again, nothing was changed; if it stays so, look at the health of Key Vault in its region: az keyvault show --name %s --query location", s.name))
	case !vault:
		return s.stranger()
	case answer.StatusCode == http.StatusNotFound:
		return s.missing(name)
	case answer.StatusCode == http.StatusUnauthorized:
		return variables.Wide(unreachable("%s does not accept the token", s.host).
			WithHint("sign in to the directory that the vault belongs to: az keyvault show --name %s --query properties.tenantId -o tsv", s.name))
	case answer.StatusCode == http.StatusForbidden:
		return s.forbidden(said, need, name, version)
	default:
		return unreachable("%s answered %d to the question for secret %s", s.host, answer.StatusCode, name).
			WithHint("ask the same with az keyvault secret show --vault-name %s --name %s --query id", s.name, name)
	}
}

// forbidden tells apart what Key Vault answers 403 to.
func (s *Store) forbidden(said refusal, need right, name, version string) error {
	first := func(pattern, otherwise string) string {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(said.Error.Message); m != nil {
			return m[1]
		}
		return otherwise
	}
	who := first(`oid=([0-9a-fA-F-]{36})`, "OBJECT-ID")
	role := "az role assignment create --role '" + need.role + "' --assignee-object-id " + who + " --scope " +
		first(`(?i)(/subscriptions/[0-9a-f-]{36}/resourcegroups/[\w.()-]+/providers/microsoft\.keyvault/vaults/[\w-]+)`,
			"\"$(az keyvault show --name "+s.name+" --query id -o tsv)\"")
	access := "az keyvault set-policy --name " + s.name + " --object-id " + who + " --secret-permissions " + need.permission
	switch said.Error.Inner.Code {
	case "SecretDisabled":
		return s.disabled(name, version)
	case "ForbiddenByRbac":
		return unreachable("forbidden: the identity has no role on %s that lets it %s", s.host, need.purpose).WithHint("grant it: %s", role)
	case "AccessDenied", "ForbiddenByPolicy":
		return unreachable("forbidden: the access policies of %s do not let the identity %s secrets", s.host, need.permission).WithHint("grant it: %s", access)
	case "ForbiddenByFirewall":
		return variables.Wide(unreachable("forbidden: the firewall of %s does not let this address in", s.host).
			WithHint("let it in: az keyvault network-rule add --name %s --ip-address %s; or run within a network that may", s.name, first(`address: ([0-9a-fA-F.:]{3,39}[0-9a-fA-F])`, "ADDRESS")))
	case "ForbiddenByConnection":
		return variables.Wide(unreachable("forbidden: %s is not open to public networks", s.host).
			WithHint("run where its private endpoint can be reached, for example on a self-hosted agent in its network"))
	default:
		return unreachable("forbidden: the identity may not %s of %s", need.purpose, s.host).
			WithHint("grant it, where the vault uses roles: %s; where it uses access policies: %s", role, access)
	}
}
