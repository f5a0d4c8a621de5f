package git_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-dev/sluice/internal/build/git"
)

// TestNames wants the branch that is checked out, and on a detached head the word of the CI system that checked it out.
func TestNames(t *testing.T) {
	dir, run := repository(t)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	payload := func(text string) string {
		path := filepath.Join(t.TempDir(), "event.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	zero := strings.Repeat("0", 40)
	actions := []string{"GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + filepath.Dir(dir)}
	azure := []string{"TF_BUILD=True", "BUILD_SOURCESDIRECTORY=" + dir}
	with := func(list []string, more ...string) []string { return append(append([]string{}, list...), more...) }
	type want struct {
		ref, into, before string
		pullRequest       bool
	}
	for name, c := range map[string]struct {
		branch  string
		environ []string
		want    want
	}{
		"a branch":                      {"main", nil, want{ref: "refs/heads/main"}},
		"no branch":                     {"", nil, want{}},
		"GitHub, a push":                {"", with(actions, "GITHUB_REF=refs/heads/release/a/1.0.0", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH="+payload(`{"before":"abc"}`)), want{ref: "refs/heads/release/a/1.0.0", before: "abc"}},
		"GitHub, a branch":              {"main", with(actions, "GITHUB_REF=refs/heads/main", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH="+payload(`{"before":"abc"}`)), want{ref: "refs/heads/main", before: "abc"}},
		"GitHub, another branch":        {"main", with(actions, "GITHUB_REF=refs/heads/other", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH="+payload(`{"before":"abc"}`)), want{ref: "refs/heads/main"}},
		"GitHub, a new branch":          {"", with(actions, "GITHUB_REF=refs/heads/x", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH="+payload(`{"before":"`+zero+`"}`)), want{ref: "refs/heads/x"}},
		"GitHub, no event's file":       {"", with(actions, "GITHUB_REF=refs/heads/x", "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH="+filepath.Join(dir, "gone")), want{ref: "refs/heads/x"}},
		"GitHub, a tag":                 {"", with(actions, "GITHUB_REF=refs/tags/a/v1.0.0", "GITHUB_EVENT_NAME=push"), want{ref: "refs/tags/a/v1.0.0"}},
		"GitHub, a pull request":        {"", with(actions, "GITHUB_REF=refs/pull/7/merge", "GITHUB_EVENT_NAME=pull_request", "GITHUB_HEAD_REF=work", "GITHUB_BASE_REF=main"), want{ref: "refs/pull/7/merge", into: "refs/heads/main", pullRequest: true}},
		"GitHub, a merge queue":         {"", with(actions, "GITHUB_REF=refs/heads/gh-readonly-queue/main/pr-7", "GITHUB_EVENT_NAME=merge_group", "GITHUB_EVENT_PATH="+payload(`{"merge_group":{"base_ref":"refs/heads/main"}}`)), want{ref: "refs/heads/gh-readonly-queue/main/pr-7", into: "refs/heads/main", pullRequest: true}},
		"GitHub, elsewhere":             {"", []string{"GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + t.TempDir(), "GITHUB_REF=refs/heads/x", "GITHUB_BASE_REF=main"}, want{}},
		"GitHub, beside":                {"", []string{"GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + dir + "2", "GITHUB_REF=refs/heads/x"}, want{}},
		"GitHub, through a link":        {"", []string{"GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + link, "GITHUB_REF=refs/heads/x"}, want{ref: "refs/heads/x"}},
		"GitHub, not told where":        {"", []string{"GITHUB_ACTIONS=true", "GITHUB_REF=refs/heads/x"}, want{ref: "refs/heads/x"}},
		"only a variable":               {"", []string{"GITHUB_REF=refs/heads/x"}, want{}},
		"Azure, a push":                 {"", with(azure, "BUILD_SOURCEBRANCH=refs/heads/release/a/1.0.0"), want{ref: "refs/heads/release/a/1.0.0"}},
		"Azure, a pull request":         {"", with(azure, "BUILD_SOURCEBRANCH=refs/pull/7/merge", "SYSTEM_PULLREQUEST_TARGETBRANCH=refs/heads/main"), want{ref: "refs/pull/7/merge", into: "refs/heads/main", pullRequest: true}},
		"Azure, a pull request, GitHub": {"", with(azure, "BUILD_SOURCEBRANCH=refs/pull/7/merge", "SYSTEM_PULLREQUEST_TARGETBRANCH=main"), want{ref: "refs/pull/7/merge", into: "refs/heads/main", pullRequest: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.branch == "" {
				run("checkout", "-q", "--detach", "main")
			} else {
				run("checkout", "-q", c.branch)
			}
			got, err := git.Git{Environ: append([]string{"PATH=" + os.Getenv("PATH")}, c.environ...)}.Describe(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			if (want{got.Ref, got.Into, got.Before, got.PullRequest}) != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
	broken := git.Git{Environ: append([]string{"PATH=" + os.Getenv("PATH"), "GITHUB_EVENT_NAME=push", "GITHUB_EVENT_PATH=" + payload(`{`)}, actions...)}
	if _, err := broken.Describe(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "GITHUB_EVENT_PATH") {
		t.Errorf("an event that cannot be read: %v", err)
	}
}

func TestWithoutGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := (git.Git{}).Base(t.Context(), ".", "main"); err == nil || !strings.Contains(err.Error(), "the program git is not installed") {
		t.Errorf("%v", err)
	}
}
