package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

// exchange is the audience that Entra ID wants of a token that is exchanged for one of its own.
const exchange = "api://AzureADTokenExchange"

// signIn explains which ways to an identity were tried, and with what.
func signIn(f Facts) Section {
	s := Section{Name: "identity"}
	worked := false
	for _, a := range f.SignIn.Attempts {
		found := attempted(a)
		found.Code = "identity.attempt"
		worked = worked || a.Worked()
		s.Findings = append(s.Findings, found)
	}
	if worked {
		// What was tried before somebody was let in is no failure.
		for i := range s.Findings {
			if s.Findings[i].Severity == Failed {
				s.Findings[i].Severity = Warning
			}
		}
	}
	result := good("somebody is signed in")
	if f.SignIn.Err != nil {
		result = bad("nobody is signed in")
		if len(f.SignIn.Attempts) == 0 {
			result = failed("nobody is signed in", f.SignIn.Err)
		}
		if f.SignIn.Decided != "" {
			result = result.seen(f.SignIn.Decided)
		}
		if !tried(f.SignIn.Attempts) {
			result = result.next(strings.Split(fault.HintOf(f.SignIn.Err), "\n")...)
		}
	}
	if len(f.SignIn.For) > 0 {
		result = result.seen("needed for " + strings.Join(f.SignIn.For, ", "))
	}
	result.Code = "identity.signedIn"
	s.Findings = append(s.Findings, result)
	return s
}

func tried(attempts []identity.Attempt) bool {
	for _, a := range attempts {
		if a.Found != "" {
			return true
		}
	}
	return false
}

func attempted(a identity.Attempt) Finding {
	switch {
	case a.Found == "":
		return skipped("%s: not tried: %s", a.Way, a.Missing)
	case a.Err == nil:
		return good("%s: signed in as %s", a.Way, a.Found).seen(shown(a)...)
	}
	found := bad("%s: %s is not let in", a.Way, a.Found).seen(shown(a)...).seen(a.Err.Error())
	if steps := refused(a); len(steps) > 0 {
		return found.next(steps...)
	}
	return found.next(strings.Split(fault.HintOf(a.Err), "\n")...)
}

// shown is what the token that was shown says of itself.
func shown(a identity.Attempt) []string {
	if a.Presented == nil {
		return nil
	}
	lines := []string{"presented issuer:   " + a.Presented.Issuer, "presented subject:  " + a.Presented.Subject, "presented audience: " + strings.Join(a.Presented.Audience, ", ")}
	if !a.Presented.Expires.IsZero() {
		lines = append(lines, "valid until "+stamp(a.Presented.Expires))
	}
	return lines
}

// codeOf is the code with which Entra ID refused; "" where it did not.
func codeOf(err error) string {
	var refusal *identity.Refusal
	if errors.As(err, &refusal) && refusal.Code != "" {
		return refusal.Code
	}
	return regexp.MustCompile(`AADSTS\d+`).FindString(err.Error())
}

// refused says what to do about a refusal of Entra ID; nil where it is none that has one cure.
func refused(a identity.Attempt) []string {
	client, tenant := named(a.Found, "client"), named(a.Found, "tenant")
	switch code := codeOf(a.Err); code {
	case "AADSTS70021", "AADSTS700211", "AADSTS700212", "AADSTS700213":
		return federate(client, claims(a))
	case "AADSTS700016":
		return []string{
			fmt.Sprintf("the tenant %s has no application %s: correct AZURE_CLIENT_ID or AZURE_TENANT_ID", tenant, client),
			"the tenant that has it: az ad app show --id " + client + " --query publisherDomain",
		}
	case "AADSTS90002", "AADSTS900023":
		return []string{"there is no tenant " + tenant + ": correct AZURE_TENANT_ID (az account show --query tenantId)"}
	case "AADSTS7000215":
		return []string{"the secret is another one; where its id was taken for its value, take the value: az ad app credential reset --append --id " + client}
	case "AADSTS7000222":
		return []string{
			"the secret has expired: az ad app credential reset --append --id " + client,
			"a pipeline needs no secret at all: let it sign in by workload identity federation",
		}
	case "AADSTS7000229":
		return []string{"the application has no service principal in the tenant: az ad sp create --id " + client}
	case "AADSTS700024":
		return []string{"the token of the pipeline was too old or too new: sign in anew right before this step, and see that this machine's clock is right"}
	case "AADSTS53003", "AADSTS530003", "AADSTS50105":
		return []string{"a policy of the tenant " + tenant + " shuts it out (" + code + "): ask whoever keeps the policies of conditional access, for " + client}
	}
	return nil
}

// named is the identifier after a word of what was found.
func named(found, what string) string {
	if m := regexp.MustCompile(what + `\s+"?([0-9A-Za-z.-]+)`).FindStringSubmatch(found); m != nil {
		return m[1]
	}
	return "$AZURE_" + strings.ToUpper(what) + "_ID"
}

// claims are those that were presented: what the token says, else what Entra ID says of it.
func claims(a identity.Attempt) identity.Claims {
	if a.Presented != nil {
		return *a.Presented
	}
	c := identity.Claims{}
	text := a.Err.Error()
	find := func(what string) string {
		if m := regexp.MustCompile(`(?i)assertion ` + what + `:? '([^']*)'`).FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
	c.Issuer, c.Subject = find("issuer"), find("subject")
	if audience := find("audience"); audience != "" {
		c.Audience = []string{audience}
	}
	return c
}

// federate makes the commands that show which tokens an application takes, and that let it take one that was presented.
func federate(client string, c identity.Claims) []string {
	issuer, subject, audience := c.Issuer, c.Subject, exchange
	if issuer == "" {
		issuer = "ISSUER"
	}
	if subject == "" {
		subject = "SUBJECT"
	}
	if len(c.Audience) == 1 {
		audience = c.Audience[0]
	}
	// Strings and lists of strings always have a JSON.
	parameters, _ := json.Marshal(struct {
		Name      string   `json:"name"`
		Issuer    string   `json:"issuer"`
		Subject   string   `json:"subject"`
		Audiences []string `json:"audiences"`
	}{federationName(subject), issuer, subject, []string{audience}})
	steps := []string{
		"compare with what is expected, letter by letter, for upper and lower case count: az ad app federated-credential list --id " + client +
			" --query \"[].{issuer:issuer,subject:subject,audiences:audiences}\" --output json",
		"let in what was presented: az ad app federated-credential create --id " + client + " --parameters " + quoted(string(parameters)),
		"for a managed identity in place of an application: az identity federated-credential create --identity-name IDENTITY --resource-group RESOURCE_GROUP --name " +
			federationName(subject) + " --issuer " + quoted(issuer) + " --subject " + quoted(subject) + " --audiences " + quoted(audience),
	}
	if audience != exchange {
		steps = append(steps, fmt.Sprintf("Entra ID expects the audience %s by default, and this token is for %s: correct what the pipeline asks for, where it is not meant so", exchange, audience))
	}
	if strings.HasPrefix(subject, "repo:") {
		steps = append(steps, "GitHub makes the subject of what runs: a job with `environment:` is repo:OWNER/REPO:environment:NAME, one without is repo:OWNER/REPO:ref:refs/heads/BRANCH or :pull_request")
	}
	return steps
}

// federationName is a name that Azure takes, made of a subject.
func federationName(subject string) string {
	name := strings.Trim(regexp.MustCompile(`[^0-9A-Za-z]+`).ReplaceAllString(subject, "-"), "-")
	return ("sluice-" + name)[:min(len(name)+7, 120)]
}

// quoted is a word for a shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
