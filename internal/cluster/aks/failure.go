package aks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
)

// The roles that allow what is done here. The run-command API is in no role that is made for it: whoever wants the least defines one.
const (
	userRole    = "Azure Kubernetes Service Cluster User Role"
	commandRole = "Contributor"
)

func (m *manager) unreachable(format string, args ...any) *fault.Error {
	return fault.New(fault.Unreachable, "AKS cluster "+m.spec.Name, format, args...)
}

// unanswered says why there is no answer; again: it may be asked for once more.
func (m *manager) unanswered(ctx context.Context, err error, again bool) error {
	var noToken *identity.NoToken
	var noAnswer *lost
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fault.Wrap(fault.Interrupted, "AKS cluster "+m.spec.Name, ctx.Err())
	case errors.As(err, &noToken):
		return noToken.For("AKS cluster "+m.spec.Name, "Azure Resource Manager", "sign in to Azure, for example with az login, or give the run a federated or managed identity")
	case ctx.Err() != nil:
		err, again = fmt.Errorf("it took too long: %w", ctx.Err()), false
	case errors.As(err, &noAnswer):
		err = noAnswer.err
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("nothing within %s", answerTime)
	}
	failure := m.unreachable("Azure Resource Manager does not answer: %w", err).
		WithHint("check the network and the proxy between here and %s, then run the command again", m.endpoint.Host)
	if again {
		return &variables.Later{Err: failure}
	}
	return failure
}

// stranger says that something else answers in Azure's place.
func (m *manager) stranger(err error) error {
	return m.unreachable("%s does not answer as Azure Resource Manager does: %w", m.endpoint.Host, err).
		WithHint("a proxy or a sign-in page may answer in its place")
}

// refusal is what Azure Resource Manager says in the body of an error.
type refusal struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// refused says for people why Azure Resource Manager did not do it, and what to do.
func (m *manager) refused(a *answer, again bool) error {
	after := variables.RetryAfter(a.header.Get("Retry-After"), m.clock.Now())
	var said refusal
	known := json.Unmarshal(a.body, &said) == nil && said.Error.Code != ""
	code, message := said.Error.Code, oneLine(said.Error.Message)
	switch {
	case a.status == http.StatusTooManyRequests:
		return &variables.Later{After: after, Err: m.unreachable("Azure Resource Manager is throttled: it takes no more requests for now").
			WithHint("wait some minutes and run the command again; the limit is shared by all that this identity does in the subscription")}
	case a.status == http.StatusRequestTimeout || a.status >= http.StatusInternalServerError:
		return m.broken(a.status, code, message, after, again)
	case a.status == http.StatusRequestEntityTooLarge:
		return m.unreachable("Azure Resource Manager takes no request of this size").
			WithHint("what is written is too large for the run-command API: reach the API server by its network, for example from a self-hosted agent")
	case !known:
		return m.stranger(fmt.Errorf("status %d", a.status))
	case a.status == http.StatusUnauthorized:
		return m.unauthorized(code, message)
	case a.status == http.StatusForbidden:
		return m.forbidden(code, message)
	case a.status == http.StatusNotFound:
		return m.absent(code, message)
	case strings.Contains(strings.ToLower(message), "local accounts"):
		return m.unreachable("its local accounts are disabled: %s", message).
			WithHint("let it use Entra ID, which sluice then signs in with: az aks update --resource-group %s --name %s --enable-aad", m.spec.ResourceGroup, m.spec.Name)
	}
	return m.unreachable("Azure Resource Manager answered %d %s: %s", a.status, code, message).
		WithHint("look at the cluster: az aks show --subscription %s --resource-group %s --name %s", m.spec.Subscription, m.spec.ResourceGroup, m.spec.Name)
}

func (m *manager) broken(status int, code, message string, after time.Duration, again bool) error {
	failure := m.unreachable("Azure Resource Manager answered %d %s", status, strings.TrimSpace(code+" "+message)).
		WithHint("run the command again; if it stays so, look at the health of Azure in the cluster's region")
	if again {
		return &variables.Later{After: after, Err: failure}
	}
	return failure
}

func (m *manager) unauthorized(code, message string) error {
	hint := "sign in again, for example with az login"
	if code == "InvalidAuthenticationTokenTenant" {
		hint = fmt.Sprintf("the token is of another directory than the subscription: sign in to its own, az account show --subscription %s --query tenantId -o tsv", m.spec.Subscription)
	}
	return m.unreachable("Azure Resource Manager does not accept the token: %s: %s", code, message).WithHint("%s", hint)
}

func (m *manager) forbidden(code, message string) error {
	said := regexp.MustCompile(`^The client '([^']*)' with object id '([^']*)' does not have authorization to perform action '([^']*)' over scope '([^']*)'`).FindStringSubmatch(message)
	if code != "AuthorizationFailed" || said == nil {
		return m.unreachable("forbidden: %s: %s", code, message).
			WithHint("a policy, a deny assignment or conditional access may be in the way; ask whoever looks after the subscription")
	}
	denied := &cluster.Denied{Principal: said[2], Action: said[3], Scope: said[4], Role: userRole, Message: message}
	more := ""
	if action := strings.ToLower(denied.Action); strings.Contains(action, "/runcommand") || strings.Contains(action, "/commandresults") {
		denied.Role = commandRole
		more = "; a role of one's own with managedClusters/runcommand/action and managedClusters/commandResults/read is enough, see docs/howto/aks.md"
	}
	return m.unreachable("forbidden: %w", denied).WithHint("grant it: %s%s; new grants may take five minutes", denied.Command(), more)
}

// absent says which part of the cluster's name Azure does not know.
func (m *manager) absent(code, message string) error {
	missing := func(what, hint string) error {
		return fault.New(fault.NotFound, "AKS cluster "+m.spec.Name, "there is no %s, or this identity may not see it", what).WithHint("%s", hint)
	}
	switch code {
	case "SubscriptionNotFound":
		return missing("subscription "+m.spec.Subscription, "compare with az account list -o table: it may belong to another directory than the identity")
	case "ResourceGroupNotFound":
		return missing("resource group "+m.spec.ResourceGroup, "compare with az aks list --subscription "+m.spec.Subscription+" -o table")
	case "ResourceNotFound", "NotFound":
		return missing(fmt.Sprintf("cluster %s in resource group %s", m.spec.Name, m.spec.ResourceGroup), "compare with az aks list --subscription "+m.spec.Subscription+" -o table")
	}
	return m.unreachable("Azure Resource Manager answered 404 %s: %s", code, message)
}

// oneLine keeps a message of somebody else's from filling the screen.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 500 {
		text = strings.ToValidUTF8(text[:500], "") + "…"
	}
	return text
}
