// Package git is the build.Sources over the git program; it must not change a repository.
package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

var _ build.Sources = Git{}

// Git asks the git program, which knows every kind of repository: worktrees, submodules, shallow and partial clones.
type Git struct {
	// Environ is the environment of the program. Default: that of the process.
	Environ []string
}

// Describe reads the work tree that holds dir. It fails with fault.NotFound where none does.
func (g Git) Describe(ctx context.Context, dir string) (build.Checkout, error) {
	op := "read the Git work tree of " + dir
	head, err := g.run(ctx, op, dir, "rev-parse", "--show-toplevel", "--is-shallow-repository")
	if err != nil {
		return build.Checkout{}, err
	}
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	if len(lines) != 2 {
		return build.Checkout{}, fault.New(fault.Internal, op, "git rev-parse answered %q", head)
	}
	c := build.Checkout{Shallow: lines[1] == "true"}
	if c.Commit, c.Time, err = g.commit(ctx, op, dir); err != nil {
		return build.Checkout{}, err
	}
	if c.Changed, err = g.changed(ctx, op, dir, lines[0]); err != nil {
		return build.Checkout{}, err
	}
	tags, err := g.run(ctx, op, dir, "tag", "--merged", "HEAD")
	c.Tags = strings.Fields(tags)
	return c, err
}

// Distance counts the commits after a tag.
func (g Git) Distance(ctx context.Context, dir, tag string) (int, error) {
	op := "count the commits of " + dir
	args := []string{"rev-list", "--count", "HEAD"}
	if tag != "" {
		op += " since " + tag
		args = append(args, "^refs/tags/"+tag)
	}
	out, err := g.run(ctx, op, dir, args...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(out))
	return n, fault.Wrap(fault.Internal, op, err)
}

func (g Git) commit(ctx context.Context, op, dir string) (string, time.Time, error) {
	if _, err := g.run(ctx, op, dir, "rev-parse", "--verify", "--quiet", "HEAD"); err != nil {
		return "", time.Time{}, fault.New(fault.Usage, op, "it has no commit yet").WithHint("commit the sources")
	}
	out, err := g.run(ctx, op, dir, "log", "-1", "--no-show-signature", "--format=%H %ct")
	if err != nil {
		return "", time.Time{}, err
	}
	hash, seconds, _ := strings.Cut(strings.TrimSpace(out), " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return "", time.Time{}, fault.New(fault.Internal, op, "git log answered %q", out)
	}
	return hash, time.Unix(unix, 0).UTC(), nil
}

// changed hashes every file that differs from the commit, with its path, so that two different states never share a version.
func (g Git) changed(ctx context.Context, op, dir, top string) (string, error) {
	out, err := g.run(ctx, op, dir, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
	if err != nil || out == "" {
		return "", err
	}
	var paths []string
	for _, entry := range strings.Split(strings.TrimSuffix(out, "\x00"), "\x00") {
		if len(entry) < 4 {
			return "", fault.New(fault.Internal, op, "git status answered %q", entry)
		}
		paths = append(paths, entry[3:])
	}
	slices.Sort(paths)
	sum := sha256.New()
	for _, path := range paths {
		if err := hashFile(sum, top, path); err != nil {
			return "", fault.Wrap(fault.Usage, op, err)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// hashFile adds a file, or that it is gone.
func hashFile(sum io.Writer, top, path string) error {
	name := filepath.Join(top, filepath.FromSlash(path))
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err = fmt.Fprintf(sum, "%q gone\n", path)
		return err
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%q link %q\n", path, target)
		return err
	case !info.Mode().IsRegular():
		// A submodule or a nested repository: that it differs is all that the outer repository can tell.
		_, err = fmt.Fprintf(sum, "%q %s\n", path, info.Mode().Type())
		return err
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(sum, "%q file %d executable %t\n", path, info.Size(), info.Mode()&0o100 != 0); err != nil {
		return err
	}
	_, err = io.Copy(sum, file)
	return err
}

// run runs git in a folder and returns what it printed.
func (g Git) run(ctx context.Context, op, dir string, args ...string) (string, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return "", fault.New(fault.Usage, op, "the program git is not installed").WithHint("install git")
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-C", dir}, args...)...)
	cmd.Env = g.environ()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err == nil {
		return stdout.String(), nil
	}
	if ctx.Err() != nil {
		return "", fault.Wrap(fault.Interrupted, op, ctx.Err())
	}
	said := strings.TrimSpace(stderr.String())
	switch {
	case strings.Contains(said, "not a git repository"):
		return "", fault.New(fault.NotFound, op, "there is none")
	case strings.Contains(said, "dubious ownership"):
		return "", fault.New(fault.Usage, op, "git does not trust it, as it belongs to somebody else").
			WithHint("git config --global --add safe.directory %s", dir)
	case said == "":
		return "", fault.New(fault.Usage, op, "git %s: %w", args[0], err)
	default:
		return "", fault.New(fault.Usage, op, "git %s: %s", args[0], said)
	}
}

// environ is the environment without what would point git at another repository, as in a hook, or change its language.
func (g Git) environ() []string {
	environ := g.Environ
	if environ == nil {
		environ = os.Environ()
	}
	environ = slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "LC_ALL", "LANGUAGE"}, name)
	})
	return append(environ, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
}
