package buildkit

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session/secrets/secretsprovider"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

// loadSecrets reads every secret ahead of the build: one that is missing is better known before minutes are spent.
func loadSecrets(op string, req build.Request, lookup func(string) (string, bool)) (map[string][]byte, error) {
	secrets := map[string][]byte{}
	for _, id := range slices.Sorted(maps.Keys(req.Image.Secrets)) {
		from := req.Image.Secrets[id]
		var value []byte
		if from.Env != "" {
			text, ok := lookup(from.Env)
			if !ok || text == "" {
				return nil, fault.New(fault.Usage, op, "secret %s: the environment variable %s is not set", id, from.Env).
					WithHint("set it where the build runs; its value is not kept")
			}
			value = []byte(text)
		} else {
			file := from.File
			if !filepath.IsAbs(file) {
				file = filepath.Join(req.Dir, filepath.FromSlash(file))
			}
			var err error
			if value, err = os.ReadFile(file); err != nil {
				return nil, fault.New(fault.Usage, op, "secret %s: %w", id, err).WithHint("write the file where the build runs; its content is not kept")
			}
		}
		if len(value) > secretsprovider.MaxSecretSize {
			return nil, fault.New(fault.Usage, op, "secret %s has %d bytes; BuildKit takes %d", id, len(value), secretsprovider.MaxSecretSize)
		}
		secrets[id] = value
	}
	return secrets, nil
}

// inline is the word for a cache that travels in the image.
const inline = "inline"

// caches are the entries of a cache in BuildKit's words.
func caches(op string, req build.Request) (from, to []client.CacheOptionsEntry, err error) {
	if req.Image.Cache == nil {
		return nil, nil, nil
	}
	for _, entry := range req.Image.Cache.From {
		if !strings.HasPrefix(entry, "./") {
			from = append(from, client.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": entry}})
			continue
		}
		folder := filepath.Join(req.Dir, filepath.FromSlash(entry))
		_, err := os.Stat(filepath.Join(folder, "index.json"))
		if errors.Is(err, fs.ErrNotExist) {
			// The first build of a machine has none; that is no reason to fail.
			continue
		}
		if err != nil {
			return nil, nil, fault.New(fault.Usage, op, "cache: %w", err)
		}
		from = append(from, client.CacheOptionsEntry{Type: "local", Attrs: map[string]string{"src": folder}})
	}
	for _, entry := range req.Image.Cache.To {
		switch {
		case entry == inline:
			to = append(to, client.CacheOptionsEntry{Type: inline, Attrs: map[string]string{}})
		case strings.HasPrefix(entry, "./"):
			folder := filepath.Join(req.Dir, filepath.FromSlash(entry))
			to = append(to, client.CacheOptionsEntry{Type: "local", Attrs: map[string]string{"dest": folder, "mode": "max", "reset": "true"}})
		default:
			to = append(to, client.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": entry, "mode": "max"}})
		}
	}
	return from, to, nil
}
