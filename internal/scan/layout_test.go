package scan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/registry/registrytest"
	"github.com/sluice-dev/sluice/internal/scan"
)

func TestSplit(t *testing.T) {
	layout, first := registrytest.WriteLayout(t, "first")
	second, err := registrytest.PutLayout(layout, "second")
	if err != nil {
		t.Fatal(err)
	}
	inner, err := json.Marshal(map[string]any{"manifests": []map[string]any{
		{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": first, "platform": map[string]string{"os": "linux", "architecture": "amd64"}},
		{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": second, "platform": map[string]string{"os": "linux", "architecture": "arm", "variant": "v7"}},
		{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": second, "annotations": map[string]string{"vnd.docker.reference.type": "attestation-manifest"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	const digest = "sha256:" + "1111111111111111111111111111111111111111111111111111111111111111"
	outer := `{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"` + digest + `"}]}`
	for path, data := range map[string][]byte{"index.json": []byte(outer), "blobs/sha256/" + digest[7:]: inner} {
		if err := os.WriteFile(filepath.Join(layout, path), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	parts, err := scan.Split(layout, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 2 || parts[0].Digest != first || parts[0].Platform != "linux/amd64" || parts[1].Digest != second || parts[1].Platform != "linux/arm/v7" {
		t.Fatalf("parts %+v", parts)
	}
	for _, p := range parts {
		again, err := scan.Split(p.Path, t.TempDir())
		if err != nil || len(again) != 1 || again[0].Digest != p.Digest {
			t.Errorf("%s is no layout of one image: %+v, %v", p.Path, again, err)
		}
	}
}

func TestSplitOfWhatIsNoLayout(t *testing.T) {
	for name, index := range map[string]string{
		"no image": `{"manifests":[]}`, "no JSON": `x`, "a path for a digest": `{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:../../x"}]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o644); err != nil {
			t.Fatal(err)
		}
		if parts, err := scan.Split(dir, t.TempDir()); !fault.Is(err, fault.Internal) || len(parts) > 0 {
			t.Errorf("%s gave %v, %v", name, parts, err)
		}
	}
}
