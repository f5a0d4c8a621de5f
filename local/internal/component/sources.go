package component

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sources holds the components' modules. Their go.mod and go.sum carry the suffix ".embed", because go:embed leaves out
// folders with a go.mod of their own.
//
//go:embed _sources
var sources embed.FS

const (
	sourcesRoot   = "_sources"
	embedSuffix   = ".embed"
	keyCharacters = 16
)

// Key names one build of the component: it changes with its sources, its pinned modules, its build settings and the Go
// version, and with nothing else.
func (c Component) Key(goVersion string) (string, error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q %q %q %q %q %q %v\n", c.Name, c.Package, c.Tags, c.Variables, c.Programs, goVersion, c.Data)
	err := fs.WalkDir(sources, sourcesRoot+"/"+c.Name, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := sources.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%q %d\n", path, len(content))
		hash.Write(content)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("read the embedded sources of %s: %w", c.Name, err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:keyCharacters], nil
}

// extract writes the component's module into folder, with go.mod and go.sum under their real names.
func (c Component) extract(folder string) error {
	root := sourcesRoot + "/" + c.Name
	return fs.WalkDir(sources, root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(folder, strings.TrimSuffix(strings.TrimPrefix(path, root), embedSuffix))
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := sources.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}
