package azure_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/identity/azure"
	"github.com/sluice-dev/sluice/internal/identity/identitytest"
	"github.com/sluice-dev/sluice/test/entra"
	"github.com/sluice-dev/sluice/test/proxy"
)

func decode(t *testing.T, part string, to any) {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// situation is what there is to sign in with.
type situation struct {
	prepare  func(b *bed)
	way, who string
}

func situations() map[string]situation {
	return map[string]situation{
		"a secret": {func(b *bed) { b.named().set("AZURE_CLIENT_SECRET", secret) }, azure.WaySecret, client},
		"a secret, and all else": {func(b *bed) {
			b.named().set("AZURE_CLIENT_SECRET", secret).github(branch).aks(account).machine(client).azLogin()
		}, azure.WaySecret, client},
		"a certificate": {func(b *bed) { b.named().certificate() }, azure.WayCertificate, client},
		"a job of GitHub Actions": {func(b *bed) {
			b.named().github(branch).machine().azLogin()
		}, azure.WayPipeline + " (GitHub Actions)", client},
		"a step of Azure Pipelines with a connection": {func(b *bed) {
			b.devops().set("AZURESUBSCRIPTION_CLIENT_ID", client, "AZURESUBSCRIPTION_TENANT_ID", entra.Tenant, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "to-prod")
		}, azure.WayPipeline + " (Azure Pipelines)", client},
		"a pipeline that is an application itself": {func(b *bed) {
			b.Apps[0].Federated = []entra.Federated{{Issuer: "https://vstoken.dev.azure.com/acme", Subject: "p://acme/shop/release", Audience: exchange}}
			b.named().devops().set("AZURESUBSCRIPTION_CLIENT_ID", another, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "of another")
		}, azure.WayPipeline + " (Azure Pipelines)", client},
		"a pod":                               {func(b *bed) { b.named().aks(account).machine(another).azLogin() }, azure.WayAKS, client},
		"a machine":                           {func(b *bed) { b.machine(another).azLogin() }, azure.WayManaged, another},
		"one of the identities of a machine":  {func(b *bed) { b.machine(another, client).set("AZURE_CLIENT_ID", client) }, azure.WayManaged, client},
		"a laptop":                            {func(b *bed) { b.azLogin() }, azure.WayAz, "az"},
		"a machine without an identity":       {func(b *bed) { b.machine().azLogin() }, azure.WayAz, "az"},
		"a machine that has not that one":     {func(b *bed) { b.machine(another).set("AZURE_CLIENT_ID", client).azLogin() }, azure.WayAz, "az"},
		"a job without the permission, in az": {func(b *bed) { b.named().set("GITHUB_ACTIONS", "true").machine().azLogin() }, azure.WayAz, "az"},
		"a job whose token is for others":     {func(b *bed) { b.github(branch).machine().azLogin() }, azure.WayAz, "az"},
		"a machine of somebody else's cloud": {func(b *bed) {
			b.machine(another).azLogin()
			b.Fault = func(r *http.Request) http.HandlerFunc {
				if strings.HasPrefix(r.URL.Path, "/metadata") {
					return proxy.Answer(404, "<html>")
				}
				return nil
			}
		}, azure.WayAz, "az"},
		// The same application by other means is nobody else.
		"a runner in a pod":     {func(b *bed) { b.named().github("repo:acme/fork:pull_request").aks(account).azLogin() }, azure.WayAKS, client},
		"a runner on a machine": {func(b *bed) { b.named().github("repo:acme/fork:pull_request").machine(client).azLogin() }, azure.WayManaged, client},
	}
}

func TestEveryWay(t *testing.T) {
	for name, s := range situations() {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			s.prepare(b)
			chain := b.chain()
			token, err := chain.Token(t.Context(), b.scope)
			if err != nil {
				t.Fatal(err, fault.HintOf(err))
			}
			attempts := chain.Attempts()
			last := attempts[len(attempts)-1]
			if last.Way != s.way || !last.Worked() || as(t, token) != s.who {
				t.Errorf("it is %s by %v", as(t, token), last)
			}
			if !b.knows(token.Reveal()) {
				t.Error("the token is not known as a secret")
			}
			if token.Expires.Before(time.Now()) {
				t.Errorf("it ends at %v", token.Expires)
			}
			identitytest.Run(t, b.scope, func(*testing.T) identity.Source { return b.chain() })
		})
	}
}

// TestNobodyElse: what was given for an identity and is refused is an error, whoever else is at hand.
func TestNobodyElse(t *testing.T) {
	for name, prepare := range map[string]func(b *bed){
		"a wrong secret":                   func(b *bed) { b.named().set("AZURE_CLIENT_SECRET", "wrong").github(branch).aks(account) },
		"a secret without its application": func(b *bed) { b.set("AZURE_CLIENT_SECRET", secret) },
		"a secret without its tenant":      func(b *bed) { b.set("AZURE_CLIENT_SECRET", secret, "AZURE_CLIENT_ID", client) },
		"a certificate that is not there":  func(b *bed) { b.named().set("AZURE_CLIENT_CERTIFICATE_PATH", "/no.pem") },
		"a certificate that is none": func(b *bed) {
			b.named().set("AZURE_CLIENT_CERTIFICATE_PATH", "/cert.pem")
			b.files["/cert.pem"] = "very secret"
		},
		"a job that the application disowns":  func(b *bed) { b.named().github("repo:acme/fork:pull_request") },
		"a pod that the application disowns":  func(b *bed) { b.named().aks("system:serviceaccount:ci:other") },
		"a pod without its token":             func(b *bed) { b.named().set("AZURE_FEDERATED_TOKEN_FILE", "/no") },
		"a pod with something else":           func(b *bed) { b.named().set("AZURE_FEDERATED_TOKEN_FILE", "/x"); b.files["/x"] = "very secret" },
		"a machine that does not know itself": func(b *bed) { b.machine(another, client) },
		"a tenant that is none":               func(b *bed) { b.set("AZURE_CLIENT_ID", client, "AZURE_TENANT_ID", "'; reboot").github(branch) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			asked := b.azLogin()
			if name != "a machine that does not know itself" {
				b.machine(another)
			}
			prepare(b)
			chain := b.chain()
			err := identitytest.Refusing(t, chain, b.scope, secret, "very secret")
			var failure *identity.Failure
			if !errors.As(err, &failure) || failure.Decided == "" || fault.HintOf(err) == "" {
				t.Fatalf("it gave %v, hint %q", err, fault.HintOf(err))
			}
			if diff := cmp.Diff(len(failure.Attempts), len(chain.Attempts())); diff != "" {
				t.Error(diff)
			}
			if _, err := os.Stat(asked); !errors.Is(err, os.ErrNotExist) {
				t.Error("az was asked")
			}
			if len(b.Given()) > 0 {
				t.Error("a token was given to somebody else")
			}
		})
	}
}

// TestNobody: every way says what it would need.
func TestNobody(t *testing.T) {
	b := newBed(t)
	chain := b.chain()
	if len(chain.Attempts()) > 0 {
		t.Error("there are attempts before anybody asked")
	}
	err := identitytest.Refusing(t, chain, b.scope)
	want := `sign in to Azure: no way led to a token
  service principal (secret): not tried: AZURE_CLIENT_SECRET, AZURE_CLIENT_ID, AZURE_TENANT_ID
  service principal (certificate): not tried: AZURE_CLIENT_CERTIFICATE_PATH, AZURE_CLIENT_ID, AZURE_TENANT_ID
  workload identity federation: not tried: a job of GitHub Actions or Azure Pipelines
  AKS workload identity: not tried: AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID, AZURE_TENANT_ID
  managed identity: not tried: a machine of Azure: nothing answers at 169.254.169.254
  az login: not tried: the program az, and a login with it`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if hint := fault.HintOf(err); !strings.Contains(hint, "az login") {
		t.Errorf("the hint is %q", hint)
	}
}

func TestOneTokenForEverybody(t *testing.T) {
	b := newBed(t).named().set("AZURE_CLIENT_SECRET", secret)
	chain := b.chain()
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if _, err := chain.Token(t.Context(), b.scope); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if n := len(b.Given()); n != 1 {
		t.Errorf("%d tokens were given", n)
	}
	if _, err := chain.Token(t.Context(), "https://management.azure.com/.default"); err != nil || len(b.Given()) != 2 {
		t.Errorf("another service gave %v, and %d tokens", err, len(b.Given()))
	}
	// A service may demand a new one.
	if _, err := chain.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{b.scope}, EnableCAE: true, Claims: `{"access_token":{}}`}); err != nil || len(b.Given()) != 3 {
		t.Errorf("a demand gave %v, and %d tokens", err, len(b.Given()))
	}
}

func TestTokensAreRenewedBeforeTheyEnd(t *testing.T) {
	b := newBed(t).named().github(branch)
	b.Life = 4 * time.Minute
	chain := b.chain()
	ask := func() identity.Token {
		t.Helper()
		token, err := chain.Token(t.Context(), b.scope)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := ask()
	b.ahead = time.Minute
	if ask().Reveal() != first.Reveal() {
		t.Error("it was renewed after a quarter of its life")
	}
	b.ahead = 3 * time.Minute
	// Whoever cannot renew it goes on with what there is, and does not ask each time.
	b.Fault = func(*http.Request) http.HandlerFunc { return proxy.Answer(503, "") }
	before := len(b.Seen())
	for range 2 {
		if ask().Reveal() != first.Reveal() {
			t.Error("it was renewed by nobody")
		}
	}
	asked := len(b.Seen()) - before
	if asked == 0 || asked > 2 {
		t.Errorf("%d requests were made", asked)
	}
	b.Fault = nil
	b.ahead = 3*time.Minute + 40*time.Second
	if ask().Reveal() == first.Reveal() {
		t.Error("it was not renewed before its end")
	}
	// The identity stays: when the way is lost, the run is.
	b.azLogin()
	delete(b.env, "AZURE_CLIENT_ID")
	b.Fault = func(*http.Request) http.HandlerFunc { return proxy.Answer(503, "") }
	b.ahead = time.Hour
	err := identitytest.Refusing(t, chain, b.scope)
	var failure *identity.Failure
	if !errors.As(err, &failure) || !strings.Contains(failure.Decided, "signed in by it before") || !strings.Contains(err.Error(), "answered 503") {
		t.Errorf("it gave %v", err)
	}
}

func TestWhatFailedIsNotAskedEachTime(t *testing.T) {
	b := newBed(t).named().set("AZURE_CLIENT_SECRET", "wrong")
	chain := b.chain()
	one := identitytest.Refusing(t, chain, b.scope)
	asked := len(b.Seen())
	two := identitytest.Refusing(t, chain, b.scope)
	if len(b.Seen()) != asked || one.Error() != two.Error() {
		t.Errorf("it was asked again: %v", b.Seen())
	}
	b.Apps[0].Secret = "wrong"
	b.ahead = time.Minute
	if _, err := chain.Token(t.Context(), b.scope); err != nil {
		t.Errorf("a minute later it gave %v", err)
	}
}

func TestWaitingForAnotherIsInterrupted(t *testing.T) {
	b := newBed(t).named().set("AZURE_CLIENT_SECRET", secret)
	begun, over := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.Fault = func(r *http.Request) http.HandlerFunc {
		once.Do(func() { close(begun) })
		<-over
		return nil
	}
	chain := b.chain()
	done := make(chan error)
	go func() {
		_, err := chain.Token(t.Context(), b.scope)
		done <- err
	}()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := chain.Token(ctx, b.scope); !fault.Is(err, fault.Interrupted) {
		t.Errorf("the one who waits got %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := chain.Token(late, b.scope); !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), b.Authority()) {
		t.Errorf("the one whose time is over got %v, hint %q", err, fault.HintOf(err))
	}
	close(over)
	if err := <-done; err != nil {
		t.Errorf("the one who signed in got %v", err)
	}
}
