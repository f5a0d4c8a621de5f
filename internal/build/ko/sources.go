package ko

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
)

// module is one whose sources lie here, so that go.sum does not pin them.
type module struct{ path, dir string }

// tree collects the digests of all files that a package is built from.
type tree struct {
	root    string
	modules []module
	vendor  string
	files   map[string]string
	queue   []string
	seen    map[string]bool
	// vague is set where a file cannot be read as Go.
	vague bool
}

// sourcesOf is the digest of all that the package in dir is built from and that lies here; "" where it cannot be told.
func sourcesOf(dir, gomod, gowork string) (string, error) {
	t := &tree{root: filepath.Dir(gomod), files: map[string]string{}, seen: map[string]bool{}}
	if err := t.module(gomod); err != nil {
		return "", err
	}
	if gowork != "" && gowork != "off" {
		t.root = filepath.Dir(gowork)
		if err := t.workspace(gowork); err != nil {
			return "", err
		}
	}
	if vendor := filepath.Join(t.root, "vendor"); exists(filepath.Join(vendor, "modules.txt")) {
		t.vendor = vendor
		if err := t.file(filepath.Join(vendor, "modules.txt")); err != nil {
			return "", err
		}
	}
	// The longest path first: that is how an import finds its module.
	slices.SortFunc(t.modules, func(a, b module) int { return len(b.path) - len(a.path) })
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	t.visit(dir)
	for len(t.queue) > 0 && !t.vague {
		next := t.queue[0]
		t.queue = t.queue[1:]
		if err := t.directory(next); err != nil {
			return "", err
		}
	}
	if t.vague {
		return "", nil
	}
	h := sha256.New()
	for _, line := range sorted(t.files) {
		fmt.Fprintf(h, "%s\n", line)
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// module reads a go.mod with its go.sum, and the modules that it replaces by folders.
func (t *tree) module(gomod string) error {
	dir := filepath.Dir(gomod)
	if slices.ContainsFunc(t.modules, func(m module) bool { return m.dir == dir }) {
		return nil
	}
	data, err := os.ReadFile(gomod)
	if err != nil {
		return err
	}
	parsed, err := modfile.Parse(gomod, data, nil)
	if err != nil {
		return err
	}
	t.modules = append(t.modules, module{modfile.ModulePath(data), dir})
	if err := t.together(gomod, filepath.Join(dir, "go.sum")); err != nil {
		return err
	}
	return t.replaced(dir, parsed.Replace)
}

// replaced follows what is replaced by folders, under the path that is replaced.
func (t *tree) replaced(dir string, replaces []*modfile.Replace) error {
	for _, r := range replaces {
		if !modfile.IsDirectoryPath(r.New.Path) {
			continue
		}
		folder := within(dir, r.New.Path)
		if exists(filepath.Join(folder, "go.mod")) {
			if err := t.module(filepath.Join(folder, "go.mod")); err != nil {
				return err
			}
		}
		t.modules = append(t.modules, module{r.Old.Path, folder})
	}
	return nil
}

// workspace reads a go.work with its go.work.sum, and its modules.
func (t *tree) workspace(gowork string) error {
	data, err := os.ReadFile(gowork)
	if err != nil {
		return err
	}
	parsed, err := modfile.ParseWork(gowork, data, nil)
	if err != nil {
		return err
	}
	dir := filepath.Dir(gowork)
	if err := t.together(gowork, filepath.Join(dir, "go.work.sum")); err != nil {
		return err
	}
	for _, use := range parsed.Use {
		if err := t.module(filepath.Join(within(dir, use.Path), "go.mod")); err != nil {
			return err
		}
	}
	return t.replaced(dir, parsed.Replace)
}

// within is a folder that a file in dir names.
func within(dir, name string) string {
	if folder := filepath.FromSlash(name); filepath.IsAbs(folder) {
		return folder
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// together takes a file, and another where it exists.
func (t *tree) together(one, other string) error {
	if err := t.file(one); err != nil || !exists(other) {
		return err
	}
	return t.file(other)
}

func (t *tree) visit(dir string) {
	if !t.seen[dir] {
		t.seen[dir] = true
		t.queue = append(t.queue, dir)
	}
}

// directory takes the files of a package, and visits the packages that it imports.
func (t *tree) directory(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		info, err := os.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), strings.HasSuffix(e.Name(), "_test.go"):
			continue // a link to nowhere, or a file of tests
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		t.add(name, data)
		if err := t.follow(dir, name, data); err != nil {
			return err
		}
	}
	return nil
}

// follow visits what a file leads to.
func (t *tree) follow(dir, name string, data []byte) error {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".s", ".sx":
		// It may include any file of its module.
		return t.below(t.moduleOf(dir))
	case ".go":
	default:
		return nil
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ImportsOnly)
	if err != nil {
		// The compiler will tell better; until then nobody knows what the program is made of.
		t.vague = true
		return nil //nolint:nilerr // said by vague
	}
	if bytes.Contains(data, []byte("//go:embed")) {
		// Patterns reach no further than the files below the package.
		if err := t.below(dir); err != nil {
			return err
		}
	}
	for _, i := range parsed.Imports {
		if imported, err := strconv.Unquote(i.Path.Value); err == nil {
			t.imported(imported)
		}
	}
	return nil
}

// imported visits an imported package where it lies here; all others are the toolchain's, or pinned by go.sum.
func (t *tree) imported(name string) {
	for _, m := range t.modules {
		if rest, ok := strings.CutPrefix(name, m.path); ok && (rest == "" || rest[0] == '/') {
			t.visit(filepath.Join(m.dir, filepath.FromSlash(rest)))
		}
	}
	if t.vendor != "" {
		t.visit(filepath.Join(t.vendor, filepath.FromSlash(name)))
	}
}

func (t *tree) moduleOf(dir string) string {
	for _, m := range t.modules {
		if rest, err := filepath.Rel(m.dir, dir); err == nil && filepath.IsLocal(rest) {
			return m.dir
		}
	}
	return dir
}

// below takes every file below a folder.
func (t *tree) below(dir string) error {
	if t.seen[dir+"/..."] {
		return nil
	}
	t.seen[dir+"/..."] = true
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.IsDir() || !d.Type().IsRegular():
			return nil
		}
		return t.file(name)
	})
}

func (t *tree) file(name string) error {
	data, err := os.ReadFile(name)
	if err == nil {
		t.add(name, data)
	}
	return err
}

// add takes a file under its path relative to the root: the same sources elsewhere have the same digest.
func (t *tree) add(name string, data []byte) {
	relative, err := filepath.Rel(t.root, name)
	if err != nil {
		relative = name
	}
	t.files[path.Clean(filepath.ToSlash(relative))] = fmt.Sprintf("%x", sha256.Sum256(data))
}
