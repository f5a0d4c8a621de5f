package oci_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/test/distribution"
)

// helper puts a credential helper into the PATH that gives a name and a secret for a registry, as docker-credential-acr-env does.
func helper(t *testing.T, host, user, secret string) {
	t.Helper()
	dir := t.TempDir()
	answer := fmt.Sprintf(`{"ServerURL": %q, "Username": %q, "Secret": %q}`, host, user, secret)
	script := "#!/bin/sh\ncat > " + filepath.Join(dir, "asked") + "\ncat <<'END'\n" + answer + "\nEND\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, host)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// azureLogins are the ways in which a refresh token of one of Azure's registries reaches Docker's configuration.
func azureLogins() map[string]func(t *testing.T, host, refresh string) {
	return map[string]func(t *testing.T, host, refresh string){
		"az acr login": func(t *testing.T, host, refresh string) { docker(t, host, distribution.AzureUser, "", refresh) },
		"docker login with what az acr login --expose-token gives": func(t *testing.T, host, refresh string) {
			docker(t, host, distribution.AzureUser, refresh, "")
		},
		"a helper that gives Azure's user": func(t *testing.T, host, refresh string) { helper(t, host, distribution.AzureUser, refresh) },
		"a helper that gives an identity":  func(t *testing.T, host, refresh string) { helper(t, host, "<token>", refresh) },
	}
}

func azure(t *testing.T, fault func(tokens *distribution.Tokens) func(http.Handler) http.Handler) (*distribution.Server, *distribution.Tokens) {
	t.Helper()
	tokens := &distribution.Tokens{Entra: "eyJ.entra", Tenant: "tenant"}
	o := distribution.Options{Referrers: true, Auth: tokens.Auth}
	if fault != nil {
		o.Fault = fault(tokens)
	}
	return start(t, o), tokens
}

func TestEveryLoginToAzure(t *testing.T) {
	for name, login := range azureLogins() {
		t.Run(name, func(t *testing.T) {
			server, tokens := azure(t, nil)
			login(t, server.Host, tokens.Login(server.Host))
			o := fast()
			o.Keychain = authn.DefaultKeychain
			r := oci.New(o)
			ref, err := r.Push(t.Context(), registrytest.Sample("x"), server.Host+"/team/x", "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			if copied, err := r.Copy(t.Context(), ref, server.Host+"/prod/x", "1.0.0"); err != nil || copied.Moved != 0 {
				t.Errorf("Copy gave %+v, %v", copied, err)
			}
			tokens.ExpireAccess()
			if _, _, err := r.Pull(t.Context(), ref); err != nil {
				t.Errorf("with the refresh token Pull gave %v", err)
			}
			tokens.ExpireAll()
			err = r.Check(t.Context(), server.Host+"/team/x")
			if !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), "az acr login") {
				t.Errorf("without it Check gave %v, hint %q", err, fault.HintOf(err))
			}
			// Who logs in anew is let in again.
			login(t, server.Host, tokens.Login(server.Host))
			if err := oci.New(o).Check(t.Context(), server.Host+"/team/x"); err != nil {
				t.Errorf("after a new login Check gave %v", err)
			}
		})
	}
}

// TestAccessTokensOfAzureMayExpireAtAnyRequest lets all access tokens have expired before one request, counted from 1.
func TestAccessTokensOfAzureMayExpireAtAnyRequest(t *testing.T) {
	o := fast()
	o.Keychain = authn.DefaultKeychain
	for number, last := int64(1), int64(1); number <= last; number++ {
		var seen atomic.Int64
		server, tokens := azure(t, func(tokens *distribution.Tokens) func(http.Handler) http.Handler {
			return before(number, &seen, tokens.ExpireAccess)
		})
		docker(t, server.Host, distribution.AzureUser, "", tokens.Login(server.Host))
		dir, digest := registrytest.WriteLayout(t, strings.Repeat("a layer of some size ", 1<<12))
		ref, err := oci.New(o).PushLayout(t.Context(), dir, server.Host+"/image", "1.0.0")
		if err != nil || !strings.HasSuffix(ref, digest) {
			t.Fatalf("expired before request %d, PushLayout gave %s, %v", number, ref, err)
		}
		last = seen.Load()
	}
}

// before does something before one request to the registry, counted from 1.
func before(number int64, seen *atomic.Int64, do func()) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v2/") && seen.Add(1) == number {
				do()
			}
			next.ServeHTTP(w, r)
		})
	}
}

// TestALoginToAzureMayEndInTheMiddle takes the refresh token away too: nobody can go on, so the error says what to do, no tag is
// left behind, and after a new login the same push succeeds.
func TestALoginToAzureMayEndInTheMiddle(t *testing.T) {
	o := fast()
	o.Keychain = authn.DefaultKeychain
	for number, last, failed := int64(1), int64(1), 0; number <= last; number++ {
		var seen atomic.Int64
		server, tokens := azure(t, func(tokens *distribution.Tokens) func(http.Handler) http.Handler {
			return before(number, &seen, tokens.ExpireAll)
		})
		docker(t, server.Host, distribution.AzureUser, "", tokens.Login(server.Host))
		dir, digest := registrytest.WriteLayout(t, strings.Repeat("a layer of some size ", 1<<12))
		_, err := oci.New(o).PushLayout(t.Context(), dir, server.Host+"/image", "1.0.0")
		last = max(last, seen.Load())
		docker(t, server.Host, distribution.AzureUser, "", tokens.Login(server.Host))
		if err != nil {
			failed++
			if !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), "az acr login") {
				t.Errorf("ended before request %d, PushLayout gave %v, hint %q", number, err, fault.HintOf(err))
			}
			if tags, err := oci.New(o).Tags(t.Context(), server.Host+"/image"); err != nil || len(tags) > 0 {
				t.Errorf("ended before request %d, the tags are %v, %v", number, tags, err)
			}
		}
		if ref, err := oci.New(o).PushLayout(t.Context(), dir, server.Host+"/image", "1.0.0"); err != nil || !strings.HasSuffix(ref, digest) {
			t.Errorf("logged in again after request %d, PushLayout gave %s, %v", number, ref, err)
		}
		if number == last && failed == 0 {
			t.Error("no push failed: nothing was tried")
		}
	}
}
