package azure_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/identity/azure"
	"github.com/sluice-dev/sluice/internal/identity/pipeline"
	"github.com/sluice-dev/sluice/test/entra"
)

const (
	client  = "aaaaaaaa-1111-2222-3333-444444444444"
	another = "bbbbbbbb-1111-2222-3333-444444444444"
	secret  = "the secret of the application"

	githubIssuer = "https://token.actions.githubusercontent.com"
	branch       = "repo:acme/shop:ref:refs/heads/main"
	aksIssuer    = "https://westeurope.oic.prod-aks.azure.com/tenant/cluster/"
	account      = "system:serviceaccount:ci:sluice"
	exchange     = "api://AzureADTokenExchange"
)

// bed is Entra ID, and surroundings that hold nothing of themselves.
type bed struct {
	*entra.Server
	t     *testing.T
	env   map[string]string
	files map[string]string
	ahead time.Duration
	// scope is one that no other test asks for: the library keeps tokens of machines for the whole process.
	scope string

	mu      sync.Mutex
	learned []string
}

func newBed(t *testing.T) *bed {
	service := strings.ToLower(rand.Text()) + ".vault.test"
	b := &bed{Server: entra.Start(), t: t, files: map[string]string{}, scope: "https://" + service + "/.default"}
	t.Cleanup(b.Close)
	b.Apps = []entra.App{{Client: client, Object: "object-of-the-app", Secret: secret, Expired: "last year's secret", Federated: []entra.Federated{
		{Issuer: githubIssuer, Subject: branch, Audience: exchange},
		{Issuer: "https://vstoken.dev.azure.com/acme", Subject: "sc://acme/shop/to-prod", Audience: exchange},
		{Issuer: aksIssuer, Subject: account, Audience: exchange},
	}}}
	b.env = map[string]string{"AZURE_AUTHORITY_HOST": b.Authority()}
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "IMDS_ENDPOINT", "AZURE_REGIONAL_AUTHORITY_NAME"} {
		t.Setenv(name, "")
	}
	t.Setenv("PATH", "/nowhere")
	return b
}

func (b *bed) set(pairs ...string) *bed {
	for i := 0; i+1 < len(pairs); i += 2 {
		b.env[pairs[i]] = pairs[i+1]
	}
	return b
}

// named names the application.
func (b *bed) named() *bed { return b.set("AZURE_CLIENT_ID", client, "AZURE_TENANT_ID", entra.Tenant) }

// assertion is what a pipeline or a cluster signs.
func assertion(issuer, subject, audience string) string {
	return entra.JWT(map[string]any{"iss": issuer, "sub": subject, "aud": audience, "exp": time.Now().Add(10 * time.Minute).Unix()})
}

// github lets a job of GitHub Actions be given tokens for a subject.
func (b *bed) github(subject string) *bed {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"value": assertion(githubIssuer, subject, r.URL.Query().Get("audience"))})
	}))
	b.t.Cleanup(server.Close)
	return b.set("GITHUB_ACTIONS", "true", "ACTIONS_ID_TOKEN_REQUEST_URL", server.URL+"/?id=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "token of the job")
}

// devops lets a job of Azure Pipelines be given tokens.
func (b *bed) devops() *bed {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		subject := "p://acme/shop/release"
		if connection := r.URL.Query().Get("serviceConnectionId"); connection != "" {
			subject = "sc://acme/shop/" + connection
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"oidcToken": assertion("https://vstoken.dev.azure.com/acme", subject, exchange)})
	}))
	b.t.Cleanup(server.Close)
	return b.set("TF_BUILD", "True", "SYSTEM_OIDCREQUESTURI", server.URL, "SYSTEM_ACCESSTOKEN", "token of the job")
}

// aks puts the token of a service account where AKS does.
func (b *bed) aks(subject string) *bed {
	b.files["/var/run/secrets/azure/tokens/azure-identity-token"] = assertion(aksIssuer, subject, exchange) + "\n"
	return b.set("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token")
}

// machine lets this run on one of Azure with identities.
func (b *bed) machine(clients ...string) *bed {
	b.Machine = []entra.App{}
	for _, c := range clients {
		b.Machine = append(b.Machine, entra.App{Client: c, Object: "object-of-the-machine"})
	}
	return b
}

// az puts a program of that name into the PATH, which says something and ends with a code. What it is asked is written to the file returned.
func (b *bed) az(stdout, stderr string, code int) (asked string) {
	b.t.Helper()
	dir := b.t.TempDir()
	asked = filepath.Join(dir, "asked")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >> %s\ncat <<'END'\n%s\nEND\ncat >&2 <<'END'\n%s\nEND\nexit %d\n", asked, stdout, stderr, code)
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(script), 0o755); err != nil {
		b.t.Fatal(err)
	}
	b.t.Setenv("PATH", dir+":/usr/bin:/bin")
	return asked
}

func (b *bed) azLogin() (asked string) {
	token := entra.JWT(map[string]any{"aud": "https://vault.azure.net", "appid": "az", "tid": entra.Tenant})
	return b.az(fmt.Sprintf(`{"accessToken": %q, "expires_on": %d, "tokenType": "Bearer"}`, token, time.Now().Add(time.Hour).Unix()), "", 0)
}

func (b *bed) lookup(name string) (string, bool) {
	text, ok := b.env[name]
	return text, ok
}

func (b *bed) chain() *azure.Chain {
	learn := func(secrets ...string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.learned = append(b.learned, secrets...)
	}
	return azure.New(azure.Options{
		LookupEnv: b.lookup, Pipeline: pipeline.New(pipeline.Options{LookupEnv: b.lookup, Learn: learn}), Learn: learn,
		Transport: b.Client(), Metadata: b.Client(), Retry: policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Millisecond, MaxRetryDelay: time.Millisecond},
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := b.files[path]; ok {
				return []byte(text), nil
			}
			return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrNotExist}
		},
		Now: func() time.Time { return time.Now().Add(b.ahead) },
	})
}

// knows says whether all of the secrets became known.
func (b *bed) knows(secrets ...string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Join(b.learned, "\x00")
	for _, s := range secrets {
		if !strings.Contains(all, s) {
			return false
		}
	}
	return true
}

// as is the application that a token is of.
func as(t *testing.T, token identity.Token) string {
	t.Helper()
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	var says struct {
		Client string `json:"appid"`
	}
	decode(t, parts[1], &says)
	return says.Client
}

func pipelineOf(b *bed) azure.Pipeline { return pipeline.New(pipeline.Options{LookupEnv: b.lookup}) }

// recorder sends everything to one server, and keeps where it was meant to go.
type recorder struct {
	next  *http.Client
	to    string
	hosts map[string]int
}

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	if r.hosts == nil {
		r.hosts = map[string]int{}
	}
	r.hosts[request.URL.Host]++
	again := request.Clone(request.Context())
	again.URL.Host, again.Host = strings.TrimPrefix(r.to, "https://"), request.URL.Host
	again.RequestURI = ""
	return r.next.Do(again)
}
