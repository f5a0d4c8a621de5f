package vault_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables/vault"
	"github.com/sluice-dev/sluice/test/proxy"
)

// prepare lays out a secret and a policy to read it.
func (b *bed) prepare() {
	b.put("second", "calculator/prod", "a", "content")
	b.policy("reader", "second/data/calculator/prod")
	b.env = map[string]string{}
}

// reads checks that a store reads what prepare laid out.
func (b *bed) reads(s *vault.Store) {
	b.t.Helper()
	got, err := s.Resolve(b.t.Context(), queries("a"))
	if err != nil || got[0].Value.Reveal() != "content" {
		b.t.Errorf("it read %v, %v: %s", got, err, fault.HintOf(err))
	}
}

func (b *bed) failure(s *vault.Store) error {
	b.t.Helper()
	got, err := s.Resolve(b.t.Context(), queries("a"))
	if got != nil {
		b.t.Errorf("it gave %v", got)
	}
	return err
}

// appRole returns a role ID and a secret ID that are let in.
func (b *bed) appRole() (role, secret string) {
	b.t.Helper()
	if b.fake != nil {
		b.fake.accepts["approle"] = "secret-of-the-role"
		return "role-id", "secret-of-the-role"
	}
	b.write("POST", "sys/auth/approle", map[string]string{"type": "approle"})
	b.write("POST", "auth/approle/role/ci", map[string]any{"token_policies": []string{"reader"}, "token_ttl": "1h"})
	role = b.write("GET", "auth/approle/role/ci/role-id", nil)["data"].(map[string]any)["role_id"].(string)
	secret = b.write("POST", "auth/approle/role/ci/secret-id", nil)["data"].(map[string]any)["secret_id"].(string)
	return role, secret
}

func TestAppRole(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.prepare()
		role, secret := b.appRole()
		b.env["SECRET_ID"] = secret + "\n"
		as := func(mount, role string) *vault.Store {
			return b.store(func(s *v1alpha1.VaultStore) {
				s.Auth = &v1alpha1.VaultAuth{AppRole: &v1alpha1.VaultAppRole{RoleID: role, SecretID: v1alpha1.VaultCredential{Env: "SECRET_ID"}, Mount: mount}}
			})
		}
		s := as("approle", role)
		b.Fault(nil)
		b.reads(s)
		b.reads(s)
		if n := b.seen("/login"); n != 1 {
			t.Errorf("it logged in %d times", n)
		}
		// Before a lease is over, the next one is taken.
		b.clock.ahead = 55 * time.Minute
		b.reads(s)
		if n := b.seen("/login"); n != 2 {
			t.Errorf("it logged in %d times", n)
		}
		b.clock.ahead = 0
		// A token that ends while it is used is replaced, once.
		b.Fault(func(n int, r *http.Request) http.HandlerFunc {
			if n == 1 {
				return proxy.Answer(403, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`)
			}
			return nil
		})
		b.reads(s)
		if seen := b.Seen(); len(seen) != 3 || b.seen("/login") != 1 {
			t.Errorf("a token that has ended led to %v", seen)
		}
		b.Fault(nil)
		fails(t, b.failure(as("approles", role)), fault.Unreachable, nil, "the login at auth/approles/login was refused: permission denied", "vault auth list")
		b.env["SECRET_ID"] = "0a1b2c3d-1111-2222-3333-444455556666"
		err := b.failure(as("approle", role))
		fails(t, err, fault.Unreachable, nil, "variable a: the login at auth/approle/login was refused: invalid role or secret ID", "make a new secret ID")
		if strings.Contains(fmt.Sprintf("%+v %#v", err, err), b.env["SECRET_ID"]) {
			t.Error("the error holds the secret ID")
		}
		delete(b.env, "SECRET_ID")
		fails(t, b.failure(as("approle", role)), fault.Unreachable, nil, "no secret ID: the environment variable SECRET_ID is not set", "where sluice runs")
	})
}

// issuer signs tokens as a CI does.
type issuer struct{ key *ecdsa.PrivateKey }

func newIssuer(t *testing.T) issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{key}
}

func (i issuer) public(t *testing.T) string {
	der, err := x509.MarshalPKIXPublicKey(&i.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (i issuer) token(t *testing.T, subject, audience string) string {
	now := time.Now().Unix()
	parts := strings.Split(subject, ":")
	account := map[string]any{"namespace": parts[len(parts)-2], "serviceaccount": map[string]any{"name": parts[len(parts)-1], "uid": "1"}}
	claims, err := json.Marshal(map[string]any{"kubernetes.io": account, "iss": "https://ci.example", "sub": subject, "aud": []string{audience}, "iat": now, "nbf": now - 1, "exp": now + 600})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + encode(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// pipelines gives tokens to jobs as GitHub Actions and Azure Pipelines do.
func pipelines(t *testing.T, token func(audience string) string) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch query := r.URL.Query(); {
		case r.Header.Get("Authorization") != "Bearer of-the-job":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/github" && r.Method == http.MethodGet && query.Get("id") == "1":
			_ = json.NewEncoder(w).Encode(map[string]string{"value": token(query.Get("audience"))})
		case r.URL.Path == "/azure" && r.Method == http.MethodPost && query.Get("api-version") == "7.1":
			_ = json.NewEncoder(w).Encode(map[string]string{"oidcToken": token("api://AzureADTokenExchange")})
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestJWT(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.prepare()
		i := newIssuer(t)
		if b.fake == nil {
			b.write("POST", "sys/auth/jwt", map[string]string{"type": "jwt"})
			b.write("POST", "auth/jwt/config", map[string]any{"jwt_validation_pubkeys": []string{i.public(t)}, "bound_issuer": "https://ci.example"})
			b.write("POST", "auth/jwt/role/ci", map[string]any{"role_type": "jwt", "user_claim": "sub", "bound_subject": "repo:acme/shop",
				"bound_audiences": []string{"vault", "api://AzureADTokenExchange"}, "token_policies": []string{"reader"}})
		}
		token := func(audience string) string {
			made := i.token(t, "repo:acme/shop", audience)
			if b.fake != nil && (audience == "vault" || audience == "api://AzureADTokenExchange") {
				b.fake.mu.Lock()
				defer b.fake.mu.Unlock()
				b.fake.accepts["jwt"] = made
			}
			return made
		}
		ci := pipelines(t, token)
		as := func(j v1alpha1.VaultJWT) *vault.Store {
			j.Role, j.Mount = "ci", "jwt"
			return b.store(func(s *v1alpha1.VaultStore) { s.Auth = &v1alpha1.VaultAuth{JWT: &j} })
		}
		b.env = map[string]string{"ID_TOKEN": token("vault")}
		b.reads(as(v1alpha1.VaultJWT{Token: &v1alpha1.VaultCredential{Env: "ID_TOKEN"}}))

		b.env = map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": ci.URL + "/github?id=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job"}
		b.reads(as(v1alpha1.VaultJWT{Audience: "vault"}))
		err := b.failure(as(v1alpha1.VaultJWT{Audience: "somebody"}))
		fails(t, err, fault.Unreachable, nil, "the login at auth/jwt/login was refused: ", "vault read auth/jwt/role/ci")
		if b.fake == nil && !strings.Contains(err.Error(), "audience") {
			t.Errorf("it does not say what does not fit: %v", err)
		}
		b.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "of-another"
		fails(t, b.failure(as(v1alpha1.VaultJWT{})), fault.Unreachable, nil, "the token service of GitHub Actions at "+ci.URL+" answered 401 Unauthorized, and gave no token", "id-token: write")

		b.env = map[string]string{"SYSTEM_OIDCREQUESTURI": ci.URL + "/azure", "SYSTEM_ACCESSTOKEN": "of-the-job"}
		b.reads(as(v1alpha1.VaultJWT{}))

		for name, hint := range map[string]string{"GITHUB_ACTIONS": "permissions: {id-token: write}", "TF_BUILD": "SYSTEM_ACCESSTOKEN", "": "name where a token is with `token`"} {
			b.env = map[string]string{name: "true"}
			fails(t, b.failure(as(v1alpha1.VaultJWT{})), fault.Unreachable, nil, "no signed token: get the pipeline's ID token: nothing here says who this run is", hint)
		}
	})
}

// A pod logs in with its service account, which Vault lets the cluster confirm.
func TestKubernetes(t *testing.T) {
	each(t, func(t *testing.T, b *bed) {
		b.prepare()
		i := newIssuer(t)
		made := i.token(t, "system:serviceaccount:ci:sluice", "vault")
		if b.fake != nil {
			b.fake.accepts["kubernetes"] = made
		} else {
			cluster := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				status := map[string]any{"authenticated": false}
				if strings.HasSuffix(r.URL.Path, "/tokenreviews") && strings.Contains(string(body), made) {
					status = map[string]any{"authenticated": true, "audiences": []string{"vault"}, "user": map[string]any{"username": "system:serviceaccount:ci:sluice", "uid": "1"}}
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusCreated)
				_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
			}))
			t.Cleanup(cluster.Close)
			b.write("POST", "sys/auth/kubernetes", map[string]string{"type": "kubernetes"})
			b.write("POST", "auth/kubernetes/config", map[string]any{"kubernetes_host": cluster.URL, "disable_local_ca_jwt": true, "token_reviewer_jwt": "reviewer", "pem_keys": []string{i.public(t)}})
			b.write("POST", "auth/kubernetes/role/sluice", map[string]any{"bound_service_account_names": "sluice", "bound_service_account_namespaces": "ci", "audience": "vault", "token_policies": []string{"reader"}})
		}
		as := func(file string) *vault.Store {
			return b.store(func(s *v1alpha1.VaultStore) {
				s.Auth = &v1alpha1.VaultAuth{Kubernetes: &v1alpha1.VaultKubernetes{Role: "sluice", Mount: "kubernetes", TokenFile: file}}
			})
		}
		b.files["/token"] = made
		b.reads(as("/token"))
		b.files["/other"] = i.token(t, "system:serviceaccount:ci:other", "vault")
		fails(t, b.failure(as("/other")), fault.Unreachable, nil, "the login at auth/kubernetes/login was refused: ", "vault read auth/kubernetes/role/sluice")
		fails(t, b.failure(as("/no")), fault.Unreachable, nil, "no token of a service account: open /no", "the file /no")
	})
}
