package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	port "github.com/sluice-dev/sluice/internal/cluster"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/test/entra"
)

// found returns the findings of a report with a code, as text.
func found(r doctor.Report, code string) string {
	var b strings.Builder
	for _, s := range r.Sections {
		for _, f := range s.Findings {
			if f.Code == code {
				b.WriteString(strings.Join(append(append([]string{string(f.Severity) + " " + f.Title}, f.Evidence...), f.Next...), "\n") + "\n")
			}
		}
	}
	return b.String()
}

// projectOf is one service with a variable, in one environment.
func projectOf(env v1alpha1.Environment) *config.File {
	env.Namespace = "shop"
	return &config.File{Dir: "/nowhere", Project: v1alpha1.Project{
		Services:     map[string]v1alpha1.Service{"app": {Chart: "chart", Variables: map[string]v1alpha1.Variable{"DB_PASSWORD": {}}}},
		Environments: map[string]v1alpha1.Environment{"prod": env},
	}}
}

// TestDiagnoseAFederationThatIsNotTrusted lets a job of GitHub Actions show a token for which the application has no federated credential.
func TestDiagnoseAFederationThatIsNotTrusted(t *testing.T) {
	const client, subject = "aaaaaaaa-1111-2222-3333-444444444444", "repo:acme/shop:environment:prod"
	directory := entra.Start()
	t.Cleanup(directory.Close)
	issuer := "https://token.actions.githubusercontent.com"
	directory.Apps = []entra.App{{Client: client, Federated: []entra.Federated{{Issuer: issuer, Subject: "repo:acme/shop:ref:refs/heads/main", Audience: "api://AzureADTokenExchange"}}}}
	token := entra.JWT(map[string]any{"iss": issuer, "sub": subject, "aud": "api://AzureADTokenExchange", "exp": time.Now().Add(time.Hour).Unix()})
	actions := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"value": token})
	}))
	t.Cleanup(actions.Close)
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	trusting := before.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{RootCAs: directory.Roots(), MinVersion: tls.VersionTLS12}
	http.DefaultTransport = trusting
	environment := map[string]string{
		"AZURE_AUTHORITY_HOST": directory.Authority(), "AZURE_TENANT_ID": entra.Tenant, "AZURE_CLIENT_ID": client,
		"GITHUB_ACTIONS": "true", "ACTIONS_ID_TOKEN_REQUEST_URL": actions.URL + "/?a=b", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token-of-the-job",
	}
	a := New(Options{Now: time.Now, LookupEnv: func(name string) (string, bool) { text, ok := environment[name]; return text, ok }})

	file := projectOf(v1alpha1.Environment{Cluster: inAzure(), Variables: &v1alpha1.VariableStore{KeyVault: "shop"}})
	all, err := a.Diagnose(t.Context(), DiagnoseRequest{File: file, Services: []string{"app"}, Environments: []string{"prod"}})
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v: %v", all, err)
	}
	r := doctor.Connect(all[0])
	attempt := found(r, "identity.attempt")
	for _, want := range []string{
		"failed ", "presented issuer:   " + issuer, "presented subject:  " + subject, "presented audience: api://AzureADTokenExchange", "AADSTS700213",
		"az ad app federated-credential list --id " + client, "az ad app federated-credential create --id " + client, `"subject": "` + subject + `"`,
	} {
		if !strings.Contains(attempt, want) {
			t.Errorf("it does not say %q:\n%s", want, attempt)
		}
	}
	if text := found(r, "identity.signedIn"); !strings.Contains(text, "AKS cluster production") || !strings.Contains(text, "Key Vault shop") {
		t.Errorf("who needs it: %s", text)
	}
	if text := found(r, "cluster.settings"); !strings.HasPrefix(text, "failed ") || !strings.Contains(text, "see identity") {
		t.Errorf("settings: %s", text)
	}
	if text := found(r, "variables.store"); !strings.HasPrefix(text, "failed ") {
		t.Errorf("the store: %s", text)
	}
	if strings.Contains(attempt, token) {
		t.Error("the token is told")
	}
}

// TestDiagnoseACarriedCluster has no network to look at: something else carries the requests.
func TestDiagnoseACarriedCluster(t *testing.T) {
	a, spec := New(Options{Now: time.Now, LookupEnv: func(string) (string, bool) { return "", false }}), inAzure()
	a.found[*spec.AKS] = &port.Access{Server: "https://a.invalid", Transport: &carrying{}, Interval: time.Second, Notices: []string{"requests go through run-command"}}
	all, err := a.Diagnose(t.Context(), DiagnoseRequest{File: projectOf(v1alpha1.Environment{Cluster: spec}), Services: []string{"app"}, Environments: []string{"prod"}})
	if err != nil {
		t.Fatal(err)
	}
	r := doctor.Connect(all[0])
	if text := found(r, "cluster.settings"); !strings.HasPrefix(text, "warning ") || !strings.Contains(text, "run-command") {
		t.Errorf("settings: %s", text)
	}
	if text := found(r, "cluster.name"); text != "" {
		t.Errorf("the network is looked at: %s", text)
	}
	if text := found(r, "cluster.answer"); !strings.Contains(text, "no room") || !strings.Contains(text, "make room") {
		t.Errorf("answer: %s", text)
	}
}

// TestBounded ends a question that does not end itself.
func TestBounded(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	_, err := bounded(t.Context(), New(Options{}), "something", time.Millisecond, func(context.Context) (int, error) {
		<-release
		return 1, nil
	})
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "no answer within 1ms") {
		t.Errorf("it ended with %v", err)
	}
}
