package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/sluice-dev/sluice/internal/fault"
)

// Compare tells how two images differ: platform by platform, layer by layer, and in which keys of the configuration.
func (r *Registry) Compare(ctx context.Context, one, other string) ([]string, error) {
	a, err := r.images(ctx, one)
	if err != nil {
		return nil, err
	}
	b, err := r.images(ctx, other)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, platform := range sortedKeys(a, b) {
		left, right := a[platform], b[platform]
		if left == nil || right == nil {
			lines = append(lines, fmt.Sprintf("platform %s is in one of them only", platform))
			continue
		}
		found, err := differences(left, right)
		if err != nil {
			return nil, r.classify("compare "+one+" with "+other, "", err)
		}
		for _, line := range found {
			lines = append(lines, strings.TrimPrefix(platform+": "+line, ": "))
		}
	}
	return lines, nil
}

// images are the images below a reference by platform; that of a single image is "".
func (r *Registry) images(ctx context.Context, reference string) (map[string]v1.Image, error) {
	op := "read " + reference
	pinned, _, err := parsePinned(op, reference)
	if err != nil {
		return nil, err
	}
	host := pinned.Context().RegistryStr()
	content, err := remote.Get(pinned, r.options(ctx)...)
	if err != nil {
		return nil, r.classify(op, host, err)
	}
	if !content.MediaType.IsIndex() {
		image, err := content.Image()
		return map[string]v1.Image{"": image}, r.classify(op, host, err)
	}
	index, err := content.ImageIndex()
	if err != nil {
		return nil, r.classify(op, host, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, r.classify(op, host, err)
	}
	found := map[string]v1.Image{}
	for i, child := range manifest.Manifests {
		if !child.MediaType.IsImage() {
			continue
		}
		image, err := index.Image(child.Digest)
		if err != nil {
			return nil, r.classify(op, host, err)
		}
		platform := fmt.Sprintf("entry %d", i+1)
		if child.Platform != nil {
			platform = child.Platform.String()
		}
		found[platform] = image
	}
	return found, nil
}

func differences(a, b v1.Image) ([]string, error) {
	left, err := a.Manifest()
	if err != nil {
		return nil, err
	}
	right, err := b.Manifest()
	if err != nil {
		return nil, err
	}
	var lines []string
	if len(left.Layers) != len(right.Layers) {
		lines = append(lines, fmt.Sprintf("one has %d layers, the other %d", len(left.Layers), len(right.Layers)))
	}
	configA, err := a.ConfigFile()
	if err != nil {
		return nil, err
	}
	configB, err := b.ConfigFile()
	if err != nil {
		return nil, err
	}
	for i := range min(len(left.Layers), len(right.Layers)) {
		if left.Layers[i].Digest == right.Layers[i].Digest {
			continue
		}
		line := fmt.Sprintf("layer %d%s: %s and %s", i+1, made(configB, i), left.Layers[i].Digest, right.Layers[i].Digest)
		if i < len(configA.RootFS.DiffIDs) && i < len(configB.RootFS.DiffIDs) && configA.RootFS.DiffIDs[i] == configB.RootFS.DiffIDs[i] {
			line += ", the same files compressed in another way"
		}
		lines = append(lines, line)
	}
	more, err := differentKeys(a, b)
	return append(lines, more...), err
}

// made is what the history says of a layer.
func made(config *v1.ConfigFile, layer int) string {
	for _, h := range config.History {
		if h.EmptyLayer {
			continue
		}
		if layer == 0 {
			if h.Comment != "" {
				return " (" + h.Comment + ")"
			}
			return fmt.Sprintf(" (%.80s)", h.CreatedBy)
		}
		layer--
	}
	return ""
}

// differentKeys names the keys of the configuration that differ, those of layers left out.
func differentKeys(a, b v1.Image) ([]string, error) {
	var keys [2]map[string]json.RawMessage
	for i, image := range []v1.Image{a, b} {
		raw, err := image.RawConfigFile()
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &keys[i]); err != nil {
			return nil, fault.New(fault.Fatal, "", "read its configuration: %w", err)
		}
	}
	var lines []string
	for _, key := range sortedKeys(keys[0], keys[1]) {
		if key != "rootfs" && string(keys[0][key]) != string(keys[1][key]) {
			lines = append(lines, fmt.Sprintf("configuration, %s: %.200s and %.200s", key, keys[0][key], keys[1][key]))
		}
	}
	return lines, nil
}

func sortedKeys[V any](maps ...map[string]V) []string {
	var keys []string
	for _, m := range maps {
		for key := range m {
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}
