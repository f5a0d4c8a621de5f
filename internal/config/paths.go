package config

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// wildcards are the characters that make a path a pattern.
const wildcards = "*?[{"

// paths checks the patterns of a service. That they stay within the repository is checked where the repository is known.
func (v *validator) paths(at string, patterns []string) {
	for i, p := range patterns {
		here := item(at, i)
		pattern, excluded := strings.CutPrefix(p, "!")
		switch {
		case pattern == "" || pattern != strings.TrimSpace(pattern):
			v.report(here, "", "%q is no path: it is empty, or begins or ends with a space", p)
		case strings.HasPrefix(pattern, "!"):
			v.report(here, "one ! takes a path out", "%q begins with more than one !", p)
		case strings.Contains(pattern, `\`):
			v.report(here, "separate folders with /", `%q holds a \`, p)
		case path.IsAbs(pattern) || filepath.IsAbs(pattern):
			v.report(here, "paths begin in the folder of "+FileName+"; ../ leads out of it", "%q is no path relative to the folder of %s", p, FileName)
		case !doublestar.ValidatePattern(pattern):
			v.report(here, "* ? ** [a-z] {a,b} are known", "%q is no pattern: a bracket or brace is not closed", p)
		case wildcardBeforeUp(pattern):
			v.report(here, "write ../ first", "%q leads up behind a wildcard", p)
		case slices.Contains(patterns[:i], p):
			v.report(here, "remove it", "%q is named twice", p)
		case !excluded && !strings.ContainsAny(pattern, wildcards):
			v.there(here, pattern)
		}
	}
}

// wildcardBeforeUp says whether a pattern goes up from a folder that nobody knows.
func wildcardBeforeUp(pattern string) bool {
	at := strings.IndexAny(pattern, wildcards)
	return at >= 0 && slices.Contains(strings.Split(pattern[at:], "/"), "..")
}

// there checks that a path leads to something. What is taken out needs not be there: it may be what a build writes.
func (v *validator) there(at, name string) {
	_, err := os.Lstat(filepath.Join(v.file.Dir, filepath.FromSlash(name)))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		v.report(at, "", "there is no file or folder %q in the folder of %s", name, FileName)
	case err != nil:
		v.report(at, "", "cannot find out whether %q exists: %s", name, err)
	}
}
