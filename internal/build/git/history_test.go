package git_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/git"
	"github.com/sluice-dev/sluice/internal/fault"
)

// branched makes a repository whose main branch and whose branch work have gone ahead, work being checked out, and returns where they parted.
func branched(t *testing.T) (dir string, run func(args ...string) string, base string) {
	t.Helper()
	dir, run = repository(t)
	commits(t, dir, 5)
	base = run("rev-parse", "HEAD")
	run("checkout", "-q", "-b", "work")
	put(t, dir, "work.txt", "x")
	run("add", ".")
	run("commit", "-q", "-m", "work")
	commits(t, dir, 120)
	return dir, run, base
}

// commits adds empty commits to the branch main.
func commits(t *testing.T, dir string, n int) {
	t.Helper()
	var stream strings.Builder
	for i := range n {
		fmt.Fprintf(&stream, "commit refs/heads/main\ncommitter c <c@example.test> %d +0000\ndata 4\nmore\n", 1_800_000_000+i)
		if i == 0 {
			stream.WriteString("from refs/heads/main^0\n")
		}
		stream.WriteString("\n")
	}
	cmd := exec.CommandContext(t.Context(), "git", "-C", dir, "fast-import", "--quiet")
	cmd.Stdin = strings.NewReader(stream.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
}

// cloned clones a branch with some depth, 0 for all of it, as a CI system does: with a detached head.
func cloned(t *testing.T, from, branch string, depth int) (string, func(args ...string) string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "clone")
	args := []string{"clone", "-q", "--branch", branch}
	if depth > 0 {
		args = append(args, "--single-branch", "--no-tags", "--depth", fmt.Sprint(depth))
	}
	runIn(t, t.TempDir())(append(args, "file://"+from, dir)...)
	run := runIn(t, dir)
	run("checkout", "-q", "--detach")
	return dir, run
}

func TestBase(t *testing.T) {
	dir, run, base := branched(t)
	run("tag", "old", "main~120")
	for _, ref := range []string{"", "main", "refs/heads/main", "old", base, base[:12], "main~3"} {
		if got, err := (git.Git{}).Base(t.Context(), dir, ref); err != nil || got != base {
			t.Errorf("Base(%q) = %s, %v; want %s", ref, got, err, base)
		}
	}
	head := run("rev-parse", "HEAD")
	if got, err := (git.Git{}).Base(t.Context(), dir, "work"); err != nil || got != head {
		t.Errorf("the base with itself is %s, %v; want %s", got, err, head)
	}
}

func TestTheRemotesBranchGoesBeforeTheClones(t *testing.T) {
	dir, run, base := branched(t)
	run("symbolic-ref", "HEAD", "refs/heads/main") // what the remote calls its main branch
	clone, in := cloned(t, dir, "work", 0)
	in("branch", "-q", "main", "HEAD")
	for ref, want := range map[string]string{"": base, "refs/heads/main": base, "main": run("rev-parse", "work")} {
		if got, err := (git.Git{}).Base(t.Context(), clone, ref); err != nil || got != want {
			t.Errorf("Base(%q) = %s, %v; want %s", ref, got, err, want)
		}
	}
}

func TestAShallowCloneFetchesWhatItLacks(t *testing.T) {
	dir, run, base := branched(t)
	run("tag", "old", base)
	run("symbolic-ref", "HEAD", "refs/heads/main")
	for name, ref := range map[string]string{"the main branch": "", "a branch in full": "refs/heads/main", "a branch": "main", "a tag": "old", "a commit": base} {
		t.Run(name, func(t *testing.T) {
			clone, in := cloned(t, dir, "work", 1)
			var said []string
			got, err := git.Git{Log: func(line string) { said = append(said, line) }}.Base(t.Context(), clone, ref)
			if err != nil || got != base {
				t.Fatalf("got %s, %v; want %s", got, err, base)
			}
			if len(said) < 2 || !strings.Contains(said[0], "git fetch --depth=1 --no-tags origin") {
				t.Errorf("said %q", said)
			}
			changes, err := git.Git{}.Changes(t.Context(), clone, got)
			if diff := cmp.Diff([]build.Change{{Path: "work.txt"}}, changes); err != nil || diff != "" {
				t.Errorf("%v; changes (-want +got):\n%s", err, diff)
			}
			if c, err := (git.Git{}).Describe(t.Context(), clone); err != nil || !c.Shallow && !slices.Equal(c.Tags, []string{"old"}) {
				t.Errorf("complete without its tags: %+v, %v", c, err)
			}
			if in("status", "--porcelain") != "" || in("branch", "--show-current") != "" {
				t.Error("the work tree is another one than before")
			}
		})
	}
}

func TestAMergedPullRequestInAShallowClone(t *testing.T) {
	dir, run, _ := branched(t)
	run("checkout", "-q", "--detach", "main")
	run("merge", "-q", "--no-ff", "-m", "merge", "work")
	run("update-ref", "refs/pull/7/merge", "HEAD")
	run("checkout", "-q", "main")
	clone := t.TempDir()
	in := runIn(t, clone)
	in("init", "-q")
	in("remote", "add", "origin", "file://"+dir)
	in("fetch", "-q", "--no-tags", "--depth=1", "origin", "+refs/pull/7/merge:refs/remotes/pull/7/merge")
	in("checkout", "-q", "--detach", "refs/remotes/pull/7/merge")
	base, err := git.Git{}.Base(t.Context(), clone, "refs/heads/main")
	if want := run("rev-parse", "main"); err != nil || base != want {
		t.Fatalf("got %s, %v; want %s", base, err, want)
	}
	changes, err := git.Git{}.Changes(t.Context(), clone, base)
	if diff := cmp.Diff([]build.Change{{Path: "work.txt"}}, changes); err != nil || diff != "" {
		t.Errorf("%v; changes (-want +got):\n%s", err, diff)
	}
}

func TestParent(t *testing.T) {
	dir, run := repository(t)
	if parent, err := (git.Git{}).Parent(t.Context(), dir); err != nil || parent != "" {
		t.Errorf("the first commit has the parent %q, %v", parent, err)
	}
	first := run("rev-parse", "HEAD")
	run("commit", "-q", "--allow-empty", "-m", "parent no\n\nparent 0000")
	clone, _ := cloned(t, dir, "main", 1)
	for _, where := range []string{dir, clone} {
		parent, err := git.Git{}.Parent(t.Context(), where)
		if err != nil || parent != first {
			t.Errorf("the parent is %q, %v; want %s", parent, err, first)
		}
		if base, err := (git.Git{}).Base(t.Context(), where, parent); err != nil || base != first {
			t.Errorf("the base is %q, %v; want %s", base, err, first)
		}
	}
}

func TestChanges(t *testing.T) {
	dir, run := repository(t)
	put(t, dir, "gone.txt", strings.Repeat("the same text\n", 50))
	put(t, dir, "mode.sh", "x")
	put(t, dir, "was/folder.txt", "x")
	run("add", ".")
	run("commit", "-q", "-m", "second")
	base := run("rev-parse", "HEAD")
	run("checkout", "-q", "-b", "side")
	put(t, dir, "side.txt", "x")
	run("add", ".")
	run("commit", "-q", "-m", "side")
	run("checkout", "-q", "main")
	run("mv", "gone.txt", "sub/renamed.txt")
	run("rm", "-q", "-r", "was")
	put(t, dir, "was", "a file now")
	put(t, dir, "näm e\n\"x\".txt", "x")
	if err := os.Chmod(filepath.Join(dir, "mode.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	run("add", ".")
	run("commit", "-q", "-m", "third")
	run("merge", "-q", "--no-ff", "-m", "merge", "side")
	put(t, dir, "untracked.txt", "x")
	got, err := git.Git{}.Changes(t.Context(), filepath.Join(dir, "sub"), base)
	want := []build.Change{
		{Path: "gone.txt"}, {Path: "mode.sh"}, {Path: "näm e\n\"x\".txt"}, {Path: "side.txt"}, {Path: "sub/renamed.txt"}, {Path: "was"}, {Path: "was/folder.txt"},
	}
	slices.SortFunc(got, func(a, b build.Change) int { return strings.Compare(a.Path, b.Path) })
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v; (-want +got):\n%s", err, diff)
	}
	if got, err := (git.Git{}).Changes(t.Context(), dir, run("rev-parse", "HEAD")); err != nil || got != nil {
		t.Errorf("since the head: %v, %v", got, err)
	}
	all, err := git.Git{}.Changes(t.Context(), filepath.Join(dir, "sub"), "")
	if err != nil || len(all) != 7 || all[0].Path != "a.txt" {
		t.Errorf("everything: %v, %v", all, err)
	}
}

func TestASubmoduleStandsForWhatIsBelow(t *testing.T) {
	other, otherRun := repository(t)
	dir, run := repository(t)
	base := run("rev-parse", "HEAD")
	run("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "file://"+other, "libs/other")
	run("commit", "-q", "-m", "submodule")
	added := run("rev-parse", "HEAD")
	changes := func(base string) []build.Change {
		t.Helper()
		list, err := git.Git{}.Changes(t.Context(), dir, base)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if diff := cmp.Diff([]build.Change{{Path: ".gitmodules"}, {Path: "libs/other", Folder: true}}, changes(base)); diff != "" {
		t.Errorf("added (-want +got):\n%s", diff)
	}
	otherRun("commit", "-q", "--allow-empty", "-m", "more")
	inside := runIn(t, filepath.Join(dir, "libs/other"))
	inside("pull", "-q")
	c, err := git.Git{}.Describe(t.Context(), dir)
	if diff := cmp.Diff([]build.Change{{Path: "libs/other", Folder: true, Uncommitted: true}}, c.Uncommitted); err != nil || diff != "" {
		t.Errorf("%v; moved (-want +got):\n%s", err, diff)
	}
	run("commit", "-q", "-a", "-m", "moved")
	if diff := cmp.Diff([]build.Change{{Path: "libs/other", Folder: true}}, changes(added)); diff != "" {
		t.Errorf("committed (-want +got):\n%s", diff)
	}
}

func TestUncommittedPaths(t *testing.T) {
	dir, run := repository(t)
	put(t, dir, ".gitignore", "*.log\n")
	run("add", ".")
	run("commit", "-q", "-m", "ignore")
	put(t, dir, "a.txt", "edited")
	put(t, dir, "x.log", "ignored")
	put(t, dir, "new/deep/file.txt", "x")
	run("mv", "sub/b.txt", "sub/c.txt")
	put(t, dir, "nested/file", "x")
	runIn(t, filepath.Join(dir, "nested"))("init", "-q")
	c, err := git.Git{}.Describe(t.Context(), filepath.Join(dir, "sub"))
	var got []string
	for _, change := range c.Uncommitted {
		got = append(got, fmt.Sprint(change.Path, " ", change.Folder))
	}
	want := []string{"a.txt false", "nested true", "new/deep/file.txt false", "sub/b.txt false", "sub/c.txt false"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || c.Changed == "" {
		t.Errorf("%v, %q; (-want +got):\n%s", err, c.Changed, diff)
	}
}

func TestFile(t *testing.T) {
	dir, run := repository(t)
	first := run("rev-parse", "HEAD")
	put(t, dir, "sub/b.txt", "new\n\n")
	put(t, dir, "sub/[c]*.txt", "odd")
	run("add", ".")
	run("commit", "-q", "-m", "second")
	second := run("rev-parse", "HEAD")
	for _, c := range []struct{ commit, name, want string }{
		{first, "sub/b.txt", "two"}, {second, "sub/b.txt", "new\n\n"}, {second, "sub/[c]*.txt", "odd"},
	} {
		if got, err := (git.Git{}).File(t.Context(), filepath.Join(dir, "sub"), c.commit, c.name); err != nil || string(got) != c.want {
			t.Errorf("%s in %s is %q, %v; want %q", c.name, c.commit, got, err, c.want)
		}
	}
	for _, name := range []string{"nothing", "sub", "sub/*.txt"} {
		if _, err := (git.Git{}).File(t.Context(), dir, second, name); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (git.Git{}).File(t.Context(), dir, "--output=x", "a.txt"); !fault.Is(err, fault.Usage) {
		t.Errorf("an option as a commit: %v", err)
	}
}

func TestComplete(t *testing.T) {
	dir, run, _ := branched(t)
	run("tag", "v1.0.0", "main~3")
	run("symbolic-ref", "HEAD", "refs/heads/main")
	clone, _ := cloned(t, dir, "main", 1)
	for range 2 { // the second time there is nothing to do
		if err := (git.Git{}).Complete(t.Context(), clone); err != nil {
			t.Fatal(err)
		}
	}
	c, err := git.Git{}.Describe(t.Context(), clone)
	if err != nil || c.Shallow || !slices.Equal(c.Tags, []string{"v1.0.0"}) {
		t.Errorf("%+v, %v", c, err)
	}
	if n, err := (git.Git{}).Distances(t.Context(), clone, []string{"v1.0.0"}); n["v1.0.0"] != 3 || err != nil {
		t.Errorf("%v commits, %v", n, err)
	}
}

func TestBaseFails(t *testing.T) {
	dir, run, _ := branched(t)
	run("checkout", "-q", "--orphan", "unrelated")
	run("commit", "-q", "--allow-empty", "-m", "unrelated")
	run("checkout", "-q", "work")
	lonely, in := cloned(t, dir, "work", 1)
	in("remote", "remove", "origin")
	gone, in := cloned(t, dir, "work", 1)
	in("remote", "set-head", "origin", "--delete")
	in("remote", "set-url", "origin", "file://"+filepath.Join(t.TempDir(), "gone"))
	shallow, _ := cloned(t, dir, "work", 1)
	zero := strings.Repeat("1", 40)
	for name, c := range map[string]struct {
		dir, ref      string
		kind          fault.Kind
		message, hint string
	}{
		"unknown":                  {dir, "nothing", fault.Usage, "no remote", "--base"},
		"unknown, no remote":       {lonely, "main", fault.Usage, "no remote", "git fetch origin"},
		"the main branch":          {lonely, "", fault.Usage, "no remote", "git fetch origin"},
		"the remote is gone":       {gone, "main", fault.Unreachable, "git fetch", "git fetch --depth=1 --no-tags origin +refs/heads/main:refs/remotes/origin/main"},
		"gone, the main branch":    {gone, "", fault.Unreachable, "git ls-remote", "--base"},
		"unknown to the remote":    {shallow, "nothing", fault.NotFound, "nothing", "--base"},
		"a commit nobody knows":    {shallow, zero, fault.NotFound, zero, "--base"},
		"no common commit":         {dir, "unrelated", fault.Usage, "no commit in common", "--base"},
		"no common commit, cloned": {shallow, "unrelated", fault.Usage, "no commit in common", "--base"},
		"an option":                {dir, "--all", fault.Usage, "is no branch", ""},
		"two lines":                {dir, "a\nb", fault.Usage, "is no branch", ""},
		"an odd name":              {shallow, "a..b", fault.NotFound, "a..b", "--base"},
		"a question":               {shallow, "what is*this?", fault.NotFound, "what is*this?", "--base"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := git.Git{}.Base(t.Context(), c.dir, c.ref)
			if !fault.Is(err, c.kind) || !strings.Contains(fmt.Sprint(err), c.message) || !strings.Contains(fault.HintOf(err), c.hint) {
				t.Errorf("got %q, %v of kind %v, hint %q", got, err, fault.KindOf(err), fault.HintOf(err))
			}
		})
	}
}
