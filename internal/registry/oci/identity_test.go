package oci_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/identity"
	"github.com/sluice-dev/sluice/internal/identity/identitytest"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/distribution"
	"github.com/sluice-dev/sluice/test/proxy"
)

// entraToken is an access token of Entra ID for the identity of a run.
func entraToken() string {
	claims, _ := json.Marshal(map[string]any{"tid": "tenant", "oid": "object-of-the-run", "aud": "https://containerregistry.azure.net"})
	return "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".c2lnbmF0dXJl"
}

// asIdentity are options of a run that is somebody in Azure, for which every registry on loopback is one of Azure's.
func asIdentity(source identity.Source) oci.Options {
	o := fast()
	o.Identity, o.Azure = source, func(string) bool { return true }
	return o
}

func azureRegistry(t *testing.T, fault func(http.Handler) http.Handler) (*distribution.Server, *distribution.Tokens, *identitytest.Fake) {
	t.Helper()
	tokens := &distribution.Tokens{Entra: entraToken(), Tenant: "tenant", User: "robot", Password: "s3cret"}
	server := start(t, distribution.Options{Referrers: true, Auth: func(next http.Handler) http.Handler {
		if next = tokens.Auth(next); fault != nil {
			next = fault(next)
		}
		return next
	}})
	return server, tokens, &identitytest.Fake{Content: identity.NewToken(entraToken(), time.Now().Add(time.Hour))}
}

// counted counts the requests to a path.
func counted(path string, n *atomic.Int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				n.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestContractAsTheIdentityOfARun(t *testing.T) {
	registrytest.Run(t, func(t *testing.T) (registrytest.Port, string) {
		server, _, source := azureRegistry(t, nil)
		return oci.New(asIdentity(source)), server.Host + "/contract"
	})
}

func TestAnExchangeServesAllOfARun(t *testing.T) {
	var exchanges atomic.Int64
	server, tokens, source := azureRegistry(t, counted("/oauth2/exchange", &exchanges))
	o := asIdentity(source)
	o.Secrets = &variables.Masker{}
	var ahead atomic.Int64
	o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	r := oci.New(o)
	var wait sync.WaitGroup
	for _, repository := range []string{"a", "b", "c", "d"} {
		wait.Go(func() {
			if _, err := r.Push(t.Context(), registrytest.Sample(repository), server.Host+"/"+repository, "1.0.0"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if err := r.Check(t.Context(), server.Host+"/e"); err != nil {
		t.Error(err)
	}
	if exchanges.Load() != 1 || len(source.Asked()) != 1 || source.Asked()[0] != "https://containerregistry.azure.net/.default" {
		t.Errorf("%d exchanges, for %v", exchanges.Load(), source.Asked())
	}
	user, secret, err := r.Credentials(t.Context(), server.Host)
	if err != nil || user != distribution.AzureUser || exchanges.Load() != 1 {
		t.Errorf("a builder is given %s, %v after %d exchanges", user, err, exchanges.Load())
	}
	if !o.Secrets.Holds("x " + secret) {
		t.Error("the refresh token is not known as a secret")
	}
	// Five minutes before the three hours are over there is a new one, also for repositories that were asked before.
	ahead.Store(int64(2*time.Hour + 56*time.Minute))
	tokens.ExpireAll()
	if _, _, err := r.Pull(t.Context(), server.Host+"/a:1.0.0"); err != nil || exchanges.Load() != 2 {
		t.Errorf("after hours Pull gave %v, and %d exchanges", err, exchanges.Load())
	}
}

func TestAccessTokensAreSecrets(t *testing.T) {
	var seen sync.Map
	server, _, source := azureRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
				seen.Store(token, true)
			}
			next.ServeHTTP(w, r)
		})
	})
	o := asIdentity(source)
	o.Secrets = &variables.Masker{}
	if _, err := oci.New(o).Push(t.Context(), registrytest.Sample("x"), server.Host+"/x", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	n := 0
	seen.Range(func(token, _ any) bool {
		n++
		if !o.Secrets.Holds(token.(string)) {
			t.Error("an access token is not known as a secret")
		}
		return true
	})
	if n == 0 {
		t.Error("no access token was seen: nothing was tried")
	}
}

// TestOrderOfCredentials: what Docker keeps comes first, and the identity is not shown to who is no registry of Azure.
func TestOrderOfCredentials(t *testing.T) {
	server, _, source := azureRegistry(t, nil)
	docker(t, server.Host, "robot", "s3cret", "")
	o := asIdentity(source)
	o.Keychain = authn.DefaultKeychain
	if err := oci.New(o).Check(t.Context(), server.Host+"/x"); err != nil || len(source.Asked()) > 0 {
		t.Errorf("with Docker's credentials it gave %v, and asked for %v", err, source.Asked())
	}
	// A login that was refused is repaired, and not stepped over.
	docker(t, server.Host, "robot", "wr0ng", "")
	err := oci.New(o).Check(t.Context(), server.Host+"/x")
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "(tried: those that `docker login` or a credential helper keeps for robot)") || len(source.Asked()) > 0 {
		t.Errorf("with wrong ones it gave %v, and asked for %v", err, source.Asked())
	}
	docker(t, "elsewhere.test", "x", "y", "")
	o.Azure = nil
	err = oci.New(o).Check(t.Context(), server.Host+"/x")
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "(tried: none, for `docker login` keeps none)") || len(source.Asked()) > 0 {
		t.Errorf("of a registry that is not Azure's it gave %v, and asked for %v", err, source.Asked())
	}
	if user, secret, err := oci.New(o).Credentials(t.Context(), server.Host); user+secret != "" || err != nil {
		t.Errorf("a builder was given %s, %v", user, err)
	}
}

// TestRefusedIdentities: who is nobody may pull where everybody may; a refusal says what was tried and why that was nothing.
func TestRefusedIdentities(t *testing.T) {
	nobody := fault.New(fault.Unreachable, "sign in to Azure", "no way led to a token").WithHint("run az login")
	var at func(next http.Handler) http.Handler
	for name, c := range map[string]struct {
		source     *identitytest.Fake
		exchange   http.HandlerFunc
		want, hint string
	}{
		"nobody":       {&identitytest.Fake{Err: nobody}, nil, "as the identity of this run: sign in to Azure: no way led to a token)", "; run az login"},
		"another":      {&identitytest.Fake{Content: identity.NewToken("of another tenant", time.Time{})}, nil, "it does not know the identity: it answered 401", "grant it a role there"},
		"no exchange":  {nil, proxy.Answer(404, "very secret"), "it answered 404 Not Found, and gave no token", "az acr show --name 127"},
		"a page":       {nil, proxy.Answer(200, "<html>very secret"), "it answered 200 OK, and gave no token", "az acr show"},
		"elsewhere":    {nil, proxy.Answer(302, "", "Location", "/v2/"), "it answered 302 Found, and gave no token", "az acr show"},
		"unavailable":  {nil, proxy.Answer(503, "very secret"), "it answered 503 Service Unavailable, and gave no token", "az acr show"},
		"broken lines": {nil, proxy.Reset, "exchange the token of Entra ID for one of 127.0.0.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			at = func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.exchange != nil && r.URL.Path == "/oauth2/exchange" {
						c.exchange(w, r)
						return
					}
					next.ServeHTTP(w, r)
				})
			}
			server, tokens, source := azureRegistry(t, func(next http.Handler) http.Handler { return at(next) })
			if c.source != nil {
				source = c.source
			}
			r := oci.New(asIdentity(source))
			err := r.Check(t.Context(), server.Host+"/x")
			if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "(tried: none, for `docker login` keeps none, and ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it gave %v", err)
			}
			if err != nil && (!strings.Contains(fault.HintOf(err), c.hint) || !strings.Contains(fault.HintOf(err), "az acr login") || strings.Contains(err.Error(), "very secret")) {
				t.Errorf("it gave %v, hint %q", err, fault.HintOf(err))
			}
			if _, _, err := r.Credentials(t.Context(), server.Host); err == nil {
				t.Error("a builder was given something")
			}
			tokens.Anonymous = true
			docker(t, server.Host, "robot", "s3cret", "")
			o := fast()
			o.Keychain = authn.DefaultKeychain
			ref, err := oci.New(o).Push(t.Context(), registrytest.Sample("x"), server.Host+"/x", "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := r.Pull(t.Context(), ref); err != nil {
				t.Errorf("where everybody may, Pull gave %v", err)
			}
		})
	}
}

// TestAnIdentityWithoutTheRight: it is known there, and may not push.
func TestAnIdentityWithoutTheRight(t *testing.T) {
	server, _, source := azureRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v2/") && r.Header.Get("Authorization") != "" {
				proxy.Answer(403, `{"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}`)(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	_, err := oci.New(asIdentity(source)).Push(t.Context(), registrytest.Sample("x"), server.Host+"/x", "1.0.0")
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "(tried: those of the identity of this run, object-of-the-run of tenant tenant)") ||
		!strings.Contains(fault.HintOf(err), "az role assignment create --role AcrPush --assignee object-of-the-run") {
		t.Errorf("it gave %v, hint %q", err, fault.HintOf(err))
	}
}

func TestAnExchangeIsTriedAgain(t *testing.T) {
	var exchanges atomic.Int64
	server, _, source := azureRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oauth2/exchange" && exchanges.Add(1) < 3 {
				proxy.Answer(503, "")(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	if err := oci.New(asIdentity(source)).Check(t.Context(), server.Host+"/x"); err != nil || exchanges.Load() != 3 {
		t.Errorf("it gave %v after %d exchanges", err, exchanges.Load())
	}
}

func TestAnExchangeIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server, _, source := azureRegistry(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/oauth2/exchange" {
				// A server notices that nobody waits any more once it has read all of the request.
				_, _ = io.Copy(io.Discard, r.Body)
				cancel()
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	r := oci.New(asIdentity(source))
	if _, err := r.Push(ctx, registrytest.Sample("x"), server.Host+"/x", "1.0.0"); !fault.Is(err, fault.Interrupted) {
		t.Errorf("Push gave %v of kind %v", err, fault.KindOf(err))
	}
	if err := r.Check(ctx, server.Host+"/x"); !fault.Is(err, fault.Interrupted) {
		t.Errorf("Check gave %v of kind %v", err, fault.KindOf(err))
	}
}
