package git_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/build/git"
	"github.com/sluice-dev/sluice/internal/fault"
)

const committed = "2026-01-02T03:04:05Z"

// repository makes one with a commit, and returns its folder and a function that runs git in it.
func repository(t *testing.T) (string, func(args ...string) string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	run := runIn(t, dir)
	run("init", "-q", "-b", "main")
	put(t, dir, "a.txt", "one")
	put(t, dir, "sub/b.txt", "two")
	run("add", ".")
	run("commit", "-q", "-m", "first")
	return dir, run
}

func runIn(t *testing.T, dir string) func(args ...string) string {
	t.Helper()
	return func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.test",
			"GIT_AUTHOR_DATE="+committed, "GIT_COMMITTER_DATE="+committed)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDescribeACleanCheckout(t *testing.T) {
	dir, run := repository(t)
	run("tag", "v1.0.0")
	run("commit", "-q", "--allow-empty", "-m", "second")
	run("tag", "-a", "calculator/v2.0.0", "-m", "annotated")
	run("checkout", "-q", "-b", "other", "v1.0.0")
	run("commit", "-q", "--allow-empty", "-m", "elsewhere")
	run("tag", "v9.9.9")
	run("checkout", "-q", "main")
	at, err := time.Parse(time.RFC3339, committed)
	if err != nil {
		t.Fatal(err)
	}
	want := build.Checkout{Commit: run("rev-parse", "HEAD"), Time: at, Ref: "refs/heads/main", Tags: []string{"calculator/v2.0.0", "v1.0.0"}}
	for _, want.Folder = range []string{"", "sub"} {
		where := filepath.Join(dir, want.Folder)
		got, err := git.Git{}.Describe(t.Context(), where)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", where, diff)
		}
	}
}

func TestDistances(t *testing.T) {
	dir, run := repository(t)
	run("tag", "v1.0.0")
	run("commit", "-q", "--allow-empty", "-m", "second")
	run("tag", "-a", "a/v1.0.0", "-m", "annotated")
	run("checkout", "-q", "-b", "side", "v1.0.0")
	for range 2 {
		run("commit", "-q", "--allow-empty", "-m", "side")
	}
	run("tag", "side/v1.0.0")
	run("checkout", "-q", "main")
	run("merge", "-q", "--no-ff", "-m", "merge", "side")
	run("tag", "head/v1.0.0")
	run("commit", "-q", "--allow-empty", "-m", "last")
	all := map[string]int{"": 6, "v1.0.0": 5, "a/v1.0.0": 4, "side/v1.0.0": 3, "head/v1.0.0": 1}
	// Few are counted by git, many in its graph: the same.
	for tag, want := range all {
		if got, err := (git.Git{}).Distances(t.Context(), dir, []string{tag}); err != nil || len(got) != 1 || got[tag] != want {
			t.Errorf("Distances(%q) = %v, %v; want %d", tag, got, err, want)
		}
	}
	got, err := git.Git{}.Distances(t.Context(), dir, slices.Collect(maps.Keys(all)))
	if diff := cmp.Diff(all, got); err != nil || diff != "" {
		t.Errorf("%v; all at once (-want +got):\n%s", err, diff)
	}
	for _, tags := range [][]string{{"v3.0.0"}, {"v3.0.0", "", "v1.0.0", "a/v1.0.0", "side/v1.0.0"}} {
		if _, err := (git.Git{}).Distances(t.Context(), dir, tags); !fault.Is(err, fault.Usage) {
			t.Errorf("an unknown tag among %q gave %v", tags, err)
		}
	}
}

func TestEveryChangeHasItsOwnHash(t *testing.T) {
	dir, run := repository(t)
	seen := map[string]string{"": "the commit"}
	state := func(name string) string {
		t.Helper()
		c, err := git.Git{}.Describe(t.Context(), filepath.Join(dir, "sub"))
		if err != nil {
			t.Fatal(err)
		}
		return c.Changed
	}
	distinct := func(name string) {
		t.Helper()
		got := state(name)
		if earlier, ok := seen[got]; ok {
			t.Errorf("%s has the same hash %q as %s", name, got, earlier)
		}
		seen[got] = name
	}
	if got := state("clean"); got != "" {
		t.Fatalf("a clean tree has the hash %q", got)
	}
	put(t, dir, "a.txt", "edited")
	distinct("an edited file")
	edited := state("again")
	run("add", "a.txt")
	if got := state("staged"); got != edited {
		t.Error("staging changed the hash, though no file changed")
	}
	put(t, dir, "a.txt", "edited again")
	distinct("a file edited again")
	put(t, dir, "sub/new with space.txt", "x")
	distinct("a new file")
	put(t, dir, "sub/new with space.txt", "y")
	distinct("a new file edited")
	if err := os.Remove(filepath.Join(dir, "sub/b.txt")); err != nil {
		t.Fatal(err)
	}
	distinct("a file removed")
	if err := os.Symlink("nowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	distinct("a link")
	put(t, dir, ".gitignore", "*.log\n")
	distinct("the ignore file")
	ignored := state("before the log")
	put(t, dir, "x.log", "noise")
	if got := state("ignored"); got != ignored {
		t.Error("an ignored file changed the hash")
	}
}

func TestDescribeAShallowClone(t *testing.T) {
	dir, run := repository(t)
	run("commit", "-q", "--allow-empty", "-m", "second")
	clone := filepath.Join(t.TempDir(), "clone")
	runIn(t, t.TempDir())("clone", "-q", "--depth", "1", "file://"+dir, clone)
	c, err := git.Git{}.Describe(t.Context(), clone)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Shallow {
		t.Error("the clone does not say that it is shallow")
	}
}

func TestDescribeFails(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	unborn := t.TempDir()
	runIn(t, unborn)("init", "-q")
	tests := map[string]struct {
		dir     string
		kind    fault.Kind
		message string
	}{
		"outside":   {t.TempDir(), fault.NotFound, "there is none"},
		"no commit": {unborn, fault.Usage, "no commit yet"},
		"no folder": {filepath.Join(unborn, "gone"), fault.Usage, "gone"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := git.Git{Environ: append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(tt.dir))}.Describe(t.Context(), tt.dir)
			if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("got %v of kind %v, want %v with %q", err, fault.KindOf(err), tt.kind, tt.message)
			}
		})
	}
}

func TestAHooksEnvironmentDoesNotMislead(t *testing.T) {
	dir, run := repository(t)
	other, _ := repository(t)
	environ := append(slices.Clone(os.Environ()), "GIT_DIR="+filepath.Join(other, ".git"), "GIT_INDEX_FILE=/nowhere", "LC_ALL=de_DE.UTF-8")
	run("commit", "-q", "--allow-empty", "-m", "only here")
	c, err := git.Git{Environ: environ}.Describe(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := run("rev-parse", "HEAD"); c.Commit != want || c.Changed != "" {
		t.Errorf("got commit %s, changed %q; want %s", c.Commit, c.Changed, want)
	}
}

func TestRemote(t *testing.T) {
	dir, run := repository(t)
	if got, err := (git.Git{}).Remote(t.Context(), dir); err != nil || got != "" {
		t.Errorf("without a remote it gave %q, %v", got, err)
	}
	run("remote", "add", "origin", "git@h.example:a/b.git")
	if got, err := (git.Git{}).Remote(t.Context(), dir); err != nil || got != "git@h.example:a/b.git" {
		t.Errorf("it gave %q, %v", got, err)
	}
}
