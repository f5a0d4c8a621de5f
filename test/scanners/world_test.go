// Package scanners builds and scans an image as people do, with the scanners' real programs; it must not need a network.
//
// The programs are those of $SLUICE_TEST_SCANNERS, a folder; `make test-scanners` builds them and runs the tests.
package scanners

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/sluice-dev/sluice/internal/cli"
	"github.com/sluice-dev/sluice/test/distribution"
)

const (
	user, password = "ci", "hunter22"
	// runs makes the test's own program a sluice.
	runs = "SLUICE_TEST_RUNS_SLUICE"
)

func TestMain(m *testing.M) {
	if os.Getenv(runs) != "" {
		os.Exit(cli.Run(context.Background(), cli.System()))
	}
	os.Exit(m.Run())
}

// programs is the folder of the scanners' programs; without it, or without one that is asked for, the test is skipped.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := os.Getenv("SLUICE_TEST_SCANNERS")
	if dir == "" {
		t.Skip("no scanners are named by SLUICE_TEST_SCANNERS: `make test-scanners` builds them, which takes minutes")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Skipf("%v: `make test-scanners` builds it", err)
		}
	}
	return dir
}

// vulnerability is one that the test's database knows, in the words of the programs that write it.
type vulnerability struct {
	ID, Severity, Description       string
	Ecosystem                       string
	Distribution, Release, Codename string
	Package, Affected, Fixed        string
}

// known are the vulnerabilities of the image, and one that it has not.
func known() []vulnerability {
	return []vulnerability{
		{ID: "GHSA-2222-3333-4444", Severity: "critical", Description: "it reads beyond the end", Ecosystem: "go-module", Package: "example.dev/old", Affected: "<1.3.0", Fixed: "1.3.0"},
		{ID: "CVE-2026-1000", Severity: "high", Description: "it writes beyond the end", Distribution: "debian", Release: "12", Codename: "bookworm", Package: "libold", Affected: "<1.0-3", Fixed: "1.0-3"},
		{ID: "CVE-2026-1001", Severity: "low", Description: "it prints nonsense", Distribution: "debian", Release: "12", Codename: "bookworm", Package: "libold"},
		{ID: "GHSA-5555-6666-7777", Severity: "critical", Ecosystem: "go-module", Package: "example.dev/old", Affected: ">=1.3.0"},
	}
}

// world is a registry that asks who comes, and a project whose image has old things in it.
type world struct {
	dir, programs string
	registry      *distribution.Server
	// base is the digest of the base image.
	base string
	env  map[string]string
}

func newWorld(t *testing.T, needed ...string) *world {
	t.Helper()
	w := &world{programs: programs(t, needed...), dir: t.TempDir()}
	w.registry = distribution.Serve(distribution.Options{Referrers: true, Auth: (&distribution.Tokens{User: user, Password: password}).Auth})
	t.Cleanup(w.registry.Close)
	home := t.TempDir()
	w.env = map[string]string{
		"HOME": home, "DOCKER_CONFIG": home, "PATH": os.Getenv("PATH"), "TMPDIR": t.TempDir(), runs: "1", "GOCACHE": goEnv(t, "GOCACHE"),
		"GOPROXY": "file://" + proxy(t), "GOSUMDB": "off", "GOMODCACHE": filepath.Join(home, "mod"), "GOFLAGS": "-modcacherw", "GOTOOLCHAIN": "local",
		"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.dev", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.dev",
	}
	entry := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	write(t, home, "config.json", `{"auths":{"`+w.registry.Host+`":{"auth":"`+entry+`"}}}`)
	w.pushBase(t)
	w.project(t)
	return w
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// proxy is a folder from which Go takes the old module.
func proxy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const module, version, gomod = "example.dev/old", "v1.2.3", "module example.dev/old\n"
	at := filepath.Join(module, "@v", version)
	write(t, dir, at+".info", `{"Version":"`+version+`"}`)
	write(t, dir, at+".mod", gomod)
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for file, text := range map[string]string{"go.mod": gomod, "old.go": "package old\n\nfunc Greet() string { return \"hello\" }\n"} {
		f, err := z.Create(module + "@" + version + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, dir, at+".zip", archive.String())
	return dir
}

// pushBase pushes what is left of a Debian when everything but its list of packages is thrown away.
func (w *world) pushBase(t *testing.T) {
	t.Helper()
	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	for file, text := range map[string]string{
		"etc/debian_version":  "12.5\n",
		"etc/os-release":      "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
		"var/lib/dpkg/status": "Package: libold\nStatus: install ok installed\nMaintainer: a <a@example.dev>\nArchitecture: amd64\nVersion: 1.0-2\nDescription: old\n",
	} {
		if err := files.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(files, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: rootFS(t, image), Config: v1.Config{User: "65532"}}); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.registry.Host + "/base:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithContext(t.Context()), remote.WithAuth(&authn.Basic{Username: user, Password: password})); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	w.base = digest.String()
}

func rootFS(t *testing.T, image v1.Image) v1.RootFS {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}

// project writes a service whose program uses the old module.
func (w *world) project(t *testing.T) {
	t.Helper()
	write(t, w.dir, "go.mod", "module example.dev/shop\n\ngo 1.24\n\nrequire example.dev/old v1.2.3\n")
	write(t, w.dir, "main.go", "package main\n\nimport \"example.dev/old\"\n\nfunc main() { println(old.Greet()) }\n")
	write(t, w.dir, "chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 0.0.0\n")
	write(t, w.dir, "chart/values.yaml", "image: {}\n")
	write(t, w.dir, "chart/templates/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}\"}\ndata: {image: \"{{ .Values.image.repository }}\"}\n")
	w.rules(t, "  grype: {}\n")
	for _, args := range [][]string{{"go", "mod", "tidy"}, {"git", "init", "-q"}, {"git", "add", "."}, {"git", "commit", "-qm", "a"}} {
		command := exec.CommandContext(t.Context(), args[0], args[1:]...)
		command.Dir, command.Env = w.dir, w.environ(nil)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
}

// rules writes sluice.yaml with what stands under scan:.
func (w *world) rules(t *testing.T, rules string) {
	t.Helper()
	write(t, w.dir, "sluice.yaml", `apiVersion: sluice.dev/v1alpha1
kind: Project
name: shop
registry: `+w.registry.Host+`/shop
scan:
`+rules+`services:
  shop:
    images:
      web: {ko: ., base: "`+w.registry.Host+`/base:1", platforms: [linux/amd64]}
    chart: chart
    imageValues: {web: image}
environments:
  dev: {cluster: {context: none}, namespace: shop, strategy: {direct: {}}}
`)
}

func (w *world) environ(more map[string]string) []string {
	env := maps.Clone(w.env)
	maps.Copy(env, more)
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	return list
}

// ran is what a command did.
type ran struct {
	code           int
	stdout, stderr string
}

// sluice runs the command line in the project's folder.
func (w *world) sluice(t *testing.T, env map[string]string, args ...string) ran {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), self, args...)
	command.Dir, command.Env = w.dir, w.environ(env)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	got := ran{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	t.Logf("sluice %s: exit code %d\n%s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	return got
}

// database writes a scanner's database by the program for it, and returns its folder.
func (w *world) database(t *testing.T, program string, built time.Time) string {
	t.Helper()
	dir := t.TempDir()
	doc, err := json.Marshal(map[string]any{"Built": built.UTC().Truncate(time.Second), "Vulnerabilities": known()})
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(w.programs, program), dir)
	command.Stdin = bytes.NewReader(doc)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return dir
}

// wants checks how a command ended and what it said.
func (r ran) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			t.Errorf("it does not say %q", text)
		}
	}
}
