package registrytest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// WriteLayout writes an OCI image layout with a one-file image and returns its folder and the image's digest.
func WriteLayout(t testing.TB, content string) (dir, digest string) {
	t.Helper()
	dir = t.TempDir()
	digest, err := PutLayout(dir, content)
	if err != nil {
		t.Fatal(err)
	}
	return dir, digest
}

// PutLayout writes an OCI image layout with a one-file image into a folder and returns the image's digest.
func PutLayout(dir, content string) (string, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "content", Mode: 0o444, Size: int64(len(content))}); err != nil {
		return "", err
	}
	if _, err := w.Write([]byte(content)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	l, err := putBlob(dir, "application/vnd.oci.image.layer.v1.tar", layer.Bytes())
	if err != nil {
		return "", err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{l.Digest}},
	})
	if err != nil {
		return "", err
	}
	c, err := putBlob(dir, "application/vnd.oci.image.config.v1+json", config)
	if err != nil {
		return "", err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": c, "layers": []descriptor{l},
	})
	if err != nil {
		return "", err
	}
	m, err := putBlob(dir, "application/vnd.oci.image.manifest.v1+json", manifest)
	if err != nil {
		return "", err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{m}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644); err != nil {
		return "", err
	}
	return m.Digest, os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644)
}

func putBlob(dir, mediaType string, data []byte) (descriptor, error) {
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	folder := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return descriptor{}, err
	}
	return descriptor{mediaType, "sha256:" + sum, len(data)}, os.WriteFile(filepath.Join(folder, sum), data, 0o644)
}

// layoutDigest is the digest of the only entry of a layout.
func layoutDigest(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return "", err
	}
	var index struct{ Manifests []descriptor }
	if err := json.Unmarshal(data, &index); err != nil {
		return "", err
	}
	if len(index.Manifests) != 1 {
		return "", fmt.Errorf("%s has %d entries, not one", dir, len(index.Manifests))
	}
	return index.Manifests[0].Digest, nil
}
