package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/variables"
	"github.com/sluice-dev/sluice/test/distribution"
)

// The secrets that a run meets in the places from which it takes them.
const (
	dockerCanary   = "d0cker/c4n4ry+7f3a"
	remoteCanary   = "r3mote c4n4ry@7f3a"
	headerCanary   = "h3ader-c4n4ry-7f3a"
	ciCanary       = "eyJ0eXAi.c1-c4n4ry.7f3a"
	passwordCanary = "c0s1gn'c4n4ry"
	clusterCanary  = "clust3r-c4n4ry-7f3a"
	keyCanary      = "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\neyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUz\nNiwiciI6OCwicCI6MX0sInNhbHQiOiJjNG40cnk3ZjNhIn19\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n"
	kubeconfigText = `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}]
users: [{name: u, user: {token: %q}}]
contexts: [{name: nowhere, context: {cluster: c, user: u}}]
`
)

// everything prints all that a command of a build can see, in the ways in which tools do, and fails.
const everything = `set -x
env
cat "$DOCKER_CONFIG/config.json"
git remote --verbose
git config --list
printf '%s' "$RELEASE_KEY" | base64
printf '%s\n' "$COSIGN_PASSWORD" >&2
echo "$SYSTEM_ACCESSTOKEN" "$(printf '%s' "user:$SYSTEM_ACCESSTOKEN" | base64 -w0)"
exit 3
`

// real is a world in which a command builds, with a registry that asks for a password and a repository whose remote has one.
func real(t *testing.T) *world {
	w := newWorld(t)
	w.real = true
	server := distribution.Serve(distribution.Options{Auth: distribution.Basic("robot", dockerCanary)})
	t.Cleanup(server.Close)
	docker := t.TempDir()
	auth, err := json.Marshal(map[string]any{"auths": map[string]any{server.Host: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("robot:" + dockerCanary))}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(docker, "config.json"), auth, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"DOCKER_CONFIG": docker, "SYSTEM_ACCESSTOKEN": ciCanary, "COSIGN_PASSWORD": passwordCanary, "RELEASE_KEY": keyCanary,
		"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "HOME": docker,
	} {
		// The environment that commands inherit is the one that the run reads.
		t.Setenv(name, value)
		w.environment[name] = value
	}
	w.write("chart/Chart.yaml", "apiVersion: v2\nname: calculator\nversion: 0.0.0\n")
	w.write("chart/values.yaml", "image: \"\"\n")
	w.write("build.sh", everything)
	w.write("sluice.yaml", strings.NewReplacer(
		"localhost:5000/calculator", server.Host+"/calculator",
		"{chart: chart}", `{chart: chart, images: {app: {script: {run: [sh, build.sh]}}}, imageValues: {app: image}}`,
	).Replace(projectFile))
	remote := "http://robot:r3mote%20c4n4ry%407f3a@127.0.0.1:1/calculator.git"
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "all"},
		{"remote", "add", "origin", remote},
		{"config", "http.http://127.0.0.1:1/.extraheader", "AUTHORIZATION: basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+headerCanary))},
	} {
		cmd := exec.Command("git", append([]string{"-C", w.dir}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	return w
}

func TestNoSecretOfAFailingChildIsPrinted(t *testing.T) {
	w := real(t)
	for format, valid := range formatsOf() {
		r := w.must(2, "build", "-o", format)
		searched(t, r, dockerCanary, remoteCanary, headerCanary, ciCanary, passwordCanary, keyCanary)
		// The child did print: its words are there, without the secrets.
		for _, part := range []string{"SYSTEM_ACCESSTOKEN=[redacted]", "COSIGN_PASSWORD=[redacted]", "http://robot:[redacted]@127.0.0.1:1/", "basic [redacted]", `"auth":`, "exit status 3"} {
			if !strings.Contains(r.stderr, part) {
				t.Errorf("%s: the log lacks %q:\n%s", format, part, r.stderr)
			}
		}
		if err := valid(r.stdout); err != nil {
			t.Errorf("%s: %v\n%s", format, err, r.stdout)
		}
	}
}

func TestNoSecretOfTheRemoteIsPrinted(t *testing.T) {
	w := real(t)
	for format := range formatsOf() {
		r := w.must(8, "plan", "--base", "refs/heads/other", "-o", format)
		searched(t, r, dockerCanary, remoteCanary, headerCanary, ciCanary)
		if !strings.Contains(r.stderr, "127.0.0.1") {
			t.Errorf("%s: nothing was fetched:\n%s", format, r.stderr)
		}
	}
}

func TestNoSecretGetsIntoARelease(t *testing.T) {
	w := real(t)
	text, err := os.ReadFile(filepath.Join(w.dir, "sluice.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("sluice.yaml", strings.Replace(string(text), "{run: [sh, build.sh]}", `{run: [sh, build.sh], env: {TOKEN: "Bearer ${SYSTEM_ACCESSTOKEN}"}}`, 1))
	for format := range formatsOf() {
		r := w.must(2, "build", "-o", format)
		searched(t, r, ciCanary)
		if !strings.Contains(r.stderr, "error: services.calculator.images.app.script.env.TOKEN: holds a secret") {
			t.Errorf("%s: %s", format, r.stderr)
		}
	}
}

// TestNoSecretOfTheClusterIsPrinted asks an API server that quotes what it is sent, as proxies do.
func TestNoSecretOfTheClusterIsPrinted(t *testing.T) {
	w := real(t)
	server := httptest.NewTLSServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(out, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "BadRequest", "code": 400, "message": %q}`,
			"no request: "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(server.Close)
	w.write("kubeconfig", fmt.Sprintf(kubeconfigText, server.URL, clusterCanary))
	for format := range formatsOf() {
		r := w.must(8, "status", "--env", "dev", "--kubeconfig", filepath.Join(w.dir, "kubeconfig"), "-o", format)
		searched(t, r, clusterCanary)
		if !strings.Contains(r.stderr, "no request: Bearer "+variables.Redacted) {
			t.Errorf("%s: %s", format, r.stderr)
		}
	}
}

// TestNoSecretIsPrintedWhatever runs every command in a place full of secrets.
func TestNoSecretIsPrintedWhatever(t *testing.T) {
	w := real(t)
	w.write("kubeconfig", fmt.Sprintf(kubeconfigText, "http://127.0.0.1:1", clusterCanary))
	var help bytes.Buffer
	root := newRoot(&invocation{Process: Process{LookupEnv: func(string) (string, bool) { return "", false }}})
	root.SetOut(&help)
	for _, command := range root.Commands() {
		for _, args := range [][]string{{command.Name(), "--help"}, {command.Name(), ciCanary}, {command.Name(), "calculator", "--env", "dev"}, {command.Name(), "--env", ciCanary, "--reason", passwordCanary}} {
			for format := range formatsOf() {
				searched(t, w.run(append(args, "-o", format)...), dockerCanary, remoteCanary, headerCanary, ciCanary, passwordCanary, keyCanary, clusterCanary)
			}
		}
	}
}
