package ko_test

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/build/ko"
	"github.com/sluice-dev/sluice/internal/fault"
)

// baseImage is an image for an architecture with one layer of its own.
func baseImage(t *testing.T, architecture string, format types.MediaType) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, format), static.NewLayer([]byte("layer of "+architecture), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: architecture, RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}}},
		Config: v1.Config{Env: []string{"SSL_CERT_FILE=/certs", "KO_DATA_PATH=/elsewhere"}, Cmd: []string{"sh"}, User: "root", WorkingDir: "/root"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// bases serves a registry that holds the images, and returns its host and what fetches from it.
func bases(t *testing.T, images map[string]remote.Taggable) (string, *ko.Builder) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	for tag, image := range images {
		ref, err := name.NewTag(host + "/base:" + tag)
		if err != nil {
			t.Fatal(err)
		}
		switch i := image.(type) {
		case v1.ImageIndex:
			err = remote.WriteIndex(ref, i)
		case v1.Image:
			err = remote.Write(ref, i)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return host, ko.New(ko.Options{Base: func(ctx context.Context, reference string) (*remote.Descriptor, error) {
		ref, err := name.ParseReference(reference)
		if err != nil {
			return nil, err
		}
		return remote.Get(ref, remote.WithContext(ctx))
	}})
}

func TestBuildOnABase(t *testing.T) {
	own, other := runtime.GOARCH, "s390x"
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: baseImage(t, other, types.OCIManifestSchema1), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: other}}},
		mutate.IndexAddendum{Add: baseImage(t, own, types.OCIManifestSchema1), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: own}}})
	host, builder := bases(t, map[string]remote.Taggable{
		"single": baseImage(t, own, types.OCIManifestSchema1), "docker": baseImage(t, own, types.DockerManifestSchema2), "index": index,
	})
	want, err := static.NewLayer([]byte("layer of "+own), types.OCIUncompressedLayer).Digest()
	if err != nil {
		t.Fatal(err)
	}
	for tag, format := range map[string]types.MediaType{"single": types.OCILayer, "docker": types.DockerLayer, "index": types.OCILayer} {
		t.Run(tag, func(t *testing.T) {
			l, err := builder.Build(t.Context(), request(v1alpha1.Image{Ko: "./cmd/greet", Base: host + "/base:" + tag}), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			outer, entry := entryOf(t, l)
			image, err := outer.Image(entry.Digest)
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := image.Manifest()
			if err != nil {
				t.Fatal(err)
			}
			if len(manifest.Layers) != 3 || manifest.Layers[0].Digest != want || manifest.Layers[2].MediaType != format {
				t.Errorf("the layers are %v", manifest.Layers)
			}
			config, err := image.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			env := strings.Join(config.Config.Env, " ")
			if config.Config.User != "65532:65532" || config.Config.Cmd != nil || config.Architecture != own ||
				!strings.Contains(env, "SSL_CERT_FILE=/certs") || strings.Contains(env, "/elsewhere") {
				t.Errorf("the configuration is %+v for %s", config.Config, config.Architecture)
			}
		})
	}
}

func TestBuildRefusesABaseForAnotherPlatform(t *testing.T) {
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: baseImage(t, "s390x", types.OCIManifestSchema1), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}},
	})
	host, builder := bases(t, map[string]remote.Taggable{"single": baseImage(t, "s390x", types.OCIManifestSchema1), "index": index})
	for _, tag := range []string{"single", "index"} {
		_, err := builder.Build(t.Context(), request(v1alpha1.Image{Ko: "./cmd/greet", Base: host + "/base:" + tag}), t.TempDir())
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "linux/"+runtime.GOARCH) {
			t.Errorf("%s: got %v of kind %v", tag, err, fault.KindOf(err))
		}
	}
}
