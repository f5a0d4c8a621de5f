package seal_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/provenance"
	port "github.com/sluice-dev/sluice/internal/registry"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/sbom/cyclonedx"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
)

// platformImage is an image with a list of packages.
func platformImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	text := "Package: libc6\nStatus: install ok installed\nVersion: 2.36\nArchitecture: " + arch + "\n"
	if err := w.WriteHeader(&tar.Header{Name: "var/lib/dpkg/status", Mode: 0o644, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
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
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}

// TestRealParts seals an index of two platforms in a registry that speaks HTTP, with and without the referrers API.
func TestRealParts(t *testing.T) {
	for name, options := range map[string][]registry.Option{"with referrers": {registry.WithReferrersSupport(true)}, "without referrers": nil} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(registry.New(append(options, registry.Logger(log.New(io.Discard, "", 0)))...))
			t.Cleanup(server.Close)
			host := strings.TrimPrefix(server.URL, "http://")
			reg := oci.New(oci.Options{})

			dir := t.TempDir()
			path, err := layout.Write(dir, empty.Index)
			if err != nil {
				t.Fatal(err)
			}
			amd, arm := platformImage(t, "amd64"), platformImage(t, "arm64")
			index := mutate.AppendManifests(empty.Index,
				mutate.IndexAddendum{Add: amd, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
				mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}})
			if err := path.AppendIndex(index); err != nil {
				t.Fatal(err)
			}
			image, err := reg.PushLayout(t.Context(), dir, host+"/shop/cart/web", "1.0.0")
			if err != nil {
				t.Fatal(err)
			}
			thing := func(repository, text string) string {
				ref, err := reg.Push(t.Context(), port.Artifact{Type: "application/vnd.example", Config: port.Blob{MediaType: "application/vnd.example", Data: []byte(text)}}, host+repository, "1.0.0")
				if err != nil {
					t.Fatal(err)
				}
				return ref
			}
			rel := &v1alpha1.Release{
				Service: "cart", Version: "1.0.0", Images: map[string]string{"web": image}, Chart: thing("/shop/cart/charts/cart", "chart"),
				Spec: v1alpha1.Service{Chart: "chart", Images: map[string]v1alpha1.Image{"web": {Ko: "."}}}, Source: v1alpha1.Source{Commit: commit},
			}
			ref := thing("/shop/cart", "release")
			key := newKey(t)
			s := &seal.Sealer{
				Registry: reg, Bills: cyclonedx.New(cyclonedx.Options{Fetch: reg.Descriptor}), Verifier: sigstore.Verifier{}, Signer: key,
				Run: provenance.Environment{Builder: provenance.LocalBuilder}, Now: time.Now,
			}
			making := seal.Making{Release: rel, Layouts: map[string]string{"web": dir}, Work: filepath.Join(t.TempDir(), "w")}
			if err := s.Images(t.Context(), making); err != nil {
				t.Fatal(err)
			}
			if err := s.Release(t.Context(), making, ref); err != nil {
				t.Fatal(err)
			}
			for _, platform := range []v1.Image{amd, arm} {
				digest, err := platform.Digest()
				if err != nil {
					t.Fatal(err)
				}
				list, err := reg.Referrers(t.Context(), host+"/shop/cart/web@"+digest.String(), cyclonedx.MediaType)
				if err != nil || len(list) != 1 {
					t.Fatalf("bills beside %s: %v, %v", digest, list, err)
				}
				artifact, _, err := reg.Pull(t.Context(), list[0].Ref)
				if err != nil || !json.Valid(artifact.Layers[0].Data) {
					t.Errorf("%v, %v", artifact, err)
				}
			}
			pol := policy(key)
			pol.Verification.Provenance = &v1alpha1.ProvenancePolicy{}
			checker := &seal.Checker{Registry: reg, Verifier: sigstore.Verifier{}}
			release := v1alpha1.ReleaseRef{Ref: ref, Digest: digestOf(ref), Version: "1.0.0"}
			if _, err := checker.Verify(t.Context(), rel, release, pol); err != nil {
				t.Errorf("as sealed: %v", err)
			}

			// Promotion copies what proves it as well, so the copy holds by the same policy.
			for name, from := range map[string]*string{"web": nil, "chart": &rel.Chart, "release": &release.Ref} {
				to := host + "/prod/cart/" + name
				if from == nil {
					copied, err := reg.Copy(t.Context(), image, to, "1.0.0")
					if err != nil {
						t.Fatal(err)
					}
					rel.Images["web"] = copied.Ref
					continue
				}
				copied, err := reg.Copy(t.Context(), *from, to, "1.0.0")
				if err != nil {
					t.Fatal(err)
				}
				*from = copied.Ref
			}
			if _, err := checker.Verify(t.Context(), rel, release, pol); err != nil {
				t.Errorf("promoted: %v", err)
			}
		})
	}
}
