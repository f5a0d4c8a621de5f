// Package entra is a token endpoint of Entra ID, and the metadata service of a machine, on loopback; it must not be used outside of tests.
//
// Requests, answers and refusals are those of the public documentation: the client credentials grant of the Microsoft identity
// platform (with secret, certificate and federated assertion), its reference of error codes, "How to use managed identities on an Azure
// VM to acquire an access token", and what users quote of real answers. What is fake: access tokens are not signed, so nobody can
// verify them, and the signatures of federated assertions are not verified, for that takes the issuer's keys over the network.
package entra

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Tenant is the only one that there is.
const Tenant = "11111111-2222-3333-4444-555555555555"

// Federated is what an application trusts instead of a secret.
type Federated struct{ Issuer, Subject, Audience string }

// App is an application, or the identity of a machine.
type App struct {
	Client, Object string
	// Secret is what it signs in with, Expired one that it had before.
	Secret, Expired string
	Certificate     *x509.Certificate
	Federated       []Federated
}

// Server is Entra ID for one tenant. Its fields are set before it is asked.
type Server struct {
	Apps []App
	// Machine are the identities that are assigned to the machine. Nil: there is no machine; empty: it has none.
	Machine []App
	// Life of tokens. Default: an hour.
	Life time.Duration
	// Resources are the services that the tenant knows. Default: all.
	Resources []string
	// Fault answers in the server's place where it returns a handler.
	Fault func(r *http.Request) http.HandlerFunc

	server *httptest.Server
	mu     sync.Mutex
	seen   []string
	given  []string
}

// Start listens with TLS, as Entra ID does, until Close.
func Start() *Server {
	s := &Server{}
	s.server = httptest.NewTLSServer(s)
	return s
}

// Close ends it.
func (s *Server) Close() { s.server.Close() }

// Authority is the value of AZURE_AUTHORITY_HOST that leads here.
func (s *Server) Authority() string { return s.server.URL }

// Client trusts the server, and reaches the metadata service of its machine: an address that no other machine can have.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: s, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// RoundTrip is that client's transport.
func (s *Server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != metadataHost {
		return s.server.Client().Transport.RoundTrip(r)
	}
	if s.Machine == nil {
		return nil, fmt.Errorf("dial tcp %s: connect: no route to host", metadataHost)
	}
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	response := recorder.Result()
	response.Request = r
	return response, nil
}

// Roots are the certificates that those need who do not use the client.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.server.Certificate())
	return pool
}

// Seen are the requests that came, by method and path.
func (s *Server) Seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

// Given are the tokens that were given out.
func (s *Server) Given() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.given...)
}

// ServeHTTP answers.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen = append(s.seen, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	if s.Fault != nil {
		if instead := s.Fault(r); instead != nil {
			instead(w, r)
			return
		}
	}
	if r.URL.Path == metadataPath {
		s.metadata(w, r)
		return
	}
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case tenant != Tenant:
		refuse(w, http.StatusBadRequest, "invalid_request", 90002, "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. "+
			"Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", tenant)
	case rest == "v2.0/.well-known/openid-configuration":
		at := "https://" + r.Host + "/" + Tenant
		reply(w, http.StatusOK, map[string]any{"token_endpoint": at + "/oauth2/v2.0/token", "authorization_endpoint": at + "/oauth2/v2.0/authorize", "issuer": at + "/v2.0"})
	case rest == "oauth2/v2.0/token" && r.Method == http.MethodPost:
		s.token(w, r)
	default:
		http.NotFound(w, r)
	}
}

// token is the client credentials grant.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'.")
		return
	}
	form := r.PostForm
	at := slices.IndexFunc(s.Apps, func(a App) bool { return a.Client == form.Get("client_id") })
	if at < 0 {
		refuse(w, http.StatusBadRequest, "unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory 'Acme'. This can happen if the application has not been "+
			"installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.", form.Get("client_id"))
		return
	}
	app := s.Apps[at]
	if code, text := s.proof(app, form); code != 0 {
		refuse(w, http.StatusUnauthorized, "invalid_client", code, "%s", text)
		return
	}
	resource, isDefault := strings.CutSuffix(form.Get("scope"), "/.default")
	// The library asks for these with every scope.
	resource, _, _ = strings.Cut(resource, "/.default ")
	if !isDefault && !strings.Contains(form.Get("scope"), "/.default ") {
		refuse(w, http.StatusBadRequest, "invalid_scope", 1002012, "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", form.Get("scope"))
		return
	}
	if s.Resources != nil && !slices.Contains(s.Resources, resource) {
		refuse(w, http.StatusBadRequest, "invalid_resource", 500011, "The resource principal named %s was not found in the tenant named Acme. This can happen if the application has not been "+
			"installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.", resource)
		return
	}
	life := s.life()
	reply(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": int(life.Seconds()), "ext_expires_in": int(life.Seconds()), "access_token": s.give(app, resource)})
}

// proof says why an application is not let in; 0 where it is.
func (s *Server) proof(app App, form url.Values) (int, string) {
	secret, assertion := form.Get("client_secret"), form.Get("client_assertion")
	switch {
	case form.Get("grant_type") != "client_credentials":
		return 70003, "The app requested an unsupported grant type '" + form.Get("grant_type") + "'."
	case secret != "" && secret == app.Secret:
		return 0, ""
	case secret != "" && secret == app.Expired:
		return 7000222, "The provided client secret keys for app '" + app.Client + "' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, " +
			"or consider using certificate credentials for added security: https://aka.ms/certCreds."
	case secret != "":
		return 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '" + app.Client + "'."
	case assertion == "" || form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
	}
	return s.assertion(app, assertion)
}

// assertion is a token that stands for an application: signed with its certificate, or by somebody whom it trusts.
func (s *Server) assertion(app App, raw string) (int, string) {
	signed, err := jose.ParseSigned(raw, []jose.SignatureAlgorithm{jose.PS256, jose.RS256, jose.ES256})
	var says struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
	}
	if err != nil || json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &says) != nil {
		return 50027, "JWT token is invalid or malformed."
	}
	if says.Expires < time.Now().Unix() {
		return 700024, "Client assertion is not within its valid time range."
	}
	if says.Issuer == app.Client {
		if app.Certificate == nil {
			return 700027, "The certificate with identifier used to sign the client assertion is not registered on application."
		}
		thumb := sha256.Sum256(app.Certificate.Raw)
		if _, err := signed.Verify(app.Certificate.PublicKey); err != nil || signed.Signatures[0].Header.ExtraHeaders["x5t#S256"] != base64.RawURLEncoding.EncodeToString(thumb[:]) &&
			signed.Signatures[0].Header.ExtraHeaders["x5t#S256"] != base64.StdEncoding.EncodeToString(thumb[:]) {
			return 700027, "The certificate with identifier used to sign the client assertion is not registered on application."
		}
		return 0, ""
	}
	const none, check = "No matching federated identity record found for presented assertion ", "Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
	trusts := func(same func(Federated) bool) bool { return slices.ContainsFunc(app.Federated, same) }
	switch {
	case trusts(func(f Federated) bool { return f == Federated{says.Issuer, says.Subject, says.Audience} }):
		return 0, ""
	case !trusts(func(f Federated) bool { return f.Issuer == says.Issuer }):
		return 700211, none + "issuer '" + says.Issuer + "'. " + check
	case !trusts(func(f Federated) bool { return f.Issuer == says.Issuer && f.Audience == says.Audience }):
		return 700212, none + "audience '" + says.Audience + "'. " + check
	case trusts(func(f Federated) bool { return strings.EqualFold(f.Subject, says.Subject) }):
		return 7002138, none + "subject '" + says.Subject + "'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. " + check
	}
	return 700213, none + "subject '" + says.Subject + "'. " + check
}

func (s *Server) life() time.Duration {
	if s.Life == 0 {
		return time.Hour
	}
	return s.Life
}

// give makes an access token.
func (s *Server) give(app App, resource string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := JWT(map[string]any{
		"aud": resource, "iss": "https://sts.windows.net/" + Tenant + "/", "tid": Tenant, "appid": app.Client, "oid": app.Object, "sub": app.Object,
		"exp": time.Now().Add(s.life()).Unix(), "iat": time.Now().Unix(), "ver": "1.0", "uti": len(s.given),
	})
	s.given = append(s.given, token)
	return token
}

// JWT makes a token of claims. Its signature is none.
func JWT(claims map[string]any) string {
	text, _ := json.Marshal(claims) // texts and numbers always encode
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode(text) + "." + encode([]byte("nobody signed this"))
}

// refuse answers as Entra ID says no.
func refuse(w http.ResponseWriter, status int, kind string, code int, format string, args ...any) {
	const trace, correlation, stamp = "0000aaaa-11bb-cccc-dd22-eeeeee333333", "aaaa0000-bb11-2222-33cc-444444dddddd", "2026-01-09 02:02:12Z"
	reply(w, status, map[string]any{
		"error": kind, "error_codes": []int{code}, "timestamp": stamp, "trace_id": trace, "correlation_id": correlation,
		"error_uri": fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code),
		"error_description": fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", code, fmt.Sprintf(format, args...),
			trace, correlation, stamp),
	})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// Whoever does not wait for the answer needs none.
	_ = json.NewEncoder(w).Encode(body)
}
