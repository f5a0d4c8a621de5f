package git

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

// submodule is the mode of an entry that is a commit of another repository.
const submodule = "160000"

// Base finds the last commit that the checkout has in common with ref, fetching what a shallow clone lacks.
func (g Git) Base(ctx context.Context, dir, ref string) (string, error) {
	op := "find what the checkout has in common with " + spoken(ref)
	if strings.HasPrefix(ref, "-") || strings.ContainsAny(ref, "\x00\n") {
		return "", fault.New(fault.Usage, op, "%q is no branch, tag or commit", ref)
	}
	if isCommit(ref) {
		// What is here needs not be looked for first.
		if base, err := g.mergeBase(ctx, op, dir, ref); err == nil && base != "" {
			return base, nil
		}
	}
	commit, err := g.find(ctx, op, dir, ref)
	if fault.Is(err, fault.NotFound) {
		commit, err = g.obtain(ctx, op, dir, ref)
	}
	if err != nil {
		return "", err
	}
	base, err := g.mergeBase(ctx, op, dir, commit)
	if err != nil || base != "" {
		return base, err
	}
	return g.deepen(ctx, op, dir, commit)
}

// isCommit says whether a ref is the full hash of a commit.
func isCommit(ref string) bool {
	return regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`).MatchString(ref)
}

func spoken(ref string) string {
	if ref == "" {
		return "the main branch"
	}
	return strings.TrimPrefix(ref, branches)
}

// find returns the commit that ref names in this clone; fault.NotFound where the clone does not have it.
func (g Git) find(ctx context.Context, op, dir, ref string) (string, error) {
	missing := fault.New(fault.NotFound, op, "this clone does not have it")
	branch, named := strings.CutPrefix(ref, branches)
	if ref != "" && !named {
		return g.revision(ctx, op, dir, ref)
	}
	candidates, err := g.candidates(ctx, op, dir, branch)
	if err != nil {
		return "", err
	}
	out, err := g.run(ctx, op, dir, append([]string{"for-each-ref", "--format=%(objectname) %(refname)"}, candidates...)...)
	if err != nil {
		return "", err
	}
	found := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		commit, name, _ := strings.Cut(line, " ")
		found[name] = commit
	}
	for _, name := range candidates {
		if commit, ok := found[name]; ok {
			return commit, nil
		}
	}
	return "", missing
}

// candidates are the refs that may stand for a branch, "" for the main one, the best first.
func (g Git) candidates(ctx context.Context, op, dir, branch string) ([]string, error) {
	remote, err := g.remote(ctx, op, dir)
	if err != nil {
		return nil, err
	}
	names := []string{branch}
	if branch == "" {
		names = []string{"main", "master"}
	}
	var refs []string
	if remote != "" {
		if branch == "" {
			refs = append(refs, "refs/remotes/"+remote+"/HEAD")
		}
		for _, name := range names {
			refs = append(refs, "refs/remotes/"+remote+"/"+name)
		}
	}
	for _, name := range names {
		refs = append(refs, branches+name)
	}
	return refs, nil
}

// revision resolves what git understands: a branch, a tag, a commit, main~3; else a branch that only the remote has.
func (g Git) revision(ctx context.Context, op, dir, ref string) (string, error) {
	out, err := g.run(ctx, op, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}")
	if !absent(err) {
		return strings.TrimSpace(out), err
	}
	remote, err := g.remote(ctx, op, dir)
	if err != nil {
		return "", err
	}
	if remote != "" {
		out, err = g.run(ctx, op, dir, "rev-parse", "--verify", "--quiet", "--end-of-options", "refs/remotes/"+remote+"/"+ref+"^{commit}")
		if !absent(err) {
			return strings.TrimSpace(out), err
		}
	}
	return "", fault.New(fault.NotFound, op, "this clone has no branch, tag or commit %q", ref)
}

// remote is where the clone came from: origin, or the only remote; "" where it has none, or several of other names.
func (g Git) remote(ctx context.Context, op, dir string) (string, error) {
	out, err := g.run(ctx, op, dir, "remote")
	if err != nil {
		return "", err
	}
	remotes := strings.Fields(out)
	switch {
	case slices.Contains(remotes, "origin"):
		return "origin", nil
	case len(remotes) == 1:
		return remotes[0], nil
	}
	return "", nil
}

// mergeBase is the best common ancestor of the checkout and a commit; "" where this clone knows none.
func (g Git) mergeBase(ctx context.Context, op, dir, commit string) (string, error) {
	out, err := g.run(ctx, op, dir, "merge-base", "HEAD", commit)
	if absent(err) {
		return "", nil
	}
	return strings.TrimSpace(out), err
}

// Parent reads the commit itself: of a shallow clone's last commit, git's own log says that it has no parents.
func (g Git) Parent(ctx context.Context, dir string) (string, error) {
	const op = "find the commit before"
	out, err := g.run(ctx, op, dir, "cat-file", "commit", "HEAD")
	if err != nil {
		return "", err
	}
	headers, _, _ := strings.Cut(out, "\n\n")
	for _, line := range strings.Split(headers, "\n") {
		if parent, ok := strings.CutPrefix(line, "parent "); ok {
			return parent, nil
		}
	}
	return "", nil
}

// Changes compares two commits. A rename is a path that is gone and one that is new: both count.
func (g Git) Changes(ctx context.Context, dir, base string) ([]build.Change, error) {
	op := "list what changed since " + base
	if base == "" {
		op = "list the files of the first commit"
		out, err := g.run(ctx, op, dir, "ls-tree", "-r", "-z", "--full-tree", "HEAD")
		if err != nil {
			return nil, err
		}
		return listed(op, out)
	}
	out, err := g.run(ctx, op, dir, "diff-tree", "-r", "-z", "--raw", "--no-renames", "--end-of-options", base, "HEAD", "--")
	if err != nil {
		return nil, err
	}
	return differing(op, out)
}

// listed reads `mode type hash<tab>path` of git ls-tree.
func listed(op, out string) ([]build.Change, error) {
	var changes []build.Change
	for entry := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		meta, path, ok := strings.Cut(entry, "\t")
		if !ok {
			return nil, fault.New(fault.Internal, op, "git ls-tree answered %q", entry)
		}
		changes = append(changes, build.Change{Path: path, Folder: strings.HasPrefix(meta, submodule)})
	}
	return changes, nil
}

// differing reads `:mode mode hash hash status<nul>path` of git diff-tree.
func differing(op, out string) ([]build.Change, error) {
	if out == "" {
		return nil, nil
	}
	fields := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	if len(fields)%2 != 0 {
		return nil, fault.New(fault.Internal, op, "git diff-tree answered %.80q", out)
	}
	var changes []build.Change
	for i := 0; i < len(fields); i += 2 {
		modes := strings.Fields(strings.TrimPrefix(fields[i], ":"))
		if len(modes) < 5 {
			return nil, fault.New(fault.Internal, op, "git diff-tree answered %q", fields[i])
		}
		changes = append(changes, build.Change{Path: fields[i+1], Folder: modes[0] == submodule || modes[1] == submodule})
	}
	return changes, nil
}

// File returns a file as it was in a commit.
func (g Git) File(ctx context.Context, dir, commit, name string) ([]byte, error) {
	op := fmt.Sprintf("read %s as it was in %.10s", name, commit)
	if !regexp.MustCompile(`^[0-9a-f]{4,64}$`).MatchString(commit) {
		return nil, fault.New(fault.Usage, op, "%q is no commit", commit)
	}
	entry, err := g.run(ctx, op, dir, "ls-tree", "-z", "--full-tree", commit, "--", name)
	if err != nil {
		return nil, err
	}
	meta, _, _ := strings.Cut(entry, "\t")
	fields := strings.Fields(meta)
	if len(fields) != 3 || fields[1] != "blob" {
		return nil, fault.New(fault.NotFound, op, "it was not there")
	}
	out, err := g.run(ctx, op, dir, "cat-file", "blob", fields[2])
	return []byte(out), err
}
