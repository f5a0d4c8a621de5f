package azure_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/identity/azure"
	"github.com/sluice-dev/sluice/internal/identity/identitytest"
	"github.com/sluice-dev/sluice/test/entra"
	"github.com/sluice-dev/sluice/test/proxy"
)

// newCertificate makes one with its key, in PEM.
func newCertificate(t *testing.T) (string, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sluice"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})) + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), parsed
}

// certificate lets the application sign in with one.
func (b *bed) certificate() *bed {
	text, parsed := newCertificate(b.t)
	b.files["/cert.pem"], b.Apps[0].Certificate = text, parsed
	return b.set("AZURE_CLIENT_CERTIFICATE_PATH", "/cert.pem")
}

// TestRefusals: each code that matters has a cure that names what was presented.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		prepare    func(b *bed)
		code       string
		want, hint string
	}{
		"a wrong secret": {func(b *bed) { b.named().set("AZURE_CLIENT_SECRET", "its ID") }, "AADSTS7000215",
			"as client " + client + " of tenant " + entra.Tenant + ": AADSTS7000215: Invalid client secret provided. Ensure", "the value of a secret, not its ID"},
		"an expired secret":        {func(b *bed) { b.named().set("AZURE_CLIENT_SECRET", "last year's secret") }, "AADSTS7000222", "are expired", "az ad app credential reset --id " + client},
		"a certificate of another": {func(b *bed) { b.named().certificate(); b.Apps[0].Certificate = nil }, "AADSTS700027", "is not registered", "--cert @CERTIFICATE.pem"},
		"no such application": {func(b *bed) {
			b.set("AZURE_TENANT_ID", entra.Tenant, "AZURE_CLIENT_ID", another, "AZURE_CLIENT_SECRET", secret)
		}, "AADSTS700016", "was not found in the directory", "az ad app show --id " + another},
		"no such tenant": {func(b *bed) {
			b.set("AZURE_TENANT_ID", another, "AZURE_CLIENT_ID", client, "AZURE_CLIENT_SECRET", secret)
		}, "AADSTS90002", "Tenant '" + another + "' not found", "az account show --query tenantId"},
		"no such service": {func(b *bed) {
			b.named().set("AZURE_CLIENT_SECRET", secret)
			b.Resources = []string{"https://graph.microsoft.com"}
		}, "AADSTS500011", "The resource principal named https://", "tenant " + entra.Tenant + " does not know the service https://"},
		"a branch that is not trusted": {func(b *bed) { b.named().github("repo:acme/shop:ref:refs/heads/topic") }, "AADSTS700213",
			"presented was a token by issuer " + githubIssuer + " for subject repo:acme/shop:ref:refs/heads/topic and audience " + exchange,
			`az ad app federated-credential create --id ` + client + ` --parameters '{"name": "sluice", "issuer": "` + githubIssuer + `", "subject": "repo:acme/shop:ref:refs/heads/topic", "audiences": ["` + exchange + `"]}'`},
		"a subject in other letters":      {func(b *bed) { b.named().github("repo:ACME/shop:ref:refs/heads/main") }, "AADSTS7002138", "case-sensitive", "also in upper and lower case"},
		"an issuer that is not trusted":   {func(b *bed) { b.named().devops(); b.Apps[0].Federated = b.Apps[0].Federated[:1] }, "AADSTS700211", "presented assertion issuer", "--issuer https://vstoken.dev.azure.com/acme --subject p://acme/shop/release"},
		"an audience that is not trusted": {func(b *bed) { b.named().github(branch); b.Apps[0].Federated[0].Audience = "api://else" }, "AADSTS700212", "presented assertion audience", "--audiences " + exchange},
		// Whoever may name a branch may not name a command that somebody pastes.
		"a branch with a command in its name": {func(b *bed) { b.named().github("repo:acme/shop:ref:refs/heads/x';reboot;'") }, "AADSTS700213", "reboot", "--subject SUBJECT --audiences"},
		"a login of az that has ended": {func(b *bed) {
			b.az("", "ERROR: AADSTS70043: The refresh token has expired or is invalid due to sign-in frequency checks by conditional access. Trace ID: 5cb99b7e\nInteractive authentication is needed. Please run:\naz login --scope https://vault.azure.net/.default", 1)
		}, "AADSTS70043", "az login: as whoever signed in to it: AADSTS70043: The refresh token has expired", "sign in again: az login"},
		"something new": {func(b *bed) {
			b.named().set("AZURE_CLIENT_SECRET", secret)
			b.Fault = func(*http.Request) http.HandlerFunc {
				return proxy.Answer(400, `{"error": "invalid_grant", "error_description": "AADSTS99999: Something that nobody knows yet.\r\nTrace ID: 1", "error_codes": [99999]}`)
			}
		}, "AADSTS99999", "Something that nobody knows yet.", "https://login.microsoftonline.com/error?code=99999"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			c.prepare(b)
			err := identitytest.Refusing(t, b.chain(), b.scope, secret, "last year's secret", "token of the job")
			var refusal *identity.Refusal
			if !errors.As(err, &refusal) || refusal.Code != c.code || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "Trace ID") {
				t.Errorf("it gave %v", err)
			}
			if hint := fault.HintOf(err); !strings.Contains(hint, c.hint) || strings.Contains(hint, "reboot") {
				t.Errorf("the hint is %q", hint)
			}
		})
	}
}

// TestFailures: where nobody says no, it is told who did not answer, and nothing is repeated of what answers in the place of Entra ID.
func TestFailures(t *testing.T) {
	always := func(handler http.HandlerFunc) func(b *bed) {
		return func(b *bed) {
			b.named().set("AZURE_CLIENT_SECRET", secret)
			b.Fault = func(*http.Request) http.HandlerFunc { return handler }
		}
	}
	machine := func(handler http.HandlerFunc) func(b *bed) {
		return func(b *bed) {
			b.machine(another)
			b.Fault = func(r *http.Request) http.HandlerFunc {
				if r.Header.Get("Metadata") != "" {
					return handler
				}
				return nil
			}
		}
	}
	for name, c := range map[string]struct {
		prepare    func(b *bed)
		want, hint string
	}{
		"a page":               {always(proxy.Answer(200, "<html>very secret</html>")), "answered 200, and not as Entra ID does", "a proxy or a sign-in page"},
		"a refusal":            {always(proxy.Answer(403, `{"error": "very secret"}`)), "answered 403, and not as Entra ID does", "a proxy or a sign-in page"},
		"a failure":            {always(proxy.Answer(503, "very secret")), "answered 503", "run the command again"},
		"a reset":              {always(proxy.Reset), "does not answer: ", "check the network and the proxy"},
		"a cut":                {always(proxy.Cut(`{"access_token": "very secret`)), "does not answer: ", "check the network and the proxy"},
		"nobody":               {func(b *bed) { b.named().set("AZURE_CLIENT_SECRET", secret); b.Close() }, "does not answer: ", "check the network and the proxy"},
		"no identity":          {func(b *bed) { b.machine(another, client) }, "several identities are assigned to this machine", "AZURE_CLIENT_ID"},
		"a machine that fails": {machine(proxy.Answer(500, "very secret")), "managed identity: as the machine's own identity: the identity service of this machine answered 500", "run the command again"},
		"a service that the machine does not know": {machine(proxy.Answer(400, `{"error": "invalid_resource", "error_description": "AADSTS500011: The resource principal named x was not found.\r\nTrace ID: 1"}`)), "AADSTS500011", "does not know the service"},
		"az without a login":                       {func(b *bed) { b.az("", "WARNING: old\nERROR: Please run 'az login' to setup account.", 1) }, "az login: as whoever signed in to it: it says: Please run 'az login' to setup account", "sign in: az login"},
		"az in another tenant": {func(b *bed) {
			b.set("AZURE_TENANT_ID", entra.Tenant)
			b.az("", "ERROR: Please run 'az login' to setup account.", 1)
		}, "in tenant " + entra.Tenant, "az login --tenant " + entra.Tenant},
		"the pipeline gives nothing": {func(b *bed) {
			b.named().github(branch).set("ACTIONS_ID_TOKEN_REQUEST_URL", b.Authority())
		}, "the token service of GitHub Actions", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			c.prepare(b)
			err := identitytest.Refusing(t, b.chain(), b.scope, secret, "very secret")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("it gave %v, hint %q", err, fault.HintOf(err))
			}
		})
	}
}

func TestClouds(t *testing.T) {
	for _, wrong := range []string{"login.microsoftonline.us", "http://login.microsoftonline.us", "https://", "https://user@x"} {
		b := newBed(t).named().set("AZURE_CLIENT_SECRET", secret, "AZURE_AUTHORITY_HOST", wrong)
		if _, err := b.chain().Token(t.Context(), b.scope); !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "https://login.microsoftonline.us") {
			t.Errorf("%s gave %v", wrong, err)
		}
	}
	// Which host is asked for what, and with which audience, of the clouds themselves.
	for authority, audience := range map[string]string{
		"":                                  "api://AzureADTokenExchange",
		"https://login.microsoftonline.us/": "api://AzureADTokenExchangeUSGov",
		"https://login.chinacloudapi.cn":    "api://AzureADTokenExchangeChina",
		"https://login.example.test":        "api://AzureADTokenExchange",
	} {
		b := newBed(t).named().github(branch).set("AZURE_AUTHORITY_HOST", authority)
		asked := &recorder{next: b.Client(), to: b.Authority()}
		chain := azure.New(azure.Options{LookupEnv: b.lookup, Pipeline: pipelineOf(b), Transport: asked, Metadata: b.Client()})
		b.Apps[0].Federated[0].Audience = audience
		if _, err := chain.Token(t.Context(), b.scope); err != nil {
			t.Errorf("%s gave %v", authority, err)
		}
		if authority == "" {
			authority = "https://login.microsoftonline.com"
		}
		if asked.hosts[strings.TrimSuffix(strings.TrimPrefix(authority, "https://"), "/")] == 0 {
			t.Errorf("%s was not asked, but %v", authority, asked.hosts)
		}
	}
}
