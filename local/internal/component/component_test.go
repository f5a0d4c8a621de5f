package component

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKeyChangesWithWhatIsBuiltAndWithNothingElse(t *testing.T) {
	base := All()[0]
	key := func(c Component, goVersion string) string {
		t.Helper()
		key, err := c.Key(goVersion)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	want := key(base, "go1.26.8")
	if again := key(base, "go1.26.8"); again != want {
		t.Errorf("same component, other key: %s and %s", want, again)
	}
	for what, other := range map[string]string{
		"Go version": key(base, "go1.26.9"),
		"tags":       key(Component{Name: base.Name, Package: base.Package, Programs: base.Programs, Tags: "x"}, "go1.26.8"),
		"sources":    key(Component{Name: "relay", Package: base.Package, Programs: base.Programs}, "go1.26.8"),
	} {
		if other == want {
			t.Errorf("key does not change with the %s", what)
		}
	}
	if _, err := (Component{Name: "nosuch"}).Key("go1.26.8"); err == nil {
		t.Error("a component without sources has a key")
	}
}

func TestEveryComponentHasSourcesThatExtract(t *testing.T) {
	for _, c := range All() {
		folder := t.TempDir()
		if err := c.extract(folder); err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		module, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err != nil || !strings.HasPrefix(string(module), "module github.com/sluice-dev/sluice/local/components/"+c.Name+"\n") {
			t.Errorf("%s: go.mod is %.60q, %v", c.Name, module, err)
		}
		if left, _ := filepath.Glob(filepath.Join(folder, "*"+embedSuffix)); len(left) > 0 {
			t.Errorf("%s: %v keep the suffix of embedding", c.Name, left)
		}
	}
}

// fakeGo is a script in the place of the Go command: it counts builds, and fails where the file "broken" lies beside it.
const fakeGo = `#!/bin/sh
here=$(dirname "$0")
if [ "$1" = env ]; then echo go1.26.8; echo linux; echo amd64; exit 0; fi
echo "example.org/package"  >&2
if [ -e "$here/broken" ]; then echo "main.go:1: no such thing" >&2; exit 1; fi
if [ -e "$here/slow" ]; then sleep 60; fi
while [ "$1" != -o ]; do shift; done
echo built >> "$here/builds"
echo program > "$2/prog"
`

type silent struct{ built []string }

func (*silent) Building(string, int, int)            {}
func (*silent) Advanced(int)                         {}
func (s *silent) Built(name string, _ time.Duration) { s.built = append(s.built, name) }

func newBuilder(t *testing.T) (*Builder, *silent, string) {
	t.Helper()
	tools := t.TempDir()
	path := filepath.Join(tools, "go")
	if err := os.WriteFile(path, []byte(fakeGo), 0o755); err != nil {
		t.Fatal(err)
	}
	progress := &silent{}
	return &Builder{Cache: filepath.Join(t.TempDir(), "cache"), Go: path, Progress: progress, Clock: time.Now}, progress, tools
}

func oneComponent() []Component {
	return []Component{{Name: "pause", Version: "1", Package: ".", Programs: []string{"prog"}}}
}

func TestEnsureBuildsOnce(t *testing.T) {
	builder, progress, _ := newBuilder(t)
	for round := range 2 {
		programs, err := builder.Ensure(context.Background(), oneComponent())
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if _, err := os.Stat(programs.Path("pause", "prog")); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
	}
	if len(progress.built) != 1 {
		t.Errorf("built %v, want one build", progress.built)
	}
}

func TestFailedBuildLeavesNothingAndSaysWhy(t *testing.T) {
	builder, _, tools := newBuilder(t)
	broken := filepath.Join(tools, "broken")
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := builder.Ensure(context.Background(), oneComponent())
	if !errors.Is(err, ErrBuild) || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("error %v, want ErrBuild with the compiler's words", err)
	}
	entries, err := os.ReadDir(builder.Cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != "lock" {
			t.Errorf("cache holds %s after a failed build", entry.Name())
		}
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	if _, err := builder.Ensure(context.Background(), oneComponent()); err != nil {
		t.Errorf("after the cause is gone: %v", err)
	}
}

func TestInterruptedBuildIsAnInterruptAndIsSweptLater(t *testing.T) {
	builder, _, tools := newBuilder(t)
	slow := filepath.Join(tools, "slow")
	if err := os.WriteFile(slow, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// What a process leaves that was killed outright.
	stale := filepath.Join(builder.Cache, buildingPrefix+"pause-old")
	if err := os.MkdirAll(stale, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	builder.Progress = &cancelOnProgress{cancel: cancel}
	_, err := builder.Ensure(ctx, oneComponent())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if left, _ := filepath.Glob(filepath.Join(builder.Cache, "pause-*")); len(left) > 0 {
		t.Errorf("an interrupted build left %v", left)
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an older unfinished build is still there: %v", err)
	}
}

// cancelOnProgress interrupts as soon as the compiler says its first word.
type cancelOnProgress struct {
	silent
	cancel context.CancelFunc
}

func (c *cancelOnProgress) Advanced(int) { c.cancel() }

func TestMissingGoCommandIsToldApart(t *testing.T) {
	builder := &Builder{Cache: t.TempDir(), Go: filepath.Join(t.TempDir(), "go"), Progress: &silent{}, Clock: time.Now}
	if _, err := builder.Ensure(context.Background(), oneComponent()); !errors.Is(err, ErrNoGo) {
		t.Errorf("error %v, want ErrNoGo", err)
	}
}

func TestLineCounterKeepsTheLastLinesAndTheRest(t *testing.T) {
	lines := &lineCounter{progress: &silent{}}
	for i := range 40 {
		if _, err := lines.Write([]byte(strings.Repeat("x", i%3) + "line\nhalf")); err != nil {
			t.Fatal(err)
		}
	}
	if got := lines.count.Load(); got != 40 {
		t.Errorf("%d lines counted, want 40", got)
	}
	if got := len(strings.Split(lines.tail(), "\n")); got != tailLines {
		t.Errorf("%d lines kept, want %d", got, tailLines)
	}
	if string(lines.rest) != "half" {
		t.Errorf("rest %q, want the line that is not complete", lines.rest)
	}
}
