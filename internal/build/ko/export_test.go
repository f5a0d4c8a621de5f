package ko

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// AssembledForTest assembles an image of a program that never changes, and returns its uncompressed layers and its entry point as one
// text: how a library compresses is not what is looked at.
func AssembledForTest(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "binary")
	if err := os.WriteFile(binary, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	under, err := bare()
	if err != nil {
		t.Fatal(err)
	}
	image, err := assemble(under, v1.Platform{OS: "linux", Architecture: "amd64"}, "web", binary, dir)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return digestOf([]entry{{name: "config", data: []byte(strings.TrimSpace(string(config)))}})
}
