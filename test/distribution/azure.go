package distribution

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"
)

// How long Azure's registries let tokens live: about three hours, and five quarters of one.
const (
	refreshLife = 3 * time.Hour
	accessLife  = 75 * time.Minute
)

// exchange is POST /oauth2/exchange: it gives a refresh token of the registry for an access token of Entra ID. The grants with a
// refresh token of Entra ID are deprecated and not taken.
func (t *Tokens) exchange(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "the operation is unsupported")
		return
	}
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", err.Error())
		return
	}
	form := r.PostForm
	switch {
	case form.Get("grant_type") != "access_token":
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "the grant_type has to be access_token")
	case form.Get("service") != r.Host:
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "no such service")
	case form.Get("access_token") == "":
		refuse(w, http.StatusBadRequest, "UNSUPPORTED", "the access_token is missing")
	case form.Get("access_token") != t.Entra, form.Get("tenant") != t.Tenant:
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	default:
		answer(w, "refresh_token", t.remember(r.Host))
	}
}

// remember makes a refresh token and knows it from here on.
func (t *Tokens) remember(host string) string {
	token := claims(host, refreshLife, map[string]any{
		"grant_type": "refresh_token", "tenant": t.Tenant, "permissions": map[string][]string{"actions": {"*"}, "notActions": {}},
	})
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refresh == nil {
		t.refresh = map[string]bool{}
	}
	t.refresh[token] = true
	return token
}

// refreshes says whether a refresh token is one that is taken.
func (t *Tokens) refreshes(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return token != "" && (token == t.Refresh || t.refresh[token])
}

// Login gives a refresh token as an exchange does, without the way over the network: what `az acr login` and credential helpers keep.
func (t *Tokens) Login(host string) string { return t.remember(host) }

// ExpireAccess lets all access tokens that were given out have expired.
func (t *Tokens) ExpireAccess() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scopes = nil
}

// ExpireAll lets them, and the refresh tokens, have expired.
func (t *Tokens) ExpireAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scopes, t.refresh = nil, nil
}

// claims makes a token in the form of Azure's: a JWT whose claims say what it is for. Nobody checks its signature.
func claims(host string, life time.Duration, more map[string]any) string {
	now := time.Now()
	all := map[string]any{
		"jti": rand.Text(), "sub": "robot@test", "iss": "Azure Container Registry", "aud": host, "version": "1.0", "roles": []string{},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(life).Unix(),
	}
	for key, value := range more {
		all[key] = value
	}
	part := func(v any) string {
		// Maps of strings and numbers always encode.
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]string{"alg": "none", "typ": "JWT"}) + "." + part(all) + "." + base64.RawURLEncoding.EncodeToString([]byte(rand.Text()))
}

func answer(w http.ResponseWriter, key, token string) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{key: token})
}
