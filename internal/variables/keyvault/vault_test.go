package keyvault_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets/fake"

	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/keyvault"
	"github.com/sluice-dev/sluice/test/proxy"
)

// vault is the SDK's fake server with secrets in it, behind HTTPS on loopback. What the SDK's does not fake, the bodies of refusals, is
// written as Key Vault documents it.
type vault struct {
	*proxy.Proxy
	clock *still

	mu      sync.Mutex
	secrets map[string][]*azsecrets.Secret
	refuse  *refusal // of every request
}

type refusal struct {
	status int
	code   string
	inner  string
	text   string
}

func (r *refusal) Error() string { return r.inner }

func (r *refusal) body() string {
	inner := ""
	if r.inner != "" {
		inner = fmt.Sprintf(`,"innererror":{"code":%q}`, r.inner)
	}
	return fmt.Sprintf(`{"error":{"code":%q,"message":%q%s}}`, r.code, r.text, inner)
}

func newVault(t *testing.T) *vault {
	v := &vault{clock: &still{}, secrets: map[string][]*azsecrets.Secret{}}
	transport := fake.NewServerTransport(&fake.Server{GetSecret: v.get, NewListSecretPropertiesVersionsPager: v.list})
	v.Proxy = proxy.NewTLS(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := "Client.GetSecret"
		if strings.Contains(r.URL.Path, "/versions") {
			method = "Client.NewListSecretPropertiesVersionsPager"
		}
		asked := r.Clone(context.WithValue(r.Context(), runtime.CtxAPINameKey{}, method))
		asked.URL.Scheme, asked.URL.Host = "https", r.Host
		response, err := transport.Do(asked)
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			proxy.Answer(refused.status, refused.body(), "Content-Type", "application/json")(w, r)
			return
		case err != nil:
			t.Error(err)
			return
		}
		for name := range response.Header {
			w.Header().Set(name, response.Header.Get(name))
		}
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))
	return v
}

func (v *vault) get(_ context.Context, name, version string, _ *azsecrets.GetSecretOptions) (ok azfake.Responder[azsecrets.GetSecretResponse], no azfake.ErrorResponder) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.refuse != nil {
		no.SetError(v.refuse)
		return ok, no
	}
	held := v.secrets[strings.ToLower(name)]
	for i := len(held) - 1; i >= 0; i-- {
		if version != "" && held[i].ID.Version() != version {
			continue
		}
		if !*held[i].Attributes.Enabled {
			no.SetError(&refusal{403, "Forbidden", "SecretDisabled", "Operation get is not allowed on a disabled secret."})
			return ok, no
		}
		ok.SetResponse(http.StatusOK, azsecrets.GetSecretResponse{Secret: *held[i]}, nil)
		return ok, no
	}
	no.SetError(&refusal{404, "SecretNotFound", "", "A secret with (name/id) " + name + "/" + version + " was not found in this key vault."})
	return ok, no
}

// list gives two versions a page, the oldest first.
func (v *vault) list(name string, _ *azsecrets.ListSecretPropertiesVersionsOptions) (pages azfake.PagerResponder[azsecrets.ListSecretPropertiesVersionsResponse]) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.refuse != nil {
		pages.AddError(v.refuse)
		return pages
	}
	all := v.secrets[strings.ToLower(name)]
	for page := range slices.Chunk(all, 2) {
		var listed azsecrets.ListSecretPropertiesVersionsResponse
		for _, s := range page {
			listed.Value = append(listed.Value, &azsecrets.SecretProperties{ID: s.ID, Attributes: s.Attributes})
		}
		pages.AddPage(http.StatusOK, listed, nil)
	}
	if len(all) == 0 {
		pages.AddPage(http.StatusOK, azsecrets.ListSecretPropertiesVersionsResponse{}, nil)
	}
	return pages
}

func (v *vault) put(name, content string) *azsecrets.Secret {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := strings.ToLower(keyvault.SecretName(name))
	id := azsecrets.ID(fmt.Sprintf("https://prod-vault.vault.azure.net/secrets/%s/%032x", key, 0xabc000+len(v.secrets[key])))
	enabled, created := true, today().Add(time.Duration(len(v.secrets[key]))*time.Minute)
	s := &azsecrets.Secret{ID: &id, Value: &content, Attributes: &azsecrets.SecretAttributes{Enabled: &enabled, Created: &created}}
	v.secrets[key] = append(v.secrets[key], s)
	return s
}

func (v *vault) current(name string) *azsecrets.SecretAttributes {
	held := v.secrets[name]
	return held[len(held)-1].Attributes
}

func (v *vault) refuseAll(r *refusal) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refuse = r
}

// store reads the vault through the library's real pipeline. Whatever host is asked for is found on loopback.
func (v *vault) store(t *testing.T, o keyvault.Options) *keyvault.Store {
	return v.named(t, "prod-vault", o)
}

func (v *vault) named(t *testing.T, name string, o keyvault.Options) *keyvault.Store {
	t.Helper()
	if o.Credential == nil {
		o.Credential = &azfake.TokenCredential{}
	}
	if o.Transport == nil {
		roots := v.Server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		transport := &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, v.Server.Listener.Addr().String())
			},
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"},
		}
		t.Cleanup(transport.CloseIdleConnections)
		o.Transport = &http.Client{Transport: transport}
	}
	o.Clock = v.clock
	s, err := keyvault.New(name, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// still is a clock on which time passes only where somebody waits, and then at once.
type still struct {
	mu     sync.Mutex
	passed []time.Duration
}

func today() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func (s *still) Now() time.Time { return today() }

func (s *still) Wait(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passed = append(s.passed, d)
	return ctx.Err()
}

func (s *still) waits() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Duration(nil), s.passed...)
}

func queries(names ...string) []variables.Query {
	var all []variables.Query
	for _, name := range names {
		all = append(all, variables.Query{Name: name})
	}
	return all
}

var (
	_ azcore.TokenCredential = (*azfake.TokenCredential)(nil)
	_ json.Marshaler         = azsecrets.Secret{}
)
