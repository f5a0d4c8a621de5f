package oci_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/test/distribution"
)

// platforms writes a layout with an index of images for as many platforms, and returns its folder and what the images' digests are.
func platforms(t *testing.T, names ...string) (dir string, digests []string) {
	t.Helper()
	var inner v1.ImageIndex = empty.Index
	for _, name := range names {
		image, err := random.Image(1000, 3)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			t.Fatal(err)
		}
		inner = mutate.AppendManifests(inner, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: platform}})
	}
	dir = t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendIndex(inner); err != nil {
		t.Fatal(err)
	}
	return dir, digests
}

func seal(text string) registry.Artifact {
	return registry.Artifact{Type: "application/vnd.example.seal", Layers: []registry.Blob{{MediaType: "text/plain", Data: []byte(text)}}}
}

// sealedIndex pushes an index for two platforms, with a seal on it and one on each of its images.
func sealedIndex(t *testing.T, r *oci.Registry, repository string) string {
	t.Helper()
	dir, children := platforms(t, "linux/amd64", "linux/arm64")
	ref, err := r.PushLayout(t.Context(), dir, repository, "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{ref, repository + "@" + children[0], repository + "@" + children[1]} {
		if _, err := r.Attach(t.Context(), seal("of "+subject), subject); err != nil {
			t.Fatal(err)
		}
	}
	return ref
}

func TestAnIndexIsCopiedWithEverything(t *testing.T) {
	for _, api := range []bool{true, false} {
		for _, one := range []bool{true, false} {
			t.Run(fmt.Sprintf("referrers API %v, one registry %v", api, one), func(t *testing.T) {
				source := start(t, distribution.Options{Referrers: api})
				target := source
				if !one {
					target = start(t, distribution.Options{Referrers: !api})
				}
				r := oci.New(fast())
				from := sealedIndex(t, r, source.Host+"/dev/image")
				want, err := r.Verify(t.Context(), from)
				if err != nil {
					t.Fatal(err)
				}
				received := target.Received.Load()
				sent := source.Sent.Load()
				copied, err := r.Copy(t.Context(), from, target.Host+"/prod/image", "1.0.0")
				if err != nil {
					t.Fatal(err)
				}
				moved := target.Received.Load() - received
				if copied.Moved != moved {
					t.Errorf("Copy says that %d bytes were moved, the registry counted %d", copied.Moved, moved)
				}
				if one && (moved != 0 || source.Sent.Load() != sent || source.Mounts.Load() == 0) {
					t.Errorf("%d bytes were moved and %d read, %d blobs mounted within one registry", moved, source.Sent.Load()-sent, source.Mounts.Load())
				}
				if !one && moved < want.Bytes {
					t.Errorf("%d bytes were moved of %d", moved, want.Bytes)
				}
				got, err := r.Verify(t.Context(), copied.Ref)
				if err != nil || got != want {
					t.Errorf("the copy holds %+v, %v; want %+v", got, err, want)
				}
				wantSeals(t, r, copied.Ref, from)
			})
		}
	}
}

// wantSeals checks that a copied index and its images have one seal each.
func wantSeals(t *testing.T, r *oci.Registry, copied, from string) {
	t.Helper()
	lines, err := r.Compare(t.Context(), from, copied)
	if err != nil || len(lines) != 0 {
		t.Errorf("the copy differs: %q, %v", lines, err)
	}
	found, err := r.Referrers(t.Context(), copied, seal("").Type)
	if err != nil || len(found) != 1 {
		t.Errorf("the copy's seals are %v, %v", found, err)
	}
}

func TestCopyingAgainMovesNothing(t *testing.T) {
	source, target := start(t, distribution.Options{Referrers: true}), start(t, distribution.Options{Referrers: true})
	r := oci.New(fast())
	from := sealedIndex(t, r, source.Host+"/image")
	for i, wantMoved := range []bool{true, false} {
		copied, err := r.Copy(t.Context(), from, target.Host+"/image", "1.0.0")
		if err != nil || (copied.Moved > 0) != wantMoved {
			t.Errorf("copy %d moved %d bytes, %v", i+1, copied.Moved, err)
		}
	}
}

func TestACopyIsTaggedLast(t *testing.T) {
	var broken atomic.Bool
	source := start(t, distribution.Options{})
	target := start(t, distribution.Options{Fault: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if broken.Load() && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/") && strings.Contains(r.URL.Path, "sha256-") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	r := oci.New(fast())
	from := sealedIndex(t, r, source.Host+"/image")
	broken.Store(true)
	if _, err := r.Copy(t.Context(), from, target.Host+"/image", "1.0.0"); !fault.Is(err, fault.Unreachable) {
		t.Fatalf("Copy gave %v", err)
	}
	if _, err := r.Resolve(t.Context(), target.Host+"/image:1.0.0"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the tag of a copy that is not complete gave %v", err)
	}
	broken.Store(false)
	copied, err := r.Copy(t.Context(), from, target.Host+"/image", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	wantSeals(t, r, copied.Ref, from)
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	server := start(t, distribution.Options{})
	r := oci.New(fast())
	dir, _ := platforms(t, "linux/amd64", "linux/arm64")
	ref, err := r.PushLayout(t.Context(), dir, server.Host+"/image", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(500, 1)
	if err != nil {
		t.Fatal(err)
	}
	path, err := layout.Write(t.TempDir(), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	single, err := r.PushLayout(t.Context(), string(path), server.Host+"/image", "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	server.Lose("image", digest.String())
	if err := r.Complete(t.Context(), ref); err != nil {
		t.Errorf("the other image: %v", err)
	}
	_, verified := r.Verify(t.Context(), single)
	for name, err := range map[string]error{"Complete": r.Complete(t.Context(), single), "Verify": verified} {
		if !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), digest.String()) || fault.HintOf(err) == "" {
			t.Errorf("%s gave %v of kind %v, hint %q", name, err, fault.KindOf(err), fault.HintOf(err))
		}
	}
}

func TestDamagedBlobsAreFound(t *testing.T) {
	var damage atomic.Bool
	server := start(t, distribution.Options{Fault: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if damage.Load() && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				w.Header().Set("Content-Length", "5")
				_, _ = w.Write([]byte("wrong"))
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	r := oci.New(fast())
	ref := sealedIndex(t, r, server.Host+"/image")
	damage.Store(true)
	if _, err := r.Verify(t.Context(), ref); !fault.Is(err, fault.Fatal) || !strings.Contains(err.Error(), "blob sha256:") {
		t.Errorf("Verify gave %v of kind %v", err, fault.KindOf(err))
	}
}

func TestDifferencesAreNamed(t *testing.T) {
	server := start(t, distribution.Options{})
	r := oci.New(fast())
	base, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := random.Layer(100, "application/vnd.oci.image.layer.v1.tar")
	if err != nil {
		t.Fatal(err)
	}
	longer, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Comment: "program"}})
	if err != nil {
		t.Fatal(err)
	}
	changed, err := mutate.Config(base, v1.Config{User: "65532"})
	if err != nil {
		t.Fatal(err)
	}
	var refs []string
	for i, image := range []v1.Image{base, longer, changed} {
		path, err := layout.Write(t.TempDir(), empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := path.AppendImage(image); err != nil {
			t.Fatal(err)
		}
		ref, err := r.PushLayout(t.Context(), string(path), server.Host+"/image", fmt.Sprintf("%d.0.0", i))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	for i, want := range []string{"one has 2 layers, the other 3", "configuration, config"} {
		lines, err := r.Compare(t.Context(), refs[0], refs[i+1])
		if err != nil || !strings.Contains(strings.Join(lines, "\n"), want) {
			t.Errorf("Compare gave %q, %v; want %q", lines, err, want)
		}
	}
}
