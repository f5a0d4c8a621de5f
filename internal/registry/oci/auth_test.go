package oci_test

import (
	"encoding/base64"
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

// docker writes the file in which `docker login` keeps what it was told for a registry, and makes it the one that is read.
func docker(t *testing.T, host, user, password, identity string) {
	t.Helper()
	dir := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	content := fmt.Sprintf(`{"auths": {%q: {"auth": %q, "identitytoken": %q}}}`, host, auth, identity)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
}

// login is a way to be let into a registry, and one to be kept out.
type login struct {
	auth                               func() distribution.Auth
	user, password, identity           string
	wrongUser, wrongPassword, wrongOne string
}

func logins() map[string]login {
	tokens := func() distribution.Auth {
		return (&distribution.Tokens{User: "robot", Password: "s3cret", Refresh: "r3fresh"}).Auth
	}
	return map[string]login{
		"basic": {
			auth: func() distribution.Auth { return distribution.Basic("robot", "s3cret") },
			user: "robot", password: "s3cret", wrongUser: "robot", wrongPassword: "wr0ng",
		},
		"token": {auth: tokens, user: "robot", password: "s3cret", wrongUser: "robot", wrongPassword: "wr0ng"},
		// What `az acr login` leaves behind, and what it gives with --expose-token.
		"refresh token":               {auth: tokens, user: distribution.AzureUser, identity: "r3fresh", wrongUser: distribution.AzureUser, wrongOne: "wr0ng"},
		"refresh token as a password": {auth: tokens, user: distribution.AzureUser, password: "r3fresh", wrongUser: distribution.AzureUser, wrongPassword: "wr0ng"},
	}
}

func TestContractWithCredentials(t *testing.T) {
	for name, l := range logins() {
		t.Run(name, func(t *testing.T) {
			o := fast()
			o.Keychain = authn.DefaultKeychain
			registrytest.Run(t, func(t *testing.T) (registrytest.Port, string) {
				server := start(t, distribution.Options{Referrers: true, Auth: l.auth()})
				docker(t, server.Host, l.user, l.password, l.identity)
				return oci.New(o), server.Host + "/contract"
			})
		})
	}
}

func TestWrongCredentialsAreRefused(t *testing.T) {
	for name, l := range logins() {
		t.Run(name, func(t *testing.T) {
			o := fast()
			o.Keychain = authn.DefaultKeychain
			server := start(t, distribution.Options{Auth: l.auth()})
			for i, with := range []struct{ user, password, identity string }{{l.wrongUser, l.wrongPassword, l.wrongOne}, {}} {
				if i == 0 {
					docker(t, server.Host, with.user, with.password, with.identity)
				} else {
					docker(t, "elsewhere.test", "x", "y", "")
				}
				_, err := oci.New(o).Push(t.Context(), registrytest.Sample("x"), server.Host+"/x", "1.0.0")
				switch {
				case !fault.Is(err, fault.Unreachable):
					t.Errorf("as %+v Push gave %v of kind %v", with, err, fault.KindOf(err))
				case !strings.Contains(fault.HintOf(err), "docker login "+server.Host):
					t.Errorf("as %+v the hint is %q", with, fault.HintOf(err))
				case strings.Contains(err.Error(), "wr0ng"):
					t.Errorf("the error tells the secret: %v", err)
				}
				if err := oci.New(o).Check(t.Context(), server.Host+"/x"); !fault.Is(err, fault.Unreachable) {
					t.Errorf("as %+v Check gave %v", with, err)
				}
			}
		})
	}
}

func TestABrokenCredentialsFileSaysSo(t *testing.T) {
	server := start(t, distribution.Options{})
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"auths": {`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_CONFIG", dir)
	o := fast()
	o.Keychain = nil
	_, err := oci.New(o).Push(t.Context(), registrytest.Sample("x"), server.Host+"/x", "1.0.0")
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(fault.HintOf(err), "config.json") {
		t.Errorf("Push gave %v of kind %v, hint %q", err, fault.KindOf(err), fault.HintOf(err))
	}
	if err := oci.New(o).Check(t.Context(), server.Host+"/x"); !fault.Is(err, fault.Unreachable) {
		t.Errorf("Check gave %v of kind %v", err, fault.KindOf(err))
	}
}

func TestStrangersMayPullWhereTheRegistrySaysSo(t *testing.T) {
	tokens := &distribution.Tokens{User: "robot", Password: "s3cret", Anonymous: true}
	server := start(t, distribution.Options{Referrers: true, Auth: tokens.Auth})
	o := fast()
	o.Keychain = authn.DefaultKeychain
	docker(t, server.Host, "robot", "s3cret", "")
	ref, err := oci.New(o).Push(t.Context(), registrytest.Sample("x"), server.Host+"/x", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	stranger := oci.New(fast())
	if _, _, err := stranger.Pull(t.Context(), ref); err != nil {
		t.Errorf("a stranger cannot pull: %v", err)
	}
	if _, err := stranger.Push(t.Context(), registrytest.Sample("y"), server.Host+"/x", "2.0.0"); !fault.Is(err, fault.Unreachable) {
		t.Errorf("a stranger pushing gave %v", err)
	}
}

// expire lets the token of one request have expired, counted from 1.
func expire(number int64, tokens *distribution.Tokens, seen *atomic.Int64) distribution.Auth {
	return func(next http.Handler) http.Handler {
		guarded := tokens.Auth(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" && strings.HasPrefix(r.URL.Path, "/v2/") && seen.Add(1) == number {
				r.Header.Set("Authorization", "Bearer expired")
			}
			guarded.ServeHTTP(w, r)
		})
	}
}

func TestATokenMayExpireAtAnyPointOfAPush(t *testing.T) {
	for _, refresh := range []string{"", "r3fresh"} {
		for number, last := int64(1), int64(1); number <= last; number++ {
			var seen atomic.Int64
			tokens := &distribution.Tokens{User: "robot", Password: "s3cret", Refresh: refresh}
			server := start(t, distribution.Options{Referrers: true, Auth: expire(number, tokens, &seen)})
			o := fast()
			o.Keychain = authn.DefaultKeychain
			docker(t, server.Host, "robot", "s3cret", refresh)
			r := oci.New(o)
			dir, digest := registrytest.WriteLayout(t, strings.Repeat("a layer of some size ", 1<<12))
			ref, err := r.PushLayout(t.Context(), dir, server.Host+"/image", "1.0.0")
			if err != nil || !strings.HasSuffix(ref, digest) {
				t.Fatalf("expired at request %d, PushLayout gave %s, %v", number, ref, err)
			}
			if _, err := r.Copy(t.Context(), ref, server.Host+"/prod/image", "1.0.0"); err != nil {
				t.Fatalf("expired at request %d, Copy gave %v", number, err)
			}
			last = seen.Load()
		}
	}
}

func TestCredentialsMayBeForOneRegistryOnly(t *testing.T) {
	one, other := start(t, distribution.Options{Auth: distribution.Basic("robot", "s3cret")}), start(t, distribution.Options{})
	o := fast()
	o.Keychain = authn.DefaultKeychain
	docker(t, one.Host, "robot", "s3cret", "")
	r := oci.New(o)
	from, err := r.Push(t.Context(), registrytest.Sample("x"), other.Host+"/x", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := r.Copy(t.Context(), from, one.Host+"/x", "1.0.0"); err != nil || copied.Moved == 0 {
		t.Errorf("Copy gave %+v, %v", copied, err)
	}
	docker(t, other.Host, "robot", "s3cret", "")
	if _, err := oci.New(o).Copy(t.Context(), from, one.Host+"/y", "1.0.0"); !fault.Is(err, fault.Unreachable) ||
		!strings.Contains(fault.HintOf(err), one.Host) {
		t.Errorf("copying without credentials gave %v, hint %q", err, fault.HintOf(err))
	}
}

func TestOneTokenServesTheQuestionsOfOneRepository(t *testing.T) {
	var tokens, all atomic.Int64
	guard := &distribution.Tokens{User: "robot", Password: "s3cret"}
	server := start(t, distribution.Options{Auth: guard.Auth, Fault: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			all.Add(1)
			if r.URL.Path == "/oauth2/token" {
				tokens.Add(1)
			}
			next.ServeHTTP(w, r)
		})
	}})
	o := fast()
	o.Keychain = authn.DefaultKeychain
	docker(t, server.Host, "robot", "s3cret", "")
	r := oci.New(o)
	ref, err := r.Push(t.Context(), registrytest.Sample("x"), server.Host+"/x", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	tokens.Store(0)
	all.Store(0)
	for range 5 {
		if _, err := r.Describe(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	if tokens.Load() > 1 || all.Load() > 7 {
		t.Errorf("five questions took %d requests and %d tokens", all.Load(), tokens.Load())
	}
}
