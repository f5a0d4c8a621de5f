//go:build e2e

package e2e

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unseen is the password that nobody must ever see.
const unseen = "canary-4f1c9e7a-in-the-coal-mine"

// knows says whether users are served by pods that have a password.
func (s *service) knows(password string) {
	s.t.Helper()
	if _, body := s.answers(nil); body["knows"] != fmt.Sprintf("%x", sha256.Sum256([]byte(password))) {
		s.t.Errorf("the pods do not have the password: %v", body)
	}
}

// kept are the names of the Secrets that hold the service's variables.
func (s *service) kept() []string {
	s.t.Helper()
	return strings.Fields(s.kubectl("-n", s.namespace, "get", "secrets", "-l", "sluice.dev/variables", "-o", "jsonpath={.items[*].metadata.name}"))
}

// nowhere fails the test where a text holds the unseen, in clear or in base64 at any alignment.
func nowhere(t *testing.T, where, text string) {
	t.Helper()
	for _, hidden := range []string{unseen, base64.StdEncoding.EncodeToString([]byte(unseen))[:40], base64.StdEncoding.EncodeToString([]byte("x" + unseen))[4:40], base64.StdEncoding.EncodeToString([]byte("xx" + unseen))[4:40]} {
		if strings.Contains(text, hidden) {
			t.Errorf("%s holds the password", where)
		}
	}
}

// TestVariablesFromASecretOfTheCluster brings a password to pods, renews it, and goes back; nothing but the Secret ever holds it.
func TestVariablesFromASecretOfTheCluster(t *testing.T) {
	s := newService(t, "variables")
	s.spec = map[string]any{
		"variables":      map[string]any{"DB_PASSWORD": map[string]any{}, "LEVEL": map[string]any{"as": "value", "key": "env.LEVEL"}},
		"variableValues": map[string]any{"secretName": "secretName"},
	}
	s.variables = map[string]any{"kubernetes": map[string]any{"secret": "store"}}
	var said strings.Builder
	deploy := func(code int, out string) (int, string) {
		said.WriteString(out)
		return code, out
	}

	// What is missing stops the run before anything is written.
	s.must(2, "there is no such Secret")(deploy(s.release(nil)))
	if releases := s.kubectl("-n", s.namespace, "get", "secrets,configmaps", "-o", "name"); strings.Contains(releases, "helm") || strings.Contains(releases, "sluice") {
		t.Errorf("something was written:\n%s", releases)
	}

	s.kubectl("-n", s.namespace, "create", "secret", "generic", "store", "--from-literal=DB_PASSWORD="+unseen, "--from-literal=LEVEL=debug")
	s.must(0)(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))
	s.knows(unseen)
	first := s.kept()
	s.must(0, "already live")(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))

	// The same release is deployed again where a secret was renewed.
	stop := s.users()
	s.kubectl("-n", s.namespace, "patch", "secret", "store", "-p", `{"stringData":{"DB_PASSWORD":"`+unseen+`-renewed"}}`)
	s.must(0)(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))
	stop()
	s.knows(unseen + "-renewed")
	if now := s.kept(); len(first) != 1 || len(now) != 1 || now[0] == first[0] {
		t.Errorf("the Secrets were %v and are %v", first, now)
	}

	nowhere(t, "the output", said.String())
	all := s.kubectl("-n", s.namespace, "get", "configmaps,deployments,replicasets,pods,services,ingresses,events", "-o", "json")
	nowhere(t, "an object of the namespace", all)
	for _, name := range strings.Fields(s.kubectl("-n", s.namespace, "get", "secrets", "-l", "owner=helm", "-o", "jsonpath={.items[*].metadata.name}")) {
		var release struct{ Data struct{ Release string } }
		if err := json.Unmarshal([]byte(s.kubectl("-n", s.namespace, "get", "secret", name, "-o", "json")), &release); err != nil {
			t.Fatal(err)
		}
		nowhere(t, "Helm's release "+name, unpack(t, release.Data.Release))
	}

	s.must(0)(s.run("uninstall", "--env", "test", "--yes"))
	if left := s.kept(); len(left) != 0 {
		t.Errorf("after the service was removed %v is left", left)
	}
}

// TestVariablesFromAnEncryptedFile deploys from an empty folder: the release carries the file, and only the key must be there.
func TestVariablesFromAnEncryptedFile(t *testing.T) {
	s := newService(t, "sops")
	s.spec = map[string]any{"variables": map[string]any{"DB_PASSWORD": map[string]any{}}, "variableValues": map[string]any{"secretName": "secretName"}}
	s.variables = map[string]any{"sops": "env/test.enc.yaml"}
	keys := filepath.Join(t.TempDir(), "keys.txt")
	s.env = []string{"SOPS_AGE_KEY_FILE=" + keys}
	s.configure(nil)
	s.must(0)(s.run("variables", "init", "--env", "test"))
	s.must(0)(s.stdin(unseen, "variables", "set", "DB_PASSWORD", "--env", "test"))
	code, out := s.release(nil)
	s.must(0)(code, out)
	nowhere(t, "the output", out)
	s.knows(unseen)

	empty := *s
	empty.dir = t.TempDir()
	code, out = empty.run("deploy", s.repository+"/app:1.0.0", "--env", "test")
	s.must(0, "already live")(code, out)

	if err := os.Remove(keys); err != nil {
		t.Fatal(err)
	}
	s.must(8, "age")(empty.run("deploy", s.repository+"/app:1.0.0", "--env", "test"))
}

// stdin runs the binary with a text on its standard input.
func (s *service) stdin(text string, args ...string) (int, string) {
	s.t.Helper()
	cmd := s.command(args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return exitCode(s.t, err), string(out)
}

// unpack is what Helm stores: gzip in base64, in the base64 of a Secret.
func unpack(t *testing.T, data string) string {
	t.Helper()
	for range 2 {
		decoded, err := base64.StdEncoding.DecodeString(data)
		if err != nil {
			t.Fatal(err)
		}
		data = string(decoded)
	}
	unzipped, err := gzip.NewReader(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(unzipped)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
