// Package git is the build.Sources and the build.History over the git program; it must not change files or branches, but may fetch commits that a shallow clone lacks.
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
	"sync"
	"time"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

var (
	_ build.Sources = Git{}
	_ build.History = Git{}
)

// Git asks the git program, which knows every kind of repository: worktrees, submodules, shallow and partial clones.
type Git struct {
	// Environ is the environment of the program, in which a CI system says what it builds. Default: that of the process.
	Environ []string
	// Log takes one line for people before something is fetched. Default: nowhere.
	Log func(line string)
	// Secrets learns of the credentials that Learn finds. Default: nobody does.
	Secrets *variables.Masker
}

// Describe reads the work tree that holds dir. It fails with fault.NotFound where none does.
func (g Git) Describe(ctx context.Context, dir string) (build.Checkout, error) {
	op := "read the Git work tree of " + dir
	head, err := g.run(ctx, op, dir, "rev-parse", "--show-toplevel", "--is-shallow-repository", "--show-prefix")
	if err != nil {
		return build.Checkout{}, err
	}
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	if len(lines) != 3 {
		return build.Checkout{}, fault.New(fault.Internal, op, "git rev-parse answered %q", head)
	}
	top := lines[0]
	c := build.Checkout{Shallow: lines[1] == "true", Folder: strings.TrimSuffix(lines[2], "/")}
	// Git looks at every file meanwhile, which takes it longest.
	var status sync.WaitGroup
	var unreadable error
	status.Go(func() { c.Changed, c.Uncommitted, unreadable = g.changed(ctx, op, dir, top) })
	err = g.committed(ctx, op, dir, top, &c)
	status.Wait()
	if err == nil {
		err = unreadable
	}
	if err != nil {
		return build.Checkout{}, err
	}
	return c, nil
}

// committed reads the commit, its names and its tags.
func (g Git) committed(ctx context.Context, op, dir, top string, c *build.Checkout) (err error) {
	if c.Commit, c.Time, err = g.commit(ctx, op, dir); err != nil {
		return err
	}
	if err := g.named(ctx, op, dir, top, c); err != nil {
		return err
	}
	tags, err := g.run(ctx, op, dir, "tag", "--merged", "HEAD")
	c.Tags = strings.Fields(tags)
	return err
}

// named finds out by which name the checkout goes: the branch that is checked out, else what the CI system says of this work tree.
func (g Git) named(ctx context.Context, op, dir, top string, c *build.Checkout) error {
	said, err := pipelineOf(g.environ(), top)
	if err != nil {
		return fault.Wrap(fault.Usage, op, err)
	}
	c.Ref, c.PullRequest, c.Into, c.Before = said.ref, said.pullRequest, said.into, said.before
	branch, err := g.run(ctx, op, dir, "symbolic-ref", "--quiet", "HEAD")
	switch {
	case absent(err):
		// A detached head, as most CI systems check out.
	case err != nil:
		return err
	case c.Ref != strings.TrimSpace(branch):
		// What is before one branch says nothing about another.
		c.Ref, c.Before = strings.TrimSpace(branch), ""
	}
	return nil
}

func (g Git) commit(ctx context.Context, op, dir string) (string, time.Time, error) {
	out, err := g.run(ctx, op, dir, "log", "-1", "--no-show-signature", "--format=%H %ct")
	if err != nil && strings.Contains(err.Error(), "does not have any commits yet") {
		return "", time.Time{}, fault.New(fault.Usage, op, "it has no commit yet").WithHint("commit the sources")
	}
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
func (g Git) changed(ctx context.Context, op, dir, top string) (string, []build.Change, error) {
	out, err := g.run(ctx, op, dir, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
	if err != nil || out == "" {
		return "", nil, err
	}
	var paths []string
	for _, entry := range strings.Split(strings.TrimSuffix(out, "\x00"), "\x00") {
		if len(entry) < 4 {
			return "", nil, fault.New(fault.Internal, op, "git status answered %q", entry)
		}
		paths = append(paths, entry[3:])
	}
	slices.Sort(paths)
	sum := sha256.New()
	var changes []build.Change
	for _, path := range paths {
		folder, err := hashFile(sum, top, path)
		if err != nil {
			return "", nil, fault.Wrap(fault.Usage, op, err)
		}
		changes = append(changes, build.Change{Path: strings.TrimSuffix(path, "/"), Folder: folder, Uncommitted: true})
	}
	return hex.EncodeToString(sum.Sum(nil)), changes, nil
}

// hashFile adds a file, or that it is gone, and says whether it is a folder.
func hashFile(sum io.Writer, top, path string) (folder bool, err error) {
	name := filepath.Join(top, filepath.FromSlash(path))
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err = fmt.Fprintf(sum, "%q gone\n", path)
		return false, err
	case err != nil:
		return false, err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(name)
		if err != nil {
			return false, err
		}
		_, err = fmt.Fprintf(sum, "%q link %q\n", path, target)
		return false, err
	case !info.Mode().IsRegular():
		// A submodule or a nested repository: that it differs is all that the outer repository can tell.
		_, err = fmt.Fprintf(sum, "%q %s\n", path, info.Mode().Type())
		return info.IsDir(), err
	}
	file, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if _, err := fmt.Fprintf(sum, "%q file %d executable %t\n", path, info.Size(), info.Mode()&0o100 != 0); err != nil {
		return false, err
	}
	_, err = io.Copy(sum, file)
	return false, err
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

// absent says that git found out that something is not there, which is not that it could not find out: it ends with 1 and is silent.
func absent(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == 1
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
	// Nobody may be there to be asked for a password.
	return append(environ, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
}
