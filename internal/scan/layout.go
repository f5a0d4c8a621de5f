package scan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
)

// maxIndex bounds an index in bytes.
const maxIndex = 4 << 20

// descriptor is an entry of an index, kept as it is but for what is looked at.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Annotations map[string]string `json:"annotations"`
	Platform    struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

// Part is the image of one platform out of a layout.
type Part struct {
	// Path is a folder in OCI image layout with that image as its only entry.
	Path     string
	Digest   string
	Platform string
}

// Split takes a layout apart by platforms, into folders below dir which share its blobs: scanners look into the first image that they
// find, and would pass over the others in silence. A layout of one image is its own only part.
func Split(layout, dir string) ([]Part, error) {
	op := "take the image layout apart"
	parts, err := split(layout, filepath.Join(layout, "index.json"), dir)
	if err == nil && len(parts) == 0 {
		err = errors.New("it holds no image")
	}
	return parts, fault.Wrap(fault.Internal, op, err)
}

func split(layout, file, dir string) ([]Part, error) {
	entries, err := readIndex(file)
	if err != nil {
		return nil, err
	}
	var parts []Part
	for _, raw := range entries {
		var d descriptor
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, err
		}
		if !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(d.Digest) {
			return nil, fmt.Errorf("%.80q is no digest", d.Digest)
		}
		switch {
		case d.Annotations["vnd.docker.reference.type"] != "":
		case strings.HasSuffix(d.MediaType, "index.v1+json"), strings.HasSuffix(d.MediaType, "manifest.list.v2+json"):
			inner, err := split(layout, filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(d.Digest, "sha256:")), dir)
			if err != nil {
				return nil, err
			}
			parts = append(parts, inner...)
		default:
			part := Part{Path: filepath.Join(dir, strings.TrimPrefix(d.Digest, "sha256:")), Digest: d.Digest}
			if d.Platform.OS != "" {
				part.Platform = strings.TrimSuffix(d.Platform.OS+"/"+d.Platform.Architecture+"/"+d.Platform.Variant, "/")
			}
			if err := writePart(layout, part.Path, raw); err != nil {
				return nil, err
			}
			parts = append(parts, part)
		}
	}
	return parts, nil
}

func readIndex(path string) ([]json.RawMessage, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxIndex))
	if err != nil {
		return nil, err
	}
	var index struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	err = json.Unmarshal(data, &index)
	return index.Manifests, err
}

func writePart(layout, dir string, entry json.RawMessage) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	blobs, err := filepath.Abs(filepath.Join(layout, "blobs"))
	if err != nil {
		return err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []json.RawMessage{entry}})
	if err != nil {
		return err
	}
	if err := os.Symlink(blobs, filepath.Join(dir, "blobs")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644),
		os.WriteFile(filepath.Join(dir, "index.json"), index, 0o644),
	)
}
