//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// outside is a program that a test runs beside the cluster. It ends with its standard input, which is the test's.
func outside(t *testing.T, name string, env []string, args ...string) io.Reader {
	t.Helper()
	program, err := filepath.Abs("../../bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, args...)
	command.Env = append(os.Environ(), env...)
	command.Stderr = t.Output()
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("no %s to test with (`make bin/%s` builds it): %v", name, name, err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = command.Wait()
	})
	return output
}

// realVault is a Vault with an engine of version 2 at secret.
type realVault struct {
	t                   *testing.T
	Address, Token, Key string
}

func newRealVault(t *testing.T) *realVault {
	v := &realVault{t: t}
	if err := json.NewDecoder(outside(t, "vault", nil)).Decode(v); err != nil {
		t.Fatal(err)
	}
	v.write("POST", "sys/mounts/secret", map[string]any{"type": "kv", "options": map[string]string{"version": "2"}})
	// The engine prepares its storage first.
	for range 500 {
		if v.try("PUT", "secret/data/settled", map[string]any{"data": map[string]string{}}, nil) == nil {
			return v
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the engine of version 2 is not ready")
	return nil
}

func (v *realVault) try(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.Address+"/v1/"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("X-Vault-Token", v.Token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, response.StatusCode, said)
	}
	if answer != nil && err == nil {
		err = json.Unmarshal(said, answer)
	}
	return err
}

func (v *realVault) write(method, path string, body any) {
	v.t.Helper()
	if err := v.try(method, path, body, nil); err != nil {
		v.t.Fatal(err)
	}
}

func (v *realVault) put(path, content string) {
	v.t.Helper()
	v.write("PUT", "secret/data/"+path, map[string]any{"data": map[string]string{"value": content}})
}

// token is one that may read the path and nothing else.
func (v *realVault) token(name, path string) string {
	v.t.Helper()
	v.write("PUT", "sys/policies/acl/"+name, map[string]string{"policy": fmt.Sprintf("path %q { capabilities = [\"read\"] }", path)})
	var answer struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	if err := v.try("PUT", "auth/token/create", map[string]any{"policies": []string{name}, "ttl": "1h"}, &answer); err != nil {
		v.t.Fatal(err)
	}
	return answer.Auth.Token
}

// operate runs the External Secrets operator for the service's namespace. Its definitions belong to the cluster, and go when the test ends.
func (s *service) operate() {
	s.t.Helper()
	crds, err := filepath.Abs("../../bin/external-secrets-crds.yaml")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _, _ = s.tryKubectl("delete", "--timeout=60s", "-f", crds) })
	s.kubectl("apply", "--server-side", "--force-conflicts", "-f", crds)
	for end := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		out, err := s.tryKubectl("-n", s.namespace, "get", "externalsecrets,secretstores,clustersecretstores")
		if err == nil {
			break
		}
		if time.Now().After(end) {
			s.t.Fatalf("the cluster does not take up the operator's definitions: %s", out)
		}
	}
	outside(s.t, "external-secrets", []string{"KUBECONFIG=" + s.Kubeconfig}, "-namespace", s.namespace)
	s.t.Cleanup(func() {
		// The operator lets go of them, which it must do while it is there.
		_, _ = s.tryKubectl("-n", s.namespace, "delete", "externalsecrets", "--all", "--timeout=30s")
	})
}

// referred are the names of the ExternalSecrets, and of the Secrets that the operator has made of them.
func (s *service) referred() (objects, secrets []string) {
	s.t.Helper()
	list := func(kind string) []string {
		return strings.Fields(s.kubectl("-n", s.namespace, "get", kind, "-l", "sluice.dev/variables=reference", "-o", "jsonpath={.items[*].metadata.name}"))
	}
	return list("externalsecrets"), list("secrets")
}

// TestVariablesThatOnlyTheClusterReads deploys with a token that gives no content: the External Secrets operator reads a real Vault.
func TestVariablesThatOnlyTheClusterReads(t *testing.T) {
	s := newService(t, "references")
	v := newRealVault(t)
	s.spec = map[string]any{
		"variables":      map[string]any{"DB_PASSWORD": map[string]any{"as": "reference"}},
		"variableValues": map[string]any{"referenceName": "secretName"},
	}
	s.variables = map[string]any{"vault": map[string]any{"address": v.Address, "path": "app/test", "key": "value"}}
	s.environment = map[string]any{"references": map[string]any{"externalSecrets": map[string]any{"store": "vault"}}}
	s.env = []string{"VAULT_TOKEN=" + v.token("lister", "secret/metadata/app/test/*")}
	v.put("app/test/DB_PASSWORD", unseen)
	var said strings.Builder
	deploy := func(code int, out string) (int, string) {
		said.WriteString(out)
		return code, out
	}

	// What the cluster lacks stops the run before anything is written.
	s.must(3, "knows no external-secrets.io/v1")(deploy(s.release(nil)))
	s.operate()
	s.must(3, "there is no SecretStore vault in namespace "+s.namespace)(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))
	if left := s.kubectl("-n", s.namespace, "get", "secrets,configmaps,externalsecrets", "-o", "name"); strings.Contains(left, "helm") || strings.Contains(left, "sluice") || strings.Contains(left, "references") {
		t.Errorf("something was written:\n%s", left)
	}

	s.kubectl("-n", s.namespace, "create", "secret", "generic", "vault-token", "--from-literal=token="+v.token("reader", "secret/data/app/test/*"))
	s.apply(`{"apiVersion": "external-secrets.io/v1", "kind": "SecretStore", "metadata": {"name": "vault"}, "spec": {"provider": {"vault": {
  "server": "` + v.Address + `", "path": "secret", "version": "v2", "auth": {"tokenSecretRef": {"name": "vault-token", "key": "token"}}}}}}`)
	s.kubectl("-n", s.namespace, "wait", "--for=condition=Ready", "--timeout=60s", "secretstore/vault")
	s.must(0)(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))
	s.knows(unseen)
	first, _ := s.referred()
	s.must(0, "already live")(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))

	// The same release is deployed again where the secret was renewed; what ran keeps what it was started with.
	stop := s.users()
	v.put("app/test/DB_PASSWORD", unseen+"-renewed")
	s.must(0)(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))
	stop()
	s.knows(unseen + "-renewed")
	objects, secrets := s.referred()
	if len(first) != 1 || len(objects) != 1 || objects[0] == first[0] || len(secrets) != 1 || secrets[0] != objects[0] {
		t.Errorf("the ExternalSecrets were %v and are %v, the Secrets %v", first, objects, secrets)
	}

	// What the operator cannot read is told, and users keep what they have.
	v.write("DELETE", "sys/policies/acl/reader", nil)
	v.put("app/test/DB_PASSWORD", unseen+"-unreadable")
	s.must(3, "nothing was changed", "the cluster cannot read the variables by SecretStore vault", "describe externalsecret")(deploy(s.run("deploy", "app:1.0.0", "--env", "test")))
	s.knows(unseen + "-renewed")

	nowhere(t, "the output", said.String())
	nowhere(t, "an object of the namespace", s.kubectl("-n", s.namespace, "get", "configmaps,deployments,pods,externalsecrets,secretstores,events", "-o", "json"))
	s.must(0)(s.run("uninstall", "--env", "test", "--yes"))
	if objects, _ := s.referred(); len(objects) != 0 {
		t.Errorf("after the service was removed %v is left", objects)
	}
}
