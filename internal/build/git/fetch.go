package git

import (
	"context"
	"errors"
	"strings"

	"github.com/sluice-dev/sluice/internal/fault"
)

// steps are how far a shallow clone is deepened, one after the other, until what is looked for is there.
func steps() []string { return []string{"--deepen=50", "--deepen=500", "--unshallow"} }

// Complete fetches all commits and tags where the clone is shallow.
func (g Git) Complete(ctx context.Context, dir string) error {
	const op = "complete the shallow clone"
	shallow, err := g.shallow(ctx, op, dir)
	if err != nil || !shallow {
		return err
	}
	remote, err := g.source(ctx, op, dir)
	if err != nil {
		return err
	}
	return g.fetch(ctx, op, dir, "--unshallow", "--tags", remote)
}

// obtain fetches what ref names, and returns its commit. Of a shallow clone only the commit itself is fetched.
func (g Git) obtain(ctx context.Context, op, dir, ref string) (string, error) {
	remote, err := g.source(ctx, op, dir)
	if err != nil {
		return "", err
	}
	if ref == "" {
		if ref, err = g.mainBranch(ctx, op, dir, remote); err != nil {
			return "", err
		}
	}
	args := []string{"--no-tags", remote}
	shallow, err := g.shallow(ctx, op, dir)
	if err != nil {
		return "", err
	}
	if shallow {
		args = append([]string{"--depth=1"}, args...)
	}
	for _, refspec := range refspecs(remote, ref) {
		err = g.fetch(ctx, op, dir, append(args, refspec)...)
		if !fault.Is(err, fault.NotFound) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	return g.find(ctx, op, dir, ref)
}

// refspecs are what may be fetched for a ref, the best first: a commit itself, a branch, a tag.
func refspecs(remote, ref string) []string {
	if isCommit(ref) {
		return []string{ref}
	}
	branch, named := strings.CutPrefix(ref, branches)
	list := []string{"+" + branches + branch + ":refs/remotes/" + remote + "/" + branch}
	if !named {
		list = append(list, "+refs/tags/"+ref+":refs/tags/"+ref)
	}
	return list
}

// mainBranch asks the remote for the branch that its HEAD stands for.
func (g Git) mainBranch(ctx context.Context, op, dir, remote string) (string, error) {
	out, err := g.run(ctx, op, dir, "ls-remote", "--symref", remote, "HEAD")
	if err != nil {
		return "", reclassified(fault.Unreachable, err).WithHint("name a commit or branch with --base")
	}
	for _, line := range strings.Split(out, "\n") {
		target, name, _ := strings.Cut(line, "\t")
		if ref, ok := strings.CutPrefix(target, "ref: "); ok && name == "HEAD" {
			return ref, nil
		}
	}
	return "", fault.New(fault.NotFound, op, "%s does not say which branch is its main one", remote).WithHint("name a commit or branch with --base")
}

// deepen fetches more and more of the history until the checkout and the commit meet.
func (g Git) deepen(ctx context.Context, op, dir, commit string) (string, error) {
	for _, step := range steps() {
		shallow, err := g.shallow(ctx, op, dir)
		if err != nil {
			return "", err
		}
		if !shallow {
			break
		}
		remote, err := g.source(ctx, op, dir)
		if err != nil {
			return "", err
		}
		if err := g.fetchHistory(ctx, op, dir, step, remote, commit); err != nil {
			return "", err
		}
		base, err := g.mergeBase(ctx, op, dir, commit)
		if err != nil || base != "" {
			return base, err
		}
	}
	return "", fault.New(fault.Usage, op, "they have no commit in common").WithHint("name another commit or branch with --base")
}

// fetchHistory deepens the history of the checkout and of a commit. A server that gives no single commits, or does not know the one that
// is checked out, is asked for its branches.
func (g Git) fetchHistory(ctx context.Context, op, dir, step, remote, commit string) error {
	head, err := g.run(ctx, op, dir, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	err = g.fetch(ctx, op, dir, "--no-tags", step, remote, strings.TrimSpace(head), commit)
	if fault.Is(err, fault.NotFound) {
		err = g.fetch(ctx, op, dir, "--no-tags", step, remote)
	}
	if err != nil {
		return err
	}
	if shallow, err := g.shallow(ctx, op, dir); err != nil || shallow {
		return err
	}
	// Nobody would notice any more that the tags are missing, and derive a version from none.
	return g.fetch(ctx, op, dir, "--tags", remote)
}

func (g Git) shallow(ctx context.Context, op, dir string) (bool, error) {
	out, err := g.run(ctx, op, dir, "rev-parse", "--is-shallow-repository")
	return strings.TrimSpace(out) == "true", err
}

// source is the remote that is fetched from; none is an error.
func (g Git) source(ctx context.Context, op, dir string) (string, error) {
	g.Learn(ctx, dir)
	remote, err := g.remote(ctx, op, dir)
	if err == nil && remote == "" {
		return "", fault.New(fault.Usage, op, "this clone does not have it, and no remote to fetch it from").
			WithHint("name a commit or branch of this clone with --base, or fetch it: `git remote add origin URL && git fetch origin`")
	}
	return remote, err
}

// fetch runs git fetch. It touches no branch and no file of the work tree.
func (g Git) fetch(ctx context.Context, op, dir string, args ...string) error {
	command := "git fetch " + strings.Join(args, " ")
	if g.Log != nil {
		g.Log("fetching commits that this clone lacks: " + command)
	}
	_, err := g.run(ctx, op, dir, append([]string{"fetch", "--quiet", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules"}, args...)...)
	switch {
	case err == nil, fault.Is(err, fault.Interrupted):
		return err
	case strings.Contains(err.Error(), "couldn't find remote ref"), strings.Contains(err.Error(), "not our ref"),
		strings.Contains(err.Error(), "unadvertised object"), strings.Contains(err.Error(), "invalid refspec"):
		return reclassified(fault.NotFound, err).WithHint("name another commit or branch with --base")
	}
	return reclassified(fault.Unreachable, err).
		WithHint("run `%s`, or let the CI system clone it whole: `fetch-depth: 0` of actions/checkout, `fetchDepth: 0` of Azure Pipelines", command)
}

// reclassified is an error of run whose kind the caller knows better.
func reclassified(kind fault.Kind, err error) *fault.Error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return &fault.Error{Kind: kind, Err: err}
	}
	return &fault.Error{Op: f.Op, Kind: kind, Err: f.Err, Hint: f.Hint}
}
