package azure

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// maxSaid bounds what is repeated of an explanation, in bytes.
const maxSaid = 400

// code is what Entra ID calls its refusal, "" where it does not.
func (s said) code() string {
	if len(s.Codes) > 0 {
		return "AADSTS" + strconv.Itoa(s.Codes[0])
	}
	return codeIn(s.Description)
}

func codeIn(text string) string { return regexp.MustCompile(`\bAADSTS\d{4,8}\b`).FindString(text) }

// refused says for people why Entra ID gave no token, and what to do. It repeats what Entra ID explains, and nothing of what anybody
// else answers in its place: that could be anything.
func (c *Chain) refused(w *way, err error, seen *exchange, scope string) error {
	s, _ := readRefusal(seen.body)
	code := s.code()
	switch {
	case seen.err != nil:
		return unanswered(seen)
	case code != "":
		f := fault.New(fault.Unreachable, "", "%w", &identity.Refusal{Code: code, Says: explanation(s.Description)})
		return f.WithHint("%s", c.cure(code, w, scope))
	case seen.status >= 500 || seen.status == 429:
		return fault.New(fault.Unreachable, "", "%s answered %d", seen.host, seen.status).WithHint("run the command again: nothing was changed")
	case seen.status != 0:
		return fault.New(fault.Unreachable, "", "%s answered %d, and not as Entra ID does", seen.host, seen.status).
			WithHint("a proxy or a sign-in page may answer in its place: curl -i https://%s/common/discovery/instance", seen.host)
	}
	return fault.New(fault.Unreachable, "", "%w", plainly(err)).WithHint("check AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_AUTHORITY_HOST")
}

func unanswered(seen *exchange) error {
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	f := fault.New(fault.Unreachable, "", "%s does not answer: %w", seen.host, seen.err)
	switch {
	case errors.As(seen.err, &dns) && dns.IsNotFound:
		return f.WithHint("there is no such host here: check AZURE_AUTHORITY_HOST, the network and its proxy (HTTPS_PROXY)")
	case errors.As(seen.err, &certificate):
		return f.WithHint("a proxy may stand between: let it pass %s through, or add its authority to the system's", seen.host)
	}
	return f.WithHint("check the network and the proxy between here and https://%s, then run the command again: nothing was changed", seen.host)
}

// explanation is the first sentence or two of what Entra ID says, without the numbers of its own log.
func explanation(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	text, _, _ = strings.Cut(text, " Trace ID: ")
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}

// cure is what to do about a refusal of Entra ID.
func (c *Chain) cure(code string, w *way, scope string) string {
	client, tenant := plain(w.client, "CLIENT"), plain(w.tenant, "TENANT")
	switch strings.TrimPrefix(code, "AADSTS") {
	case "70021", "700211", "700212", "700213", "7002137", "7002138":
		return trust(client, w.assertion)
	case "7000215":
		return "AZURE_CLIENT_SECRET takes the value of a secret, not its ID; where the value is lost make another: az ad app credential reset --id " + client + " --append"
	case "7000222":
		return "make a new secret (az ad app credential reset --id " + client + " --append), or do without one by workload identity federation"
	case "700016":
		return "compare AZURE_CLIENT_ID and AZURE_TENANT_ID with: az ad app show --id " + client + " --query appId; a managed identity's are told by az identity show"
	case "7000229":
		return "make the application known in the tenant: az ad sp create --id " + client
	case "7000112":
		return "the application is switched off; who may switches it on: az ad sp update --id " + client + " --set accountEnabled=true"
	case "700024":
		return "the token that was shown is not valid now: compare the clocks (date -u), and let it be made right before it is used"
	case "700027":
		return "let the application know the certificate: az ad app credential reset --id " + client + " --cert @CERTIFICATE.pem --append"
	case "90002", "900023", "900021":
		return "AZURE_TENANT_ID names no tenant of " + c.authority() + ": az account show --query tenantId -o tsv; sovereign clouds are named by AZURE_AUTHORITY_HOST"
	case "500011", "500014":
		return "tenant " + tenant + " does not know the service " + plain(strings.TrimSuffix(scope, "/.default"), "of the token") +
			": compare AZURE_TENANT_ID with the tenant of the resource, and AZURE_AUTHORITY_HOST with its cloud"
	case "53003", "530003":
		return "a policy of conditional access keeps it out: ask who administers the tenant, or run from where it lets you in"
	}
	return "look it up: https://login.microsoftonline.com/error?code=" + strings.TrimPrefix(code, "AADSTS")
}

// trust is the command that makes an identity trust the token that was shown.
func trust(client string, shown *identity.Claims) string {
	if shown == nil {
		return "compare the federated credentials with the token: az ad app federated-credential list --id " + client
	}
	audience := ""
	if len(shown.Audience) > 0 {
		audience = shown.Audience[0]
	}
	issuer, subject, audience := plain(shown.Issuer, "ISSUER"), plain(shown.Subject, "SUBJECT"), plain(audience, "AUDIENCE")
	return fmt.Sprintf("compare issuer, subject and audience, also in upper and lower case, with: az ad app federated-credential list --id %s; "+
		`or trust it: az ad app federated-credential create --id %s --parameters '{"name": "sluice", "issuer": "%s", "subject": "%s", "audiences": ["%s"]}'; `+
		"for a managed identity: az identity federated-credential create --identity-name NAME --resource-group GROUP --name sluice --issuer %s --subject %s --audiences %s",
		client, client, issuer, subject, audience, issuer, subject, audience)
}

// plain keeps what can stand in a command as it is. A token's claims may hold anything, such as the name of a branch that somebody chose;
// a person would paste it into a shell.
func plain(text, otherwise string) string {
	if regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+=-]*$`).MatchString(text) {
		return text
	}
	return otherwise
}
