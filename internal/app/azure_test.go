package app

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	who "github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/entra"
)

// TestRegistriesOfAzureAskTheChain: whoever this run is in Azure is who its registries are asked as, and what that takes is secret.
func TestRegistriesOfAzureAskTheChain(t *testing.T) {
	server := entra.Start()
	t.Cleanup(server.Close)
	server.Apps = []entra.App{{Client: "aaaaaaaa-1111-2222-3333-444444444444", Secret: "the secret of the application"}}
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	trusting := before.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{RootCAs: server.Roots(), MinVersion: tls.VersionTLS12}
	http.DefaultTransport = trusting

	env := map[string]string{
		"AZURE_AUTHORITY_HOST": server.Authority(), "AZURE_TENANT_ID": entra.Tenant, "AZURE_CLIENT_ID": "aaaaaaaa-1111-2222-3333-444444444444",
		"AZURE_CLIENT_SECRET": "a wrong secret",
	}
	open := func() (*App, *variables.Masker) {
		secrets := &variables.Masker{}
		return New(Options{Secrets: secrets, Now: time.Now, LookupEnv: func(name string) (string, bool) { text, ok := env[name]; return text, ok }}), secrets
	}
	a, secrets := open()
	_, _, err := a.registry().Credentials(t.Context(), "acme.azurecr.io")
	var failure *who.Failure
	if !errors.As(err, &failure) || !strings.Contains(err.Error(), "AADSTS7000215") || !strings.Contains(fault.HintOf(err), "not its ID") {
		t.Errorf("it gave %v, hint %q", err, fault.HintOf(err))
	}
	if !secrets.Holds("a wrong secret") || len(a.azure.Attempts()) != 1 {
		t.Errorf("the secret is not known as one, or %d ways were tried", len(a.azure.Attempts()))
	}
	env["AZURE_CLIENT_SECRET"] = "the secret of the application"
	a, secrets = open()
	if _, err := a.azure.Token(t.Context(), "https://vault.azure.net/.default"); err != nil {
		t.Fatal(err)
	}
	if given := server.Given(); len(given) != 1 || !secrets.Holds(given[0]) {
		t.Errorf("%d tokens were given, or it is not known as a secret", len(given))
	}
}
