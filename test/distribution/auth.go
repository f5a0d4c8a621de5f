package distribution

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Auth stands in front of a registry and asks for credentials.
type Auth func(next http.Handler) http.Handler

// Basic asks for a name and a password with every request.
func Basic(user, password string) Auth {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u, p, ok := r.BasicAuth(); !ok || u != user || p != password {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// AzureUser is the name under which Azure's registries take a refresh token in place of a password.
const AzureUser = "00000000-0000-0000-0000-000000000000"

// Tokens gives out tokens at /oauth2/token, as Docker's and Azure's registries do, each for the repositories and actions that were asked
// for. It takes a name and a password by GET, and a refresh token by POST, or by GET as the password of AzureUser. With Entra it gives
// out refresh tokens at /oauth2/exchange, as Azure's registries do.
type Tokens struct {
	User, Password string
	// Refresh is the refresh token that is taken; "" takes none.
	Refresh string
	// Anonymous gives everybody tokens that allow to pull.
	Anonymous bool
	// Entra is the access token of Entra ID, of the tenant, that is exchanged for refresh tokens; "" exchanges none.
	Entra, Tenant string

	mu sync.Mutex
	// refresh are the refresh tokens that were given out.
	refresh map[string]bool
	// scopes of the tokens that were given out.
	scopes map[string][]string
}

// Auth is how the registry asks.
func (t *Tokens) Auth(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/oauth2/token":
			t.give(w, r)
			return
		case r.URL.Path == "/oauth2/exchange" && t.Entra != "":
			t.exchange(w, r)
			return
		}
		needed := scopesOf(r)
		if !t.allows(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), needed) {
			challenge := fmt.Sprintf(`Bearer realm="http://%s/oauth2/token",service="%s"`, r.Host, r.Host)
			if len(needed) > 0 {
				challenge += fmt.Sprintf(`,scope="%s",error="invalid_token"`, strings.Join(needed, " "))
			}
			w.Header().Set("WWW-Authenticate", challenge)
			refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required", details(needed)...)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// detail says in a refusal what was not allowed.
type detail struct{ Type, Name, Action string }

func details(scopes []string) []detail {
	var all []detail
	for _, scope := range scopes {
		kind, rest, _ := strings.Cut(scope, ":")
		at := strings.LastIndex(rest, ":")
		all = append(all, detail{kind, rest[:at], rest[at+1:]})
	}
	return all
}

// scopesOf are the scopes that a request needs.
func scopesOf(r *http.Request) []string {
	if r.URL.Path == "/v2/_catalog" {
		return []string{"registry:catalog:*"}
	}
	t := targetOf(r)
	if t.repository == "" {
		return nil
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return []string{"repository:" + t.repository + ":pull"}
	}
	needed := []string{"repository:" + t.repository + ":push"}
	if from := r.URL.Query().Get("from"); from != "" {
		needed = append(needed, "repository:"+from+":pull")
	}
	return needed
}

func (t *Tokens) allows(name string, needed []string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	scopes, ok := t.scopes[name]
	for _, scope := range needed {
		ok = ok && slices.Contains(scopes, scope)
	}
	return ok
}

func (t *Tokens) give(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", err.Error())
		return
	}
	user, password, named := r.BasicAuth()
	known := named && user == t.User && password == t.Password ||
		named && user == AzureUser && t.refreshes(password) ||
		r.Method == http.MethodPost && r.PostForm.Get("grant_type") == "refresh_token" && t.refreshes(r.PostForm.Get("refresh_token"))
	if !known && (!t.Anonymous || named || r.Method != http.MethodGet) {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "wrong name, password or refresh token")
		return
	}
	if r.Form.Get("service") != r.Host {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "no such service")
		return
	}
	name := claims(r.Host, accessLife, map[string]any{"grant_type": "access_token"})
	t.mu.Lock()
	if t.scopes == nil {
		t.scopes = map[string][]string{}
	}
	t.scopes[name] = actions(r.Form["scope"], known)
	t.mu.Unlock()
	answer(w, "access_token", name)
}

// actions splits scopes into one per action, and leaves out what strangers may not do.
func actions(scopes []string, known bool) []string {
	var single []string
	for _, scope := range strings.Fields(strings.Join(scopes, " ")) {
		at := strings.LastIndex(scope, ":")
		if at < 0 {
			continue
		}
		for _, action := range strings.Split(scope[at+1:], ",") {
			if known || action == "pull" {
				single = append(single, scope[:at+1]+action)
			}
		}
	}
	return single
}
