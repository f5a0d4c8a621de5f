package app

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/memory"
	"github.com/sluice-dev/sluice/internal/variables"
)

// TestClusterCredentialsAreKnown uses each way to log in to an API server, and looks whether the run knows the secret of it.
func TestClusterCredentialsAreKnown(t *testing.T) {
	seen := ""
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Authorization") }))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	token, helper := filepath.Join(dir, "token"), filepath.Join(dir, "helper")
	if err := os.WriteFile(token, []byte("t0ken-of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t0ken-of-a-helper\"}}'\n"
	if err := os.WriteFile(helper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config      rest.Config
		secret, had string
	}{
		"a token":     {rest.Config{BearerToken: "t0ken-itself"}, "t0ken-itself", "Bearer t0ken-itself"},
		"a file":      {rest.Config{BearerTokenFile: token}, "t0ken-of-a-file", "Bearer t0ken-of-a-file"},
		"a password":  {rest.Config{Username: "admin", Password: "p4ssword/1"}, "p4ssword/1", "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:p4ssword/1"))},
		"a helper":    {rest.Config{ExecProvider: &clientcmdapi.ExecConfig{APIVersion: "client.authentication.k8s.io/v1", Command: helper, InteractiveMode: clientcmdapi.NeverExecInteractiveMode}}, "t0ken-of-a-helper", "Bearer t0ken-of-a-helper"},
		"another one": {rest.Config{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Options{})
			config := c.config
			config.Host, config.Insecure = server.URL, true
			a.keepCredentials(&config)
			client, err := kubernetes.NewForConfig(&config)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = client.Discovery().ServerVersion()
			if seen != c.had {
				t.Fatalf("the server was sent %q", seen)
			}
			if c.secret != "" && a.o.Secrets.String(c.secret) != variables.Redacted {
				t.Errorf("%q is not known", c.secret)
			}
		})
	}
	a := New(Options{})
	key := "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEG\n-----END PRIVATE KEY-----\n"
	a.keepCredentials(&rest.Config{TLSClientConfig: rest.TLSClientConfig{KeyData: []byte(key), CertData: []byte("c")}})
	if got := a.o.Secrets.String("MIGHAgEAMBMGByqGSM49AgEG"); got != variables.Redacted {
		t.Errorf("the client's key is not known: %q", got)
	}
}

func TestRecordsHoldNoSecret(t *testing.T) {
	const secret = "c4n4ry-7f3a"
	m := masked{memory.New(nil), &variables.Masker{}}
	m.secrets.Add(secret)
	ctx := context.Background()
	r := v1alpha1.Rollout{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRollout, Service: "s", Environment: "e", Namespace: "n", Number: 1, Phase: v1alpha1.Pending,
		Reason: "for " + secret,
	}
	record, err := m.Create(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if record.Rollout.Reason != "for [redacted]" {
		t.Errorf("created with %q", record.Rollout.Reason)
	}
	record.Rollout.Cause, record.Rollout.LastError = "gate: "+secret, secret
	record.Rollout.Evidence = []string{"one", base64.StdEncoding.EncodeToString([]byte("u:" + secret))}
	record.Rollout.Results = []v1alpha1.GateResult{{Gate: "http", Evidence: secret}}
	record.Rollout.Requests = []v1alpha1.Request{{Kind: v1alpha1.RequestAbort, Reason: secret}}
	record.Rollout.History = []v1alpha1.Event{{Seq: 1, Message: secret}}
	held := record.Rollout
	if _, err := m.Update(ctx, record); err != nil {
		t.Fatal(err)
	}
	if held.Evidence[0] != "one" || held.Results[0].Evidence != secret {
		t.Error("what the caller holds was changed")
	}
	there, err := m.Get(ctx, store.KeyOf(r), 1)
	if err != nil {
		t.Fatal(err)
	}
	body, err := store.Encode(there.Rollout)
	if err != nil {
		t.Fatal(err)
	}
	if got := m.secrets.String(string(body)); got != string(body) {
		t.Errorf("the record holds a secret:\n%s", body)
	}
	got := there.Rollout
	if diff := cmp.Diff([]string{"gate: [redacted]", "[redacted]", "[redacted]", "[redacted]", "[redacted]"},
		[]string{got.Cause, got.LastError, got.Results[0].Evidence, got.Requests[0].Reason, got.History[0].Message}); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(got.Evidence[1], variables.Redacted) {
		t.Errorf("evidence is %q", got.Evidence)
	}
}
