package cyclonedx_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/sbom"
	"github.com/sluice-dev/sluice/internal/sbom/cyclonedx"
)

const (
	status = `Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u8
Description: C library
 second line: with a colon

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
`
	bookworm  = "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\nVERSION_ID=\"12\"\n"
	tzdata    = "Package: tzdata\nVersion: 2024a-0\nArchitecture: all\n"
	installed = "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n\nP:libcrypto3\nV:3.3.2-r0\nA:x86_64\no:openssl\n\n"
)

// file of a layer; one without content is a folder or a mark of absence.
type file struct {
	name, content string
}

func layerOf(t testing.TB, files ...file) v1.Layer {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return layer
}

func imageOf(t testing.TB, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: rootfs(t, image)})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func rootfs(t testing.TB, image v1.Image) v1.RootFS {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}

func requestFor(t testing.TB, content any) sbom.Request {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	switch c := content.(type) {
	case v1.Image:
		err = path.AppendImage(c)
	case v1.ImageIndex:
		err = path.AppendIndex(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sbom.Request{Layout: dir, Reference: "localhost:5000/shop/cart/web@sha256:" + strings.Repeat("1", 64), Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// document is as much of the format as the tests look at.
type document struct {
	SerialNumber string
	Metadata     struct {
		Timestamp  string
		Component  struct{ Properties []property }
		Properties []property
	}
	Components []struct {
		Purl       string
		Properties []property
	}
	Compositions []struct{ Aggregate string }
}

type property struct{ Name, Value string }

func read(t testing.TB, d sbom.Document) document {
	t.Helper()
	var doc document
	if err := json.Unmarshal(d.Data, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Components) != d.Components {
		t.Errorf("it says %d components and lists %d", d.Components, len(doc.Components))
	}
	return doc
}

func (d document) packages() []string {
	names := []string{}
	for _, c := range d.Components {
		names = append(names, c.Purl)
	}
	return names
}

func properties(list []property) map[string]string {
	m := map[string]string{}
	for _, p := range list {
		m[p.Name] = p.Value
	}
	return m
}

func makeOne(t testing.TB, req sbom.Request) sbom.Document {
	t.Helper()
	documents, err := cyclonedx.New(cyclonedx.Options{}).Make(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) != 1 {
		t.Fatalf("%d documents for one image", len(documents))
	}
	return documents[0]
}

func TestPackages(t *testing.T) {
	const (
		libc = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u8?arch=amd64&distro=debian-12&upstream=glibc"
		tz   = "pkg:deb/debian/tzdata@2024a-0?arch=all&distro=debian-12"
	)
	debian := []file{{"etc/os-release", bookworm}, {"./var/lib/dpkg/status", status}}
	for name, c := range map[string]struct {
		layers [][]file
		want   []string
	}{
		"nothing":                {[][]file{{{"readme", "hello"}}}, []string{}},
		"Debian":                 {[][]file{debian}, []string{libc}},
		"distroless":             {[][]file{{{"usr/lib/os-release", bookworm}, {"var/lib/dpkg/status.d/tzdata", tzdata}, {"var/lib/dpkg/status.d/tzdata.md5sums", "abc  x\n"}}}, []string{tz}},
		"Alpine":                 {[][]file{{{"lib/apk/db/installed", installed}, {"etc/os-release", "ID=alpine\nVERSION_ID=3.20.1\n"}}}, []string{"pkg:apk/alpine/libcrypto3@3.3.2-r0?arch=x86_64&distro=alpine-3.20.1&upstream=openssl", "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1"}},
		"a later database wins":  {[][]file{debian, {{"var/lib/dpkg/status", tzdata}}}, []string{tz}},
		"a removed database":     {[][]file{debian, {{"var/lib/dpkg/.wh.status", ""}}}, []string{}},
		"a removed folder":       {[][]file{debian, {{"var/lib/.wh.dpkg", ""}}}, []string{}},
		"an emptied folder":      {[][]file{debian, {{"var/lib/dpkg/.wh..wh..opq", ""}}}, []string{}},
		"a refilled folder":      {[][]file{debian, {{"var/lib/dpkg/status", tzdata}, {"var/lib/dpkg/.wh..wh..opq", ""}}}, []string{tz}},
		"a folder become a file": {[][]file{debian, {{"var/lib/dpkg", "x"}}}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			var layers []v1.Layer
			for _, files := range c.layers {
				layers = append(layers, layerOf(t, files...))
			}
			doc := read(t, makeOne(t, requestFor(t, imageOf(t, layers...))))
			if diff := cmp.Diff(c.want, doc.packages()); diff != "" {
				t.Errorf("packages differ (-want +got):\n%s", diff)
			}
			if len(doc.Compositions) != 1 || doc.Compositions[0].Aggregate != "incomplete" {
				t.Errorf("it claims to be complete: %v", doc.Compositions)
			}
		})
	}
}

// TestStrippedProgram lists what a real program was linked of, and where it lies.
func TestStrippedProgram(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.dev/tool\n\ngo 1.26\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", "tool", ".")
	build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(dir, "tool"))
	if err != nil {
		t.Fatal(err)
	}
	image := imageOf(t, layerOf(t, file{"usr/bin/tool", string(program)}, file{"usr/bin/other", "\x7fELF and no more"}), layerOf(t, file{"app/copy", string(program)}))
	doc := read(t, makeOne(t, requestFor(t, image)))
	got := doc.packages()
	if len(got) != 2 || got[0] != "pkg:golang/example.dev/tool" || !strings.HasPrefix(got[1], "pkg:golang/stdlib@1.") {
		t.Fatalf("packages are %v", got)
	}
	if diff := cmp.Diff([]property{{"sluice:location", "/app/copy"}, {"sluice:location", "/usr/bin/tool"}}, doc.Components[0].Properties); diff != "" {
		t.Errorf("places differ (-want +got):\n%s", diff)
	}
	if got := properties(doc.Metadata.Properties)["sluice:cataloguer:go-buildinfo"]; got != "modules of 2 programs" {
		t.Errorf("the document says %q", got)
	}
}

func TestTheSameImageGivesTheSameBytes(t *testing.T) {
	content := imageOf(t, layerOf(t, file{"etc/os-release", bookworm}, file{"var/lib/dpkg/status", status}, file{"lib/apk/db/installed", installed}))
	first, second := makeOne(t, requestFor(t, content)), makeOne(t, requestFor(t, content))
	if !bytes.Equal(first.Data, second.Data) {
		t.Error(cmp.Diff(string(first.Data), string(second.Data)))
	}
	other := makeOne(t, requestFor(t, imageOf(t, layerOf(t, file{"a", "b"}))))
	doc := read(t, first)
	if doc.SerialNumber == "" || doc.SerialNumber == read(t, other).SerialNumber {
		t.Errorf("two images have the serial number %q", doc.SerialNumber)
	}
	if doc.Metadata.Timestamp != "2026-01-02T03:04:05Z" {
		t.Errorf("its time is %s, not that of the commit", doc.Metadata.Timestamp)
	}
}

func TestBase(t *testing.T) {
	plain := imageOf(t, layerOf(t, file{"a", "b"}))
	annotated := mutate.Annotations(plain, map[string]string{"org.opencontainers.image.base.name": "debian:12", "org.opencontainers.image.base.digest": "sha256:abc"}).(v1.Image)
	for name, c := range map[string]struct {
		image v1.Image
		base  string
		want  map[string]string
	}{
		"none":            {plain, "", map[string]string{"sluice:platform": "linux/amd64"}},
		"pinned":          {plain, "debian@sha256:def", map[string]string{"sluice:platform": "linux/amd64", "sluice:base:name": "debian@sha256:def", "sluice:base:digest": "sha256:def"}},
		"by tag":          {plain, "debian:12", map[string]string{"sluice:platform": "linux/amd64", "sluice:base:name": "debian:12", "sluice:base:digest": "not recorded by the builder"}},
		"said by builder": {annotated, "", map[string]string{"sluice:platform": "linux/amd64", "sluice:base:name": "debian:12", "sluice:base:digest": "sha256:abc"}},
	} {
		t.Run(name, func(t *testing.T) {
			req := requestFor(t, c.image)
			req.Base = c.base
			if diff := cmp.Diff(c.want, properties(read(t, makeOne(t, req)).Metadata.Component.Properties)); diff != "" {
				t.Errorf("it differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOneDocumentForEachPlatform(t *testing.T) {
	first, second := imageOf(t, layerOf(t, file{"a", "1"})), imageOf(t, layerOf(t, file{"a", "2"}))
	signature := imageOf(t, layerOf(t, file{"x", "y"}))
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: first}, mutate.IndexAddendum{Add: second},
		mutate.IndexAddendum{Add: signature, Descriptor: v1.Descriptor{Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"}}})
	documents, err := cyclonedx.New(cyclonedx.Options{}).Make(t.Context(), requestFor(t, index))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, d := range documents {
		got[d.Digest] = true
	}
	want := map[string]bool{}
	for _, image := range []v1.Image{first, second} {
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		want[digest.String()] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("documents are about %v, want %v", slices.Collect(maps.Keys(got)), slices.Collect(maps.Keys(want)))
	}
}

// TestWhatCannotBeRead: a list that is none does not stop a build, and is not passed over in silence.
func TestWhatCannotBeRead(t *testing.T) {
	doc := read(t, makeOne(t, requestFor(t, imageOf(t, layerOf(t, file{"var/lib/dpkg/status", "\x00\x01binary"}, file{"lib/apk/db/installed", "P:musl\n\n"})))))
	said := properties(doc.Metadata.Properties)
	for _, name := range []string{"sluice:unread:/var/lib/dpkg/status", "sluice:unread:/lib/apk/db/installed"} {
		if !strings.Contains(said[name], "form") {
			t.Errorf("%s says %q", name, said[name])
		}
	}
}

func TestErrors(t *testing.T) {
	req := requestFor(t, imageOf(t, layerOf(t, file{"a", "b"})))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cyclonedx.New(cyclonedx.Options{}).Make(ctx, req); !fault.Is(err, fault.Interrupted) {
		t.Errorf("interrupted, it gave %v", err)
	}
	for name, broken := range map[string]sbom.Request{
		"no layout":       {Layout: t.TempDir(), Reference: req.Reference},
		"only a registry": {Reference: req.Reference},
	} {
		if _, err := cyclonedx.New(cyclonedx.Options{}).Make(t.Context(), broken); !fault.Is(err, fault.Usage) {
			t.Errorf("%s: it gave %v", name, err)
		}
	}
	layers, err := filepath.Glob(filepath.Join(req.Layout, "blobs/sha256/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range layers {
		if data, err := os.ReadFile(path); err == nil && bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			if err := os.WriteFile(path, data[:len(data)/2], 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := cyclonedx.New(cyclonedx.Options{}).Make(t.Context(), req); !fault.Is(err, fault.Usage) {
		t.Errorf("with a cut off layer it gave %v", err)
	}
}

func FuzzDatabases(f *testing.F) {
	f.Add(status)
	f.Add(installed)
	f.Add(tzdata)
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"var/lib/dpkg/status", "lib/apk/db/installed", "etc/os-release", "bin/x"} {
			makeOne(t, requestFor(t, imageOf(t, layerOf(t, file{name, text}))))
		}
	})
}
