package doctor

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
)

const job = "repo:shop/app:environment:prod"

// refusal is an error as a Source returns it.
func refusal(code, says string) error {
	return fault.Wrap(fault.Unreachable, "sign in", &identity.Refusal{Code: code, Says: says})
}

func TestSignIn(t *testing.T) {
	const found = "client 11111111-2222, tenant 99999999-8888"
	presented := &identity.Claims{Issuer: "https://token.actions.githubusercontent.com", Subject: job, Audience: []string{exchange}}
	for name, test := range map[string]struct {
		attempt identity.Attempt
		want    []string
	}{
		"not tried": {identity.Attempt{Way: "service principal", Missing: "AZURE_CLIENT_ID"}, []string{"skipped", "service principal: not tried: AZURE_CLIENT_ID"}},
		"worked":    {identity.Attempt{Way: "az login", Found: found}, []string{"ok", "signed in as " + found}},
		"no federated credential for the subject": {
			identity.Attempt{Way: "federation", Found: found, Presented: presented, Err: refusal("AADSTS700213", "No matching federated identity record found for presented assertion subject '" + job + "'.")},
			[]string{
				"failed", "presented subject:  " + job, "az ad app federated-credential list --id 11111111-2222",
				"az ad app federated-credential create --id 11111111-2222 --parameters '{\"name\":\"sluice-repo-shop-app-environment-prod\",\"issuer\":\"https://token.actions.githubusercontent.com\",\"subject\":\"" +job+ "\",\"audiences\":[\"" + exchange + "\"]}'",
				"az identity federated-credential create",
			},
		},
		"what was presented is only in the text": {
			identity.Attempt{Way: "federation", Found: found, Err: errors.New("AADSTS70021: No matching federated identity record found for presented assertion. Assertion Issuer: 'https://issuer'. Assertion Subject: 'sc://org/project/it''s'. Assertion Audience: 'other'.")},
			[]string{"failed", `"issuer":"https://issuer"`, `"audiences":["other"]`, "expects the audience " + exchange},
		},
		"an expired secret": {identity.Attempt{Way: "secret", Found: found, Err: refusal("AADSTS7000222", "expired")}, []string{"failed", "az ad app credential reset --append --id 11111111-2222"}},
		"another tenant":    {identity.Attempt{Way: "secret", Found: found, Err: refusal("AADSTS700016", "not found")}, []string{"failed", "99999999-8888 has no application 11111111-2222"}},
		"no such tenant":    {identity.Attempt{Way: "secret", Found: found, Err: refusal("AADSTS90002", "not found")}, []string{"failed", "no tenant 99999999-8888"}},
		"an unknown code":   {identity.Attempt{Way: "secret", Found: found, Err: fault.New(fault.Unreachable, "sign in", "AADSTS1: no").WithHint("ask somebody")}, []string{"failed", "ask somebody"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.attempt.Err
			f := healthy(func(f *Facts) { f.SignIn = &SignIn{Attempts: []identity.Attempt{test.attempt}, Err: err} })
			found := find(t, Connect(f), "identity.attempt")
			for _, want := range test.want {
				if text := says(found); !strings.Contains(text, want) {
					t.Errorf("it does not say %q:\n%s", want, text)
				}
			}
		})
	}
}

// TestOneWayIsEnough keeps a way that failed before another one worked from failing the whole.
func TestOneWayIsEnough(t *testing.T) {
	r := Connect(healthy(func(f *Facts) {
		f.SignIn = &SignIn{For: []string{"Key Vault shop"}, Attempts: []identity.Attempt{
			{Way: "machine", Found: "m", Err: errors.New("no")}, {Way: "az login", Found: "me"},
		}}
	}))
	if r.Count(Failed) != 0 || r.Count(Warning) != 1 || !strings.Contains(says(find(t, r, "identity.signedIn")), "Key Vault shop") {
		t.Errorf("%+v", r.Sections[0])
	}
}

// TestNobodyIsSignedInOnce keeps the ways that were tried from being told for everything that needs an identity.
func TestNobodyIsSignedInOnce(t *testing.T) {
	failure := &identity.Failure{Attempts: []identity.Attempt{{Way: "secret", Found: "client c", Err: refusal("AADSTS7000222", "expired")}}}
	r := Connect(healthy(func(f *Facts) {
		err := identity.Failed("sign in", "", failure)
		f.SignIn, f.Cluster.Settings = &SignIn{Attempts: failure.Attempts, Err: err}, err
	}))
	if text := says(find(t, r, "cluster.settings")); !strings.Contains(text, "see identity") || strings.Contains(text, "AADSTS") {
		t.Errorf("settings: %s", text)
	}
}

// TestParametersAreSafe puts what somebody else wrote into a command for a shell.
func TestParametersAreSafe(t *testing.T) {
	steps := federate("c", identity.Claims{Issuer: "https://i", Subject: `a'; rm -rf /; "b`, Audience: []string{exchange}})
	_, word, _ := strings.Cut(steps[1], "--parameters ")
	inner := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(word, "'"), "'"), `'\''`, "'")
	var parameters struct{ Subject, Name string }
	if err := json.Unmarshal([]byte(inner), &parameters); err != nil || parameters.Subject != `a'; rm -rf /; "b` || parameters.Name != "sluice-a-rm-rf-b" {
		t.Errorf("parameters %q: %v, %+v", word, err, parameters)
	}
	if strings.Count(strings.ReplaceAll(word, `'\''`, ""), "'") != 2 {
		t.Errorf("the word ends early: %s", word)
	}
}
