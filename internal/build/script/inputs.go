package script

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

var _ build.Fingerprinter = (*Builder)(nil)

// Inputs are the files that the project says the command reads, and the command itself where it is one of the project's. Nothing is known
// of a command of which the project does not say what it reads.
func (b *Builder) Inputs(ctx context.Context, req build.Request) (build.Inputs, error) {
	if req.Image.Script == nil || len(req.Image.Script.Inputs) == 0 {
		return nil, nil
	}
	op := "read the inputs of image " + req.Name
	patterns := req.Image.Script.Inputs
	if program := req.Image.Script.Run[0]; strings.Contains(program, "/") && !filepath.IsAbs(program) {
		patterns = append(slices.Clone(patterns), path.Clean(program))
	}
	root, err := os.OpenRoot(dirOr(req.Dir))
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	defer root.Close()
	digest, err := digestOf(ctx, root.FS(), rulesOf(patterns))
	if ctx.Err() != nil {
		return nil, fault.Wrap(fault.Interrupted, op, ctx.Err())
	}
	if err != nil {
		return nil, fault.Wrap(fault.Usage, op, err)
	}
	inputs := build.Inputs{"files": digest}
	if len(req.Image.Platforms) == 0 {
		// A command that is not told builds for the machine that it runs on.
		inputs["machine"] = runtime.GOARCH
	}
	return inputs, nil
}

func dirOr(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// rule names files, or takes them out again.
type rule struct {
	exclude bool
	pattern string
}

func rulesOf(patterns []string) []rule {
	rules := make([]rule, 0, len(patterns))
	for _, p := range patterns {
		pattern, exclude := strings.CutPrefix(p, "!")
		rules = append(rules, rule{exclude, path.Clean(pattern)})
	}
	return rules
}

// covers says whether a path is what the rule names, or lies below it.
func (r rule) covers(name string) bool {
	return r.pattern == "." || doublestar.MatchUnvalidated(path.Join(r.pattern, "**"), name)
}

// digestOf is the digest of all files that the rules name, in the order of their names; the last rule that covers one decides.
func digestOf(ctx context.Context, files fs.FS, rules []rule) (string, error) {
	tree := build.NewTree()
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		last := len(rules) - 1
		for last >= 0 && !rules[last].covers(name) {
			last--
		}
		read := last >= 0 && !rules[last].exclude
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case entry != nil && entry.IsDir() && (name == ".git" || name == build.StateFolder || !read && !leadBelow(rules[last+1:], name)):
			return fs.SkipDir
		case err != nil:
			return err
		case !read || entry.IsDir():
			return nil
		}
		return add(tree, files, name, entry)
	})
	return tree.Digest(), err
}

// leadBelow says whether one of the rules may name something below a folder.
func leadBelow(rules []rule, folder string) bool {
	return folder == "." || slices.ContainsFunc(rules, func(r rule) bool {
		fixed := r.pattern
		if at := strings.IndexAny(fixed, "*?[{"); at >= 0 {
			fixed = path.Dir(fixed[:at] + "x")
		}
		return !r.exclude && (fixed == "." || fixed == folder || strings.HasPrefix(fixed, folder+"/") || strings.HasPrefix(folder, fixed+"/"))
	})
}

// add takes one file into the tree; of a link it takes where it leads, not what is there.
func add(tree *build.Tree, from fs.FS, name string, entry fs.DirEntry) (err error) {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	var content io.Reader
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(from, name)
		if err != nil {
			return err
		}
		content = strings.NewReader(target)
	case mode.IsRegular():
		file, err := from.Open(name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		content = file
	}
	return tree.Add(name, info.Mode(), content)
}
