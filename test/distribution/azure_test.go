package distribution_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/test/distribution"
)

const entra, tenant = "eyJ.entra.id", "409520d4-8100-4d1d-ad47-72432ddcc120"

func azure(t *testing.T) (*distribution.Server, *distribution.Tokens) {
	t.Helper()
	tokens := &distribution.Tokens{Entra: entra, Tenant: tenant}
	server := distribution.Serve(distribution.Options{Auth: tokens.Auth})
	t.Cleanup(server.Close)
	return server, tokens
}

// ask sends a request and returns the status, the challenge and the body.
func ask(t *testing.T, method, address, bearer string, form url.Values) (int, string, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatalf("%q is no JSON: %v", text, err)
	}
	return response.StatusCode, response.Header.Get("WWW-Authenticate"), body
}

// claim reads a claim of a token.
func claim(t *testing.T, token any, name string) any {
	t.Helper()
	parts := strings.Split(fmt.Sprint(token), ".")
	if len(parts) != 3 {
		t.Fatalf("%v is no JWT", token)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var all map[string]any
	if err != nil || json.Unmarshal(text, &all) != nil {
		t.Fatalf("%v is no JWT", token)
	}
	return all[name]
}

// TestTheWayToACatalog goes as the documentation of Azure Container Registry does: challenge, exchange, token, call.
func TestTheWayToACatalog(t *testing.T) {
	server, tokens := azure(t)
	base := "http://" + server.Host
	code, challenge, body := ask(t, http.MethodGet, base+"/v2/_catalog", "", nil)
	want := fmt.Sprintf(`Bearer realm="%s/oauth2/token",service="%s",scope="registry:catalog:*"`, base, server.Host)
	if code != http.StatusUnauthorized || !strings.HasPrefix(challenge, want) {
		t.Errorf("%d, challenge %s, want %s", code, challenge, want)
	}
	refusal := map[string]any{"errors": []any{map[string]any{"code": "UNAUTHORIZED", "message": "authentication required",
		"detail": []any{map[string]any{"Type": "registry", "Name": "catalog", "Action": "*"}}}}}
	if diff := cmp.Diff(refusal, body); diff != "" {
		t.Errorf("the refusal differs:\n%s", diff)
	}
	code, _, body = ask(t, http.MethodPost, base+"/oauth2/exchange", "", url.Values{"grant_type": {"access_token"}, "service": {server.Host}, "tenant": {tenant}, "access_token": {entra}})
	refresh, ok := body["refresh_token"].(string)
	if code != http.StatusOK || !ok {
		t.Fatalf("the exchange gave %d, %v", code, body)
	}
	if left := time.Until(time.Unix(int64(claim(t, refresh, "exp").(float64)), 0)); left < 2*time.Hour || claim(t, refresh, "grant_type") != "refresh_token" {
		t.Errorf("the refresh token lives %s", left)
	}
	second := url.Values{"grant_type": {"refresh_token"}, "service": {server.Host}, "scope": {"registry:catalog:*"}, "refresh_token": {refresh}}
	code, _, body = ask(t, http.MethodPost, base+"/oauth2/token", "", second)
	access, ok := body["access_token"].(string)
	if code != http.StatusOK || !ok || claim(t, access, "aud") != server.Host {
		t.Fatalf("the token endpoint gave %d, %v", code, body)
	}
	if code, _, body = ask(t, http.MethodGet, base+"/v2/_catalog", access, nil); code != http.StatusOK {
		t.Errorf("the catalog gave %d, %v", code, body)
	}
	if code, _, _ = ask(t, http.MethodGet, base+"/v2/x/tags/list", access, nil); code != http.StatusUnauthorized {
		t.Errorf("a token for the catalog opens a repository: %d", code)
	}
	tokens.ExpireAccess()
	if code, _, _ = ask(t, http.MethodGet, base+"/v2/_catalog", access, nil); code != http.StatusUnauthorized {
		t.Errorf("an expired token gave %d", code)
	}
	if code, _, _ = ask(t, http.MethodPost, base+"/oauth2/token", "", second); code != http.StatusOK {
		t.Errorf("the refresh token gave %d", code)
	}
	tokens.ExpireAll()
	if code, _, body = ask(t, http.MethodPost, base+"/oauth2/token", "", second); code != http.StatusUnauthorized || body["errors"] == nil {
		t.Errorf("an expired refresh token gave %d, %v", code, body)
	}
}

func TestWhatIsNotExchanged(t *testing.T) {
	server, _ := azure(t)
	address := "http://" + server.Host + "/oauth2/exchange"
	for name, c := range map[string]struct {
		method string
		change url.Values
		code   int
	}{
		"another token":      {http.MethodPost, url.Values{"access_token": {"eyJ.other"}}, http.StatusUnauthorized},
		"another tenant":     {http.MethodPost, url.Values{"tenant": {"0"}}, http.StatusUnauthorized},
		"no token":           {http.MethodPost, url.Values{"access_token": {""}}, http.StatusBadRequest},
		"another registry":   {http.MethodPost, url.Values{"service": {"other.azurecr.io"}}, http.StatusBadRequest},
		"a deprecated grant": {http.MethodPost, url.Values{"grant_type": {"refresh_token"}}, http.StatusBadRequest},
		"no form":            {http.MethodGet, nil, http.StatusMethodNotAllowed},
	} {
		form := url.Values{"grant_type": {"access_token"}, "service": {server.Host}, "tenant": {tenant}, "access_token": {entra}}
		for key, value := range c.change {
			form[key] = value
		}
		if code, _, body := ask(t, c.method, address, "", form); code != c.code || body["errors"] == nil {
			t.Errorf("%s: %d, %v; want %d", name, code, body, c.code)
		}
	}
}
