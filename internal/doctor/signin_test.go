package doctor

import (
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
	presented := &identity.Claims{Issuer: "https://token.actions.githubusercontent.com", Subject: job, Audience: []string{"api://AzureADTokenExchange"}}
	for name, test := range map[string]struct {
		attempt identity.Attempt
		want    []string
	}{
		"not tried": {identity.Attempt{Way: "service principal", Missing: "AZURE_CLIENT_ID"}, []string{"skipped", "service principal: not tried: AZURE_CLIENT_ID"}},
		"worked":    {identity.Attempt{Way: "az login", Found: found}, []string{"ok", "signed in as " + found}},
		"no federated credential for the subject": {
			identity.Attempt{Way: "federation", Found: found, Presented: presented, Err: fault.New(fault.Unreachable, "", "%w", &identity.Refusal{Code: "AADSTS700213", Says: "no matching record"}).
				WithHint("compare with: az ad app federated-credential list --id 11111111-2222; or trust it: az ad app federated-credential create")},
			[]string{
				"failed", "presented issuer:   https://token.actions.githubusercontent.com\n", "presented subject:  " + job + "\n", "presented audience: api://AzureADTokenExchange\n",
				"AADSTS700213: no matching record\n", "compare with: az ad app federated-credential list --id 11111111-2222\nor trust it: ",
			},
		},
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
