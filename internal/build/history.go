package build

import "context"

// Change is a path that differs between two states of the sources. A rename is two of them.
type Change struct {
	// Path relative to the top of the work tree, with slashes.
	Path string
	// Folder says that the path stands for everything below it: a submodule, or a repository within the repository.
	Folder bool
	// Uncommitted says that the work tree differs from the commit that is checked out, by a file that is not under source control too.
	Uncommitted bool
}

// History reads how the sources came to be what they are. It touches no file and no branch; commits that a shallow clone lacks may be
// fetched from where it was cloned from. Where that fails the error says which command to run: fault.Unreachable where nobody answers,
// fault.Usage where there is nobody to ask, fault.NotFound where what was named does not exist.
type History interface {
	// Base finds the last commit that the checkout has in common with a branch, tag or commit. A branch in full (refs/heads/main) is the
	// remote's rather than the one of this clone; "" is the branch that the remote calls its main one.
	Base(ctx context.Context, dir, ref string) (string, error)
	// Parent is the first parent of the commit that is checked out; "" where it is the first commit.
	Parent(ctx context.Context, dir string) (string, error)
	// Changes lists what differs between a commit and the one that is checked out, in the order of the paths; everything where base is "".
	Changes(ctx context.Context, dir, base string) ([]Change, error)
	// File returns a file as it was in a commit; fault.NotFound where it was not there. The name is relative to the top of the work tree.
	File(ctx context.Context, dir, commit, name string) ([]byte, error)
}
