package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

func TestVariablesOfVaults(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/secret/data/calculator/prod" || r.Header.Get("X-Vault-Token") != "of-the-file" {
			w.WriteHeader(http.StatusForbidden)
		}
		_, _ = io.WriteString(w, `{"data":{"data":{"A":"content"},"metadata":{"version":1}}}`)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := &variables.Masker{}
	a := New(Options{Dir: dir, Now: time.Now, LookupEnv: os.LookupEnv, Secrets: secrets})
	open := func(s v1alpha1.VariableStore) (variables.Store, error) {
		return a.Variables(t.Context(), "prod", v1alpha1.Environment{Variables: &s})
	}
	store, err := open(v1alpha1.VariableStore{Vault: &v1alpha1.VaultStore{Address: server.URL, Mount: "secret", Path: "calculator/prod", Version: 2,
		Auth: &v1alpha1.VaultAuth{Token: &v1alpha1.VaultCredential{File: "token"}}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := store.Resolve(t.Context(), []variables.Query{{Name: "A"}})
	if err != nil || got[0].Value.Reveal() != "content" {
		t.Errorf("it read %v, %v", got, err)
	}
	if !secrets.Holds("the token is of-the-file") {
		t.Error("the token is not masked")
	}
	if store, err = open(v1alpha1.VariableStore{KeyVault: "prod-vault"}); err != nil || store.String() != "Key Vault prod-vault" {
		t.Errorf("it opened %v, %v", store, err)
	}
	if store, err = open(v1alpha1.VariableStore{KeyVault: "no--vault"}); !fault.Is(err, fault.Usage) || store != nil {
		t.Errorf("it opened %v, %v", store, err)
	}
	if store, err = open(v1alpha1.VariableStore{Vault: &v1alpha1.VaultStore{Address: server.URL, Mount: "a//b", Path: "c", Version: 2}}); !fault.Is(err, fault.Usage) || store != nil {
		t.Errorf("it opened %v, %v", store, err)
	}
}
