package fakesigstore

import (
	"crypto/ecdsa"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// JobToken is what a job shows to be given identity tokens, as ACTIONS_ID_TOKEN_REQUEST_TOKEN or SYSTEM_ACCESSTOKEN.
const JobToken = "job-token-that-must-stay-secret"

// issuer is an OpenID Connect issuer which also gives tokens to jobs as GitHub Actions and Azure Pipelines do.
type issuer struct {
	url string
	key *ecdsa.PrivateKey
	mux *http.ServeMux
}

// AzureAudience is that of every token of Azure Pipelines.
const AzureAudience = "api://AzureADTokenExchange"

func newIssuer() (*issuer, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	i := &issuer{key: key, mux: http.NewServeMux()}
	i.mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]any{
			"issuer": i.url, "jwks_uri": i.url + "/jwks", "authorization_endpoint": i.url + "/auth", "token_endpoint": i.url + "/token",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	i.mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
	})
	i.mux.HandleFunc("GET /github/token", func(w http.ResponseWriter, r *http.Request) {
		i.give(w, r, "value", Claims{"aud": r.URL.Query().Get("audience"), "sub": "repo:acme/shop:ref:refs/heads/main", "job_workflow_ref": r.URL.Query().Get("workflow")})
	})
	i.mux.HandleFunc("POST /azure/token", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("api-version") == "" {
			refuse(w, http.StatusBadRequest, "no api-version was supplied")
			return
		}
		i.give(w, r, "oidcToken", Claims{"aud": AzureAudience, "sub": "p://acme/shop/release"})
	})
	return i, nil
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) { i.mux.ServeHTTP(w, r) }

// give answers a job that shows its token.
func (i *issuer) give(w http.ResponseWriter, r *http.Request, key string, claims Claims) {
	if r.Header.Get("Authorization") != "Bearer "+JobToken {
		refuse(w, http.StatusUnauthorized, "who are you, %s?", r.Header.Get("Authorization"))
		return
	}
	token, err := i.token(claims)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "%v", err)
		return
	}
	answer(w, http.StatusOK, map[string]string{key: token})
}

// Claims of a token.
type Claims map[string]any

func (i *issuer) token(claims Claims) (string, error) {
	all := Claims{"iss": i.url, "aud": "sigstore", "iat": time.Now().Unix(), "exp": time.Now().Add(10 * time.Minute).Unix()}
	maps.Copy(all, claims)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "1"))
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return jwt.Signed(signer).Claims(map[string]any(all)).Serialize()
}

// Token is an identity token of the issuer for the audience sigstore, valid for 10 minutes, unless the claims say otherwise.
func (i *Instance) Token(claims Claims) (string, error) { return i.issuer.token(claims) }

// GitHubURL is the address at which a job of GitHub Actions would ask for its token; workflow becomes its identity.
func (i *Instance) GitHubURL(workflow string) string {
	return i.IssuerURL + "/github/token?api-version=2.0&workflow=" + workflow
}

// AzureURL is the address at which a job of Azure Pipelines would ask for its token.
func (i *Instance) AzureURL() string { return i.IssuerURL + "/azure/token" }
