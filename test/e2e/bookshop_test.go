//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/sluice-dev/sluice/test/toolchain"
)

// bookshop is a copy of the example, with a registry of its own that holds an image of this machine's Go.
type bookshop struct {
	bin, dir, registry, buildkit string
}

func newBookshop(t *testing.T) *bookshop {
	t.Helper()
	t.Parallel()
	bin, err := filepath.Abs("../../bin/sluice")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	b := &bookshop{bin: bin, dir: t.TempDir(), registry: strings.TrimPrefix(server.URL, "http://"), buildkit: os.Getenv("BUILDKIT_HOST")}
	if b.buildkit == "" {
		out, err := exec.CommandContext(t.Context(), bin, "local", "status", "-o", "json").Output()
		if err != nil {
			t.Fatal(err)
		}
		var status struct{ Buildkit string }
		if err := json.Unmarshal(out, &status); err != nil || status.Buildkit == "" {
			t.Fatal("the local cluster has no BuildKit: start it with `bin/sluice local up --with buildkit`")
		}
		b.buildkit = status.Buildkit
	}
	if err := os.CopyFS(b.dir, os.DirFS("../../examples/bookshop")); err != nil {
		t.Fatal(err)
	}
	if err := toolchain.Push(t.Context(), b.registry+"/golang:1.26"); err != nil {
		t.Fatal(err)
	}
	b.replace(t, "sluice.yaml", "# args: {GO_IMAGE: registry.example.com/golang:1.26}", "args: {GO_IMAGE: "+b.registry+"/golang:1.26}")
	return b
}

func (b *bookshop) replace(t *testing.T, file, old, text string) {
	t.Helper()
	path := filepath.Join(b.dir, file)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte(old)) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte(old), []byte(text)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// built is the result of `sluice build -o json`.
type built struct {
	Images, Unchanged map[string]string
	Tests             map[string]struct{ Passed, Skipped int }
	Reason            string
	Message           string
}

func (b *bookshop) build(t *testing.T, service, version string) (code int, result built, log string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), b.bin, "build", service, "--version", version, "-o", "json")
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "REGISTRY="+b.registry, "SLUICE_BUILDKIT="+b.buildkit)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run()
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		t.Fatalf("%v: %s\n%s", err, stdout.String(), stderr.String())
	}
	return cmd.ProcessState.ExitCode(), result, stderr.String()
}

// pushed says whether the registry holds a service's image under a version.
func (b *bookshop) pushed(t *testing.T, service, version string) bool {
	t.Helper()
	ref, err := name.ParseReference(b.registry + "/bookshop/" + service + "/web:" + version)
	if err != nil {
		t.Fatal(err)
	}
	_, err = remote.Head(ref, remote.WithContext(t.Context()))
	return err == nil
}

// TestBookshop builds the example's three services, and then breaks a test and the build: the two end differently, and push nothing.
func TestBookshop(t *testing.T) {
	b := newBookshop(t)
	for _, service := range []string{"catalog", "basket", "receipts"} {
		code, result, log := b.build(t, service, "1.0.0")
		if code != 0 {
			t.Fatalf("%s: exit %d\n%s\n%s", service, code, result.Message, log)
		}
		ref, err := name.NewDigest(result.Images["web"])
		if err != nil {
			t.Fatal(err)
		}
		image, err := remote.Image(ref, remote.WithContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(image); err != nil {
			t.Errorf("%s: %v", service, err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.Config.User != "65532:65532" {
			t.Errorf("%s runs as %q", service, config.Config.User)
		}
		if got := result.Tests["web"].Passed; (service == "receipts") != (got == 3) {
			t.Errorf("%s: %d tests passed", service, got)
		}
	}
	results := filepath.Join(b.dir, ".sluice", "tests", "receipts", "web", "junit.xml")
	if text, err := os.ReadFile(results); err != nil || !strings.Contains(string(text), "TestReceiptNamesPriceAndTax") {
		t.Errorf("the results are %q, %v", text, err)
	}

	t.Run("nothing is built twice", func(t *testing.T) {
		// It lies in the context of one of the three, and none of them reads it.
		b.replace(t, "README.md", "# The bookshop", "# A bookshop")
		for _, service := range []string{"catalog", "basket", "receipts"} {
			code, result, log := b.build(t, service, "1.0.1")
			if code != 0 || result.Unchanged["web"] != "1.0.0" || !b.pushed(t, service, "1.0.1") {
				t.Errorf("%s: exit %d, unchanged %v\n%s", service, code, result.Unchanged, log)
			}
			if got := result.Tests["web"].Passed; (service == "receipts") != (got == 3) {
				t.Errorf("%s, found: %d tests passed", service, got)
			}
		}
	})
	t.Run("a failing test", func(t *testing.T) {
		b.replace(t, "money/money.go", "+50)/100", "+49)/100") // Both the library and the receipt have a test that sees it.
		defer b.replace(t, "money/money.go", "+49)/100", "+50)/100")
		code, result, _ := b.build(t, "receipts", "1.1.0")
		if code != 3 || !strings.Contains(result.Message, "2 of 3 tests failed") || !strings.Contains(result.Message, "TestWithTaxRoundsHalfUp") ||
			!strings.Contains(result.Message, "with 7 % is") {
			t.Errorf("exit %d: %s", code, result.Message)
		}
		if text, err := os.ReadFile(results); err != nil || !strings.Contains(string(text), "<failure") {
			t.Errorf("the results of failing tests are not kept: %q, %v", text, err)
		}
		if b.pushed(t, "receipts", "1.1.0") {
			t.Error("an image was pushed whose tests fail")
		}
	})
	t.Run("a failing build", func(t *testing.T) {
		b.replace(t, "receipts/main.go", "serving.Main(routes)", "serving.Main(routs)")
		defer b.replace(t, "receipts/main.go", "serving.Main(routs)", "serving.Main(routes)")
		code, result, _ := b.build(t, "receipts", "1.2.0")
		if code != 2 || !strings.Contains(result.Message, "receipts/Dockerfile:16") || !strings.HasSuffix(strings.TrimSpace(result.Message), "undefined: routs") {
			t.Errorf("exit %d: %s", code, result.Message)
		}
		if b.pushed(t, "receipts", "1.2.0") {
			t.Error("an image was pushed that does not build")
		}
	})
}
