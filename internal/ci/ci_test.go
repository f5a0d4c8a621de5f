package ci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want System
	}{
		{nil, ""}, {map[string]string{"CI": "true"}, ""}, {map[string]string{"GITHUB_ACTIONS": "true"}, GitHub},
		{map[string]string{"GITHUB_ACTIONS": "false"}, ""}, {map[string]string{"TF_BUILD": "True"}, Azure},
	} {
		if got := Detect(func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }); got != c.want {
			t.Errorf("%v: %q, want %q", c.env, got, c.want)
		}
	}
}

func TestMaskCommands(t *testing.T) {
	const value = "-----BEGIN KEY-----\r\n100%\u00a0sure\n abc \n  second line  \nsecond line\n-----END KEY-----\n"
	for system, want := range map[System][]string{
		"":     nil,
		GitHub: {"::add-mask::100%25\u00a0sure", "::add-mask::second line"},
		Azure:  {"##vso[task.setsecret]100%AZP25\u00a0sure", "##vso[task.setsecret]second line"},
	} {
		if diff := cmp.Diff(want, system.Mask(value)); diff != "" {
			t.Errorf("%s: %s", system, diff)
		}
	}
	if got := GitHub.Mask("a\rb::c"); len(got) != 1 || strings.ContainsAny(got[0], "\r\n") {
		t.Errorf("a line end within a line: %q", got)
	}
}

func TestWhereASummaryGoes(t *testing.T) {
	env := map[string]string{"GITHUB_STEP_SUMMARY": "/tmp/step", "AGENT_TEMPDIRECTORY": "/agent/50%/_temp"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for system, want := range map[System]Summary{
		"":     {},
		GitHub: {Path: "/tmp/step"},
		Azure:  {Path: "/agent/50%/_temp/shop-prod-3.md", Command: "##vso[task.uploadsummary]/agent/50%AZP25/_temp/shop-prod-3.md"},
	} {
		if got := system.Summary(lookup, "shop-prod-3"); got != want {
			t.Errorf("%s: %+v", system, got)
		}
	}
	clear(env)
	for _, system := range []System{GitHub, Azure} {
		if got := system.Summary(lookup, "x"); got != (Summary{}) {
			t.Errorf("%s without its variables: %+v", system, got)
		}
	}
}

// process of a machine that is made of files.
type process struct {
	pid, parent int
	name        string
	out, err    string
}

func machine(t *testing.T, all ...process) processes {
	t.Helper()
	root := t.TempDir()
	for _, p := range all {
		dir := filepath.Join(root, strconv.Itoa(p.pid))
		if err := os.MkdirAll(filepath.Join(dir, "fd"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "status"), fmt.Appendf(nil, "Name:\t%s\nUmask:\t0022\nPPid:\t%d\n", p.name, p.parent), 0o644); err != nil {
			t.Fatal(err)
		}
		for fd, target := range map[string]string{"1": p.out, "2": p.err} {
			if err := os.Symlink(target, filepath.Join(dir, "fd", fd)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return processes{root}
}

func TestWhoReadsStandardError(t *testing.T) {
	worker := process{10, 1, "Runner.Worker", "/dev/null", "/dev/null"}
	bash := process{20, 10, "bash", "pipe:[1]", "pipe:[2]"}
	for _, c := range []struct {
		name string
		all  []process
		want bool
	}{
		{"a step", []process{worker, bash, {30, 20, "sluice", "pipe:[1]", "pipe:[2]"}}, true},
		{"its output in a pipe", []process{worker, bash, {30, 20, "sluice", "pipe:[9]", "pipe:[2]"}}, true},
		{"2>&1", []process{worker, bash, {30, 20, "sluice", "pipe:[1]", "pipe:[1]"}}, true},
		{"by make", []process{worker, bash, {25, 20, "make", "pipe:[1]", "pipe:[2]"}, {30, 25, "sluice", "pipe:[1]", "pipe:[2]"}}, true},
		{"2>log", []process{worker, bash, {30, 20, "sluice", "pipe:[1]", "/tmp/log"}}, false},
		{"2>&1 | tee log", []process{worker, bash, {30, 20, "sluice", "pipe:[9]", "pipe:[9]"}}, false},
		{"in a subshell | tee log", []process{worker, bash, {25, 20, "bash", "pipe:[9]", "pipe:[9]"}, {30, 25, "sluice", "pipe:[9]", "pipe:[9]"}}, false},
		{"Azure Pipelines", []process{{10, 1, "Agent.Worker", "", ""}, {15, 10, "node", "pipe:[7]", "pipe:[8]"}, {20, 15, "bash", "pipe:[1]", "pipe:[2]"}, {30, 20, "sluice", "pipe:[1]", "pipe:[2]"}}, true},
		{"a container", []process{{1, 0, "bash", "pipe:[1]", "pipe:[2]"}, {30, 1, "sluice", "pipe:[1]", "pipe:[2]"}}, true},
		{"a terminal", []process{bash, {30, 20, "sluice", "/dev/pts/1", "/dev/pts/1"}}, false},
		{"parents that cannot be seen", []process{{30, 20, "sluice", "pipe:[1]", "pipe:[2]"}}, false},
	} {
		all := c.all
		for i := range all {
			// A symbolic link needs a target.
			if all[i].out == "" {
				all[i].out, all[i].err = "/dev/null", "/dev/null"
			}
		}
		if got := machine(t, all...).direct("30", "2"); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// TestProcessesOfThisMachine runs a shell whose output this test reads: no CI system does.
func TestProcessesOfThisMachine(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc here")
	}
	name, parent, ok := processes{"/proc"}.status("self")
	if !ok || name == "" || parent != os.Getppid() {
		t.Errorf("this process is %q with the parent %d (%t), not %d", name, parent, ok, os.Getppid())
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	cmd := exec.Command("sleep", "60")
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if (processes{"/proc"}).direct(strconv.Itoa(cmd.Process.Pid), "2") {
		t.Error("a test is taken for a CI system")
	}
}
