package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	keyvaultfake "github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets/fake"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/internal/variables/keyvault"
	"github.com/sluice-dev/sluice/internal/variables/vault"
)

const (
	// resolvedVariables is how many variables a service has, storeDelay how long the network takes for each answer of a store, resolveRuns
	// how often they are read each way.
	resolvedVariables, storeDelay, resolveRuns = 50, 50 * time.Millisecond, 5
)

// resolveVariables reads 50 variables at once and one by one: from the SDK's fake of a Key Vault, and from a real Vault, both with the
// delay of a network.
func resolveVariables(ctx context.Context, b *bed) error {
	keyVault := &counted{next: fakeKeyVault()}
	inKeyVault, err := keyvault.New("prod-vault", keyvault.Options{Credential: &fake.TokenCredential{}, Clock: variables.SystemClock{}, Transport: keyVault})
	if err != nil {
		return err
	}
	if err := resolveBothWays(ctx, "keyvault", inKeyVault, keyVault); err != nil {
		return err
	}
	server, err := startVault(ctx, filepath.Join(b.root, "bin", "vault"))
	if err != nil {
		return err
	}
	defer server.close()
	inVault, err := vault.New(v1alpha1.VaultStore{Address: server.front.URL, Mount: "second", Path: "calculator/prod", Version: 2}, vault.Options{
		Clock:  variables.SystemClock{},
		Getenv: func(name string) string { return map[string]string{"VAULT_TOKEN": server.Token}[name] },
	})
	if err != nil {
		return err
	}
	return resolveBothWays(ctx, "vault", inVault, server.requests)
}

func resolveBothWays(ctx context.Context, name string, store variables.Store, requests *counted) error {
	var queries []variables.Query
	for i := range resolvedVariables {
		queries = append(queries, variables.Query{Name: variableName(i)})
	}
	var together, single []float64
	var asked int64
	for range resolveRuns {
		requests.count.Store(0)
		begin := time.Now()
		if _, err := store.Resolve(ctx, queries); err != nil {
			return err
		}
		together = append(together, time.Since(begin).Seconds())
		if asked == 0 {
			// The first time a store is asked it also says whose tokens it takes.
			asked = requests.count.Load()
		}
		begin = time.Now()
		for _, q := range queries {
			if _, err := store.Resolve(ctx, []variables.Query{q}); err != nil {
				return err
			}
		}
		single = append(single, time.Since(begin).Seconds())
	}
	figure("resolve_50_"+name+"_requests", float64(asked), "requests")
	figure("resolve_50_"+name+"_s", median(together), "s")
	figure("resolve_50_"+name+"_vs_one_by_one_ratio", median(together)/median(single), "of one by one")
	return nil
}

func variableName(i int) string { return fmt.Sprintf("VARIABLE_%02d", i) }

// counted counts requests, and lets each take the time of a network.
type counted struct {
	count atomic.Int64
	next  policy.Transporter
}

// Do implements policy.Transporter.
func (c *counted) Do(r *http.Request) (*http.Response, error) {
	c.pass(r.Context())
	return c.next.Do(r)
}

func (c *counted) pass(ctx context.Context) {
	c.count.Add(1)
	select {
	case <-ctx.Done():
	case <-time.After(storeDelay):
	}
}

// challenged is the fake of the SDK, and what that leaves out: who comes without a token is told whose it must be.
type challenged struct{ next policy.Transporter }

func fakeKeyVault() policy.Transporter {
	return challenged{keyvaultfake.NewServerTransport(&keyvaultfake.Server{
		GetSecret: func(_ context.Context, name, _ string, _ *azsecrets.GetSecretOptions) (ok fake.Responder[azsecrets.GetSecretResponse], no fake.ErrorResponder) {
			id, enabled, content := azsecrets.ID("https://prod-vault.vault.azure.net/secrets/"+name+"/0123456789abcdef0123456789abcdef"), true, "content of "+name
			ok.SetResponse(http.StatusOK, azsecrets.GetSecretResponse{Secret: azsecrets.Secret{
				ID: &id, Value: &content, Attributes: &azsecrets.SecretAttributes{Enabled: &enabled},
			}}, nil)
			return ok, no
		},
	})}
}

// Do implements policy.Transporter.
func (c challenged) Do(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "" {
		return c.next.Do(r)
	}
	return &http.Response{
		StatusCode: http.StatusUnauthorized, Request: r, Body: io.NopCloser(strings.NewReader("")),
		Header: http.Header{"Www-Authenticate": {`Bearer authorization="https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000", resource="https://vault.azure.net"`}},
	}, nil
}

// vaultServer is a real Vault behind the delay of a network.
type vaultServer struct {
	Address, Token string
	front          *httptest.Server
	requests       *counted
	stop           func()
}

func (v *vaultServer) close() {
	v.front.Close()
	v.stop()
}

// startVault runs the Vault that `make bin/vault` builds, with one secret of 50 keys. It ends with its standard input.
func startVault(ctx context.Context, program string) (*vaultServer, error) {
	command := exec.CommandContext(ctx, program)
	input, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("no Vault to measure (make bin/vault builds it): %w", err)
	}
	v := &vaultServer{requests: &counted{}, stop: func() { _ = input.Close(); _ = command.Wait() }}
	if err := json.NewDecoder(output).Decode(v); err != nil {
		v.stop()
		return nil, fmt.Errorf("%s does not start: %w", program, err)
	}
	to, err := url.Parse(v.Address)
	if err != nil {
		v.stop()
		return nil, err
	}
	through := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	v.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.requests.pass(r.Context())
		through.ServeHTTP(w, r)
	}))
	if err := v.fill(ctx); err != nil {
		v.close()
		return nil, err
	}
	return v, nil
}

// fill writes the variables. A new engine of version 2 refuses to be written until it has prepared its storage.
func (v *vaultServer) fill(ctx context.Context) error {
	if err := v.write(ctx, "sys/mounts/second", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}); err != nil {
		return err
	}
	data := map[string]string{}
	for i := range resolvedVariables {
		data[variableName(i)] = "content of " + variableName(i)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := v.write(ctx, "second/data/calculator/prod", map[string]any{"data": data})
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

func (v *vaultServer) write(ctx context.Context, path string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, v.front.URL+"/v1/"+path, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	request.Header.Set("X-Vault-Token", v.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("vault answers %s for %s", response.Status, path)
	}
	return nil
}
