package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/local/internal/cluster"
	"github.com/sluice-dev/sluice/local/internal/component"
	"github.com/sluice-dev/sluice/local/internal/requirement"
)

func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, problems bytes.Buffer
	code = Run(t.Context(), args, &out, &problems)
	return code, out.String(), problems.String()
}

func TestUsageMistakes(t *testing.T) {
	state := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":    {[]string{"status", "--nope"}, "unknown flag: --nope"},
		"unknown command": {[]string{"restart"}, "restart"},
		"argument":        {[]string{"down", "now"}, `takes no arguments, got ["now"]`},
		"format":          {[]string{"status", "-o", "xml"}, "use text, json or yaml"},
		"network":         {[]string{"up", "--state", state, "--network", "x"}, "--network"},
		"check":           {[]string{"check", "--state", state, "--network", "x"}, "--network"},
		"settings":        {[]string{"up", "--state", "/", "--name", "X"}, `--name "X"`},
	} {
		code, _, stderr := run(t, test.args...)
		if code != exitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit %d, %q; want %d and %q", name, code, stderr, exitUsage, test.want)
		}
	}
}

func TestStatusWithoutANode(t *testing.T) {
	state := filepath.Join(t.TempDir(), "none")
	code, stdout, _ := run(t, "status", "--state", state, "-o", "json")
	var status cluster.Status
	if err := json.Unmarshal([]byte(stdout), &status); err != nil || code != exitDone {
		t.Fatalf("exit %d, %q, %v", code, stdout, err)
	}
	if status.Ready || status.State != state || status.APIVersion != "local.sluice.dev/v1alpha1" {
		t.Errorf("status %+v", status)
	}
	if _, stdout, _ = run(t, "status", "--state", state); !strings.Contains(stdout, "sluice local up") {
		t.Errorf("text %q, want the next step in it", stdout)
	}
	if _, stdout, _ = run(t, "status", "--state", state, "-o", "yaml"); !strings.Contains(stdout, "ready: false\n") {
		t.Errorf("YAML %q", stdout)
	}
	code, stdout, _ = run(t, "down", "--state", state, "-o", "json")
	if code != exitDone || !strings.Contains(stdout, `"found": false`) {
		t.Errorf("down: exit %d, %q", code, stdout)
	}
}

func TestEnvironmentIsADefaultOnly(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("SLUICE_LOCAL_STATE", filepath.Join(folder, "environment"))
	for args, want := range map[string]string{
		"":        filepath.Join(folder, "environment"),
		"--state": filepath.Join(folder, "flag"),
	} {
		full := []string{"status", "-o", "json"}
		if args != "" {
			full = append(full, args, want)
		}
		if _, stdout, _ := run(t, full...); !strings.Contains(stdout, fmt.Sprintf(`"state": %q`, want)) {
			t.Errorf("with %q: %s, want %s", args, stdout, want)
		}
	}
	t.Setenv("SLUICE_LOCAL_HTTP_PORT", "many")
	if code, _, stderr := run(t, "up"); code != exitUsage || !strings.Contains(stderr, "SLUICE_LOCAL_HTTP_PORT") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestExitCodes(t *testing.T) {
	for want, errs := range map[int][]error{
		exitDone:     {nil},
		exitInternal: {errors.New("x"), component.ErrBuild},
		exitUsage:    {errUsage, cluster.ErrSettings},
		exitMissing:  {requirement.ErrMissing, cluster.ErrForeign, component.ErrNoGo, fs.ErrPermission},
	} {
		for _, err := range errs {
			if err != nil {
				err = fmt.Errorf("somewhere: %w", err)
			}
			if got := exitCode(t.Context(), err); got != want {
				t.Errorf("%v: exit %d, want %d", err, got, want)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := exitCode(ctx, errors.New("signal: killed")); got != exitInterrupted {
		t.Errorf("after an interrupt: exit %d", got)
	}
}

func TestHelpNamesExitCodesAndExamples(t *testing.T) {
	for _, command := range []string{"check", "up", "down", "status"} {
		code, stdout, _ := run(t, command, "--help")
		if code != exitDone || !strings.Contains(stdout, "Exit codes: 0 done") || !strings.Contains(stdout, "Examples:\n  sluice-local "+command) {
			t.Errorf("%s: exit %d, %q", command, code, stdout)
		}
	}
}

func TestEveryProblemIsALineOfItsOwn(t *testing.T) {
	_, _, stderr := run(t, "up", "--state", "/", "--name", "X")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if len(lines) != 2 {
		t.Fatalf("lines %q, want two", lines)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "sluice-local: ") {
			t.Errorf("line %q does not say who speaks", line)
		}
	}
}

func TestReportOfALogHasOneLinePerChangeAndAHeartbeat(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var out bytes.Buffer
	r := &reporter{out: &out, clock: func() time.Time { return now }, since: now, spoken: now}
	r.Building("etcd v1", 1, 2)
	r.tick()
	now = now.Add(heartbeat)
	r.Advanced(7)
	r.tick()
	r.tick()
	r.Built("etcd v1", heartbeat)
	want := `2026-01-02T03:04:05Z build etcd v1 (1 of 2)
2026-01-02T03:04:35Z build etcd v1 (1 of 2) · 30s · 7 packages and modules
2026-01-02T03:04:35Z built etcd v1 in 30s
`
	if out.String() != want {
		t.Errorf("log:\n%swant:\n%s", out.String(), want)
	}
}

func TestTextOfABrokenNodeSaysWhatAndHow(t *testing.T) {
	var out bytes.Buffer
	err := printStatus(&out, "text", cluster.Status{
		Node: "box", Problems: []string{"etcd does not run"}, Processes: map[string]int{"etcd": 0, "relay": 7},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{"box is not running", "etcd -, relay 7", "problem: etcd does not run", "Repair it with: sluice local up"} {
		if !strings.Contains(out.String(), words) {
			t.Errorf("text:\n%swant %q in it", out.String(), words)
		}
	}
}
