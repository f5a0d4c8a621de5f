package ko_test

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/ko"
	"github.com/sluice-dev/sluice/internal/fault"
)

func request(image v1alpha1.Image) build.Request {
	return build.Request{Dir: "testdata/hello", Service: "hello", Name: "greeter", Image: image, Version: "1.0.0"}
}

func entryOf(t *testing.T, l build.Image) (v1.ImageIndex, v1.Descriptor) {
	t.Helper()
	index, err := layout.ImageIndexFromPath(l.Layout)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest.String() != l.Digest {
		t.Fatalf("the layout holds %v, but %s is said", manifest.Manifests, l.Digest)
	}
	return index, manifest.Manifests[0]
}

func imageOf(t *testing.T, l build.Image) v1.Image {
	t.Helper()
	index, entry := entryOf(t, l)
	image, err := index.Image(entry.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Fatal(err)
	}
	return image
}

// files are the files of an image with their contents, and its folders.
func files(t *testing.T, image v1.Image) map[string]tarFile {
	t.Helper()
	stream := mutate.Extract(image)
	defer stream.Close()
	found := map[string]tarFile{}
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 {
			t.Errorf("%s dates from %s", h.Name, h.ModTime)
		}
		found[strings.TrimSuffix(h.Name, "/")] = tarFile{data: data, mode: h.Mode, owner: h.Uid}
	}
}

type tarFile struct {
	data  []byte
	mode  int64
	owner int
}

func TestBuildMakesAnImageThatRunsWithoutRoot(t *testing.T) {
	l, err := ko.New(ko.Options{}).Build(t.Context(), request(v1alpha1.Image{Ko: "./cmd/greet"}), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	image := imageOf(t, l)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		OS, Architecture, User string
		Entrypoint             []string
		Created                bool
	}
	want := seen{"linux", runtime.GOARCH, "65532:65532", []string{"/ko-app/greeter"}, false}
	got := seen{config.OS, config.Architecture, config.Config.User, config.Config.Entrypoint, !config.Created.IsZero()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the configuration differs (-want +got):\n%s", diff)
	}
	if !slices.Contains(config.Config.Env, "KO_DATA_PATH=/var/run/ko") {
		t.Errorf("the environment is %v", config.Config.Env)
	}
	found := files(t, image)
	if got := string(found["var/run/ko/sub/note.txt"].data); got != "Deeply nested.\n" {
		t.Errorf("kodata holds %q", got)
	}
	if tmp := found["tmp"]; tmp.mode != 0o1777 {
		t.Errorf("/tmp has mode %o", tmp.mode)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, found["ko-app/greeter"].data, 0o755); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "linux" {
		t.Skip("the image's program runs on Linux only")
	}
	said, err := exec.CommandContext(t.Context(), program).CombinedOutput()
	if err != nil || string(said) != "hello from the image\n" {
		t.Errorf("the program says %q, %v", said, err)
	}
}

func TestBuildGivesTheSameDigestElsewhere(t *testing.T) {
	b := ko.New(ko.Options{})
	first, err := b.Build(t.Context(), request(v1alpha1.Image{Ko: "./cmd/greet"}), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "another", "folder")
	if err := os.CopyFS(elsewhere, os.DirFS("testdata/hello")); err != nil {
		t.Fatal(err)
	}
	again := request(v1alpha1.Image{Ko: "cmd/greet"})
	again.Dir, again.Version, again.Commit = elsewhere, "2.0.0", "0123456789"
	second, err := b.Build(t.Context(), again, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if first.Digest != second.Digest {
		t.Errorf("the same sources gave %s here and %s elsewhere", first.Digest, second.Digest)
	}
	if err := os.WriteFile(filepath.Join(elsewhere, "lib", "lib.go"), []byte("package lib\n\nconst Greeting = \"changed\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	third, err := b.Build(t.Context(), again, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if third.Digest == second.Digest {
		t.Error("changed sources gave the same digest")
	}
}

func TestBuildForSeveralPlatformsMakesAnIndex(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the runtime for another architecture")
	}
	image := v1alpha1.Image{Ko: "./cmd/greet", Platforms: []string{"linux/amd64", "linux/arm64"}}
	l, err := ko.New(ko.Options{}).Build(t.Context(), request(image), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	outer, entry := entryOf(t, l)
	index, err := outer.ImageIndex(entry.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range manifest.Manifests {
		got = append(got, m.Platform.String())
	}
	if diff := cmp.Diff(image.Platforms, got); diff != "" {
		t.Errorf("platforms differ (-want +got):\n%s", diff)
	}
}

func TestBuildTellsWhatIsWrongWithTheSources(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		dir           string
		image         v1alpha1.Image
		message, hint string
	}{
		"no folder":          {"", v1alpha1.Image{Ko: "./gone"}, "no folder", "under ko:"},
		"a file":             {"", v1alpha1.Image{Ko: "./cmd/greet/main.go"}, "is a file", "folder of the main package"},
		"no main package":    {"", v1alpha1.Image{Ko: "./lib"}, "package lib, no main package", "package main"},
		"no Go files":        {"", v1alpha1.Image{Ko: "./empty"}, "empty", "package main"},
		"does not compile":   {"", v1alpha1.Image{Ko: "./broken"}, "main.go:4:15: undefined", ""},
		"no module":          {outside, v1alpha1.Image{Ko: "."}, "go.mod", "go mod init"},
		"no platform":        {"", v1alpha1.Image{Ko: "./cmd/greet", Platforms: []string{"linux"}}, `"linux" is no platform`, "linux/amd64"},
		"unknown platform":   {"", v1alpha1.Image{Ko: "./cmd/greet", Platforms: []string{"linux/toaster"}}, "linux/toaster", ""},
		"platform twice":     {"", v1alpha1.Image{Ko: "./cmd/greet", Platforms: []string{"linux/arm64", "linux/arm64"}}, "twice", ""},
		"base, no registry":  {"", v1alpha1.Image{Ko: "./cmd/greet", Base: "example.test/base@sha256:0"}, "example.test/base", ""},
		"a lib, other spell": {"", v1alpha1.Image{Ko: "lib"}, "package lib", "package main"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := request(tt.image)
			if tt.dir != "" {
				req.Dir = tt.dir
			}
			_, err := ko.New(ko.Options{}).Build(t.Context(), req, t.TempDir())
			switch {
			case !fault.Is(err, fault.Usage):
				t.Fatalf("got %v of kind %v, want a usage error", err, fault.KindOf(err))
			case !strings.Contains(err.Error(), tt.message):
				t.Errorf("%q does not say %q", err, tt.message)
			case !strings.Contains(fault.HintOf(err), tt.hint):
				t.Errorf("the hint %q does not say %q", fault.HintOf(err), tt.hint)
			}
		})
	}
}

func TestBuildWithoutGoSaysSo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := ko.New(ko.Options{}).Build(t.Context(), request(v1alpha1.Image{Ko: "./cmd/greet"}), t.TempDir())
	if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "go.dev") {
		t.Errorf("got %v, hint %q", err, fault.HintOf(err))
	}
}

func TestAnInterruptedBuildSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ko.New(ko.Options{}).Build(ctx, request(v1alpha1.Image{Ko: "./cmd/greet"}), t.TempDir())
	if !fault.Is(err, fault.Interrupted) {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
}

func TestAnUnreachableBaseKeepsItsKind(t *testing.T) {
	down := fault.New(fault.Unreachable, "fetch", "no answer").WithHint("wait")
	b := ko.New(ko.Options{Base: func(context.Context, string) (*remote.Descriptor, error) { return nil, down }})
	_, err := b.Build(t.Context(), request(v1alpha1.Image{Ko: "./cmd/greet", Base: "example.test/base:1"}), t.TempDir())
	if !fault.Is(err, fault.Unreachable) || fault.HintOf(err) != "wait" {
		t.Errorf("got %v of kind %v, hint %q", err, fault.KindOf(err), fault.HintOf(err))
	}
}
