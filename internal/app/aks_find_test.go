package app

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/test/arm"
	"github.com/sluice-dev/sluice/test/entra"
	"github.com/sluice-dev/sluice/test/proxy"
)

// inOneAzure is a run that is an application of a directory, and a cluster that takes it.
func inOneAzure(t *testing.T) (*App, *entra.Server, *arm.Server) {
	t.Helper()
	const client = "aaaaaaaa-1111-2222-3333-444444444444"
	directory := entra.Start()
	t.Cleanup(directory.Close)
	directory.Apps = []entra.App{{Client: client, Secret: "the secret of the application"}}
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	t.Cleanup(api.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw})
	manager := arm.New(t, arm.Cluster{Server: api.URL, CA: ca, Entra: true})
	manager.Fault(func(r *http.Request) http.HandlerFunc {
		if r.Header.Get("Authorization") != "" {
			r.Header.Set("Authorization", "Bearer "+arm.Token) // any of the directory's is taken
		}
		return nil
	})
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	trusting := before.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{RootCAs: directory.Roots(), MinVersion: tls.VersionTLS12}
	trusting.TLSClientConfig.RootCAs.AddCert(manager.HTTP.Certificate())
	http.DefaultTransport = trusting
	env := map[string]string{
		"AZURE_AUTHORITY_HOST": directory.Authority(), "AZURE_TENANT_ID": entra.Tenant, "AZURE_CLIENT_ID": client,
		"AZURE_CLIENT_SECRET": "the secret of the application", "ARM_ENDPOINT": manager.HTTP.URL,
	}
	return New(Options{Now: time.Now, LookupEnv: func(name string) (string, bool) { text, ok := env[name]; return text, ok }}), directory, manager
}

// TestAKSSignsInBeforeItConnects: signing in has its own time, and none of that in which the API server has to answer.
func TestAKSSignsInBeforeItConnects(t *testing.T) {
	a, directory, manager := inOneAzure(t)
	for range 2 {
		if to, err := a.way(t.Context(), "prod", inAzure()); err != nil || to.config.Host == "" {
			t.Fatal(err, fault.HintOf(err))
		}
	}
	if n, asked := len(directory.Given()), len(manager.Requests()); n != 2 || asked != 2 {
		t.Errorf("%d tokens were given, and Azure asked %d times", n, asked)
	}
	for _, token := range directory.Given() {
		if !a.o.Secrets.Holds(token) {
			t.Error("a token is not known as a secret")
		}
	}
	a, directory, _ = inOneAzure(t)
	directory.Fault = func(r *http.Request) http.HandlerFunc {
		if r.ParseForm() == nil && strings.HasPrefix(r.PostForm.Get("scope"), arm.ServerApplication) {
			return proxy.Answer(400, `{"error":"invalid_resource","error_description":"AADSTS500011: unknown","error_codes":[500011]}`)
		}
		return nil
	}
	_, err := a.way(t.Context(), "prod", inAzure())
	if !fault.Is(err, fault.Unreachable) || !strings.Contains(err.Error(), "no token for the cluster") || !strings.Contains(err.Error(), "AADSTS500011") {
		t.Errorf("without a token for the cluster it gave %v", err)
	}
}

// TestAKSIsSoughtByOneAtATime: whoever waits for the answers about one cluster waits no longer than it may, and nobody else waits for them.
func TestAKSIsSoughtByOneAtATime(t *testing.T) {
	a, _, manager := inOneAzure(t)
	begun, over := make(chan struct{}), make(chan struct{})
	manager.Fault(func(*http.Request) http.HandlerFunc {
		close(begun)
		<-over
		return proxy.Answer(403, `{"error":{"code":"x","message":"y"}}`)
	})
	done := make(chan error)
	go func() {
		_, err := a.way(t.Context(), "prod", inAzure())
		done <- err
	}()
	<-begun
	if !a.mu.TryLock() {
		t.Fatal("everybody waits for Azure")
	}
	a.mu.Unlock()
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.way(canceled, "prod", inAzure()); !fault.Is(err, fault.Interrupted) {
		t.Errorf("the one who was interrupted got %v", err)
	}
	late, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := a.way(late, "prod", inAzure()); !fault.Is(err, fault.Unreachable) || fault.HintOf(err) == "" {
		t.Errorf("the one whose time is over got %v", err)
	}
	close(over)
	if err := <-done; !fault.Is(err, fault.Unreachable) {
		t.Errorf("the one who asked got %v", err)
	}
}
