//go:build e2e

package buildkit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/buildkit"
)

// world is a BuildKit, a registry with the base image, and a project's folder.
type world struct {
	address, registry, base, dir string
	builder                      *buildkit.Builder
}

// address finds the BuildKit: $BUILDKIT_HOST, else the local cluster's.
func address(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("BUILDKIT_HOST"); given != "" {
		return given
	}
	out, err := exec.CommandContext(t.Context(), "../../../bin/sluice-local", "status", "-o", "json").Output()
	if err != nil {
		t.Fatalf("ask the local cluster: %v", err)
	}
	var status struct{ Buildkit string }
	if err := json.Unmarshal(out, &status); err != nil || status.Buildkit == "" {
		t.Fatal("the local cluster has no BuildKit: start it with `bin/sluice local up --with buildkit`")
	}
	return status.Buildkit
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{address: address(t), dir: t.TempDir()}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	w.registry = strings.TrimPrefix(server.URL, "http://")
	w.base = w.registry + "/base:1"
	w.pushBase(t)
	w.builder = buildkit.New(buildkit.Options{Address: w.address})
	return w
}

// pushBase pushes an image that holds the program tool alone.
func (w *world) pushBase(t *testing.T) {
	t.Helper()
	w.pushImage(t, "/")
}

// pushImage pushes it with another folder to start in: another image under the same tag.
func (w *world) pushImage(t *testing.T, folder string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "tool")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./testdata/tool")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	files := tar.NewWriter(&archive)
	if err := files.WriteHeader(&tar.Header{Name: "tool", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Write(program); err != nil {
		t.Fatal(err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), layer)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture, config.Config.WorkingDir = "linux", "amd64", folder
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(w.base)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func (w *world) put(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "BASE", w.base)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// output keeps what a builder says.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) add(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.WriteString(line + "\n")
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (w *world) request(image v1alpha1.Image) (build.Request, *output) {
	said := &output{}
	if image.Dockerfile == "" {
		image.Dockerfile = "app/Dockerfile"
	}
	return build.Request{
		Dir: w.dir, Service: "shop", Name: "app", Image: image, Version: "1.0.0", Time: time.Unix(1_700_000_000, 0), Log: said.add,
	}, said
}

// build builds an image and checks the layout that comes out.
func (w *world) build(t *testing.T, image v1alpha1.Image) (build.Image, v1.ImageIndex, string) {
	t.Helper()
	req, said := w.request(image)
	built, err := w.builder.Build(t.Context(), req, t.TempDir())
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	index, err := layout.ImageIndexFromPath(built.Layout)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	return built, index, said.String()
}

// image is the only image of a layout.
func image(t *testing.T, index v1.ImageIndex) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	found, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// files are the files of an image's layers, by name, and everything that the layers hold as one text.
func files(t *testing.T, from v1.Image) (byName map[string]string, times map[string]time.Time, all string) {
	t.Helper()
	byName, times = map[string]string{}, map[string]time.Time{}
	layers, err := from.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		archive := tar.NewReader(content)
		for {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			byName[header.Name], times[header.Name] = string(data), header.ModTime
			all += header.Name + string(data)
		}
	}
	return byName, times, all
}

func cancelSoon(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), 2*time.Minute)
}
