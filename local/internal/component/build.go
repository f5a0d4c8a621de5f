package component

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Progress is told how the builds go. Count is how many packages were compiled or modules fetched so far.
type Progress interface {
	Building(name string, number, of int)
	Advanced(count int)
	Built(name string, took time.Duration)
}

// Builder builds components into a cache folder, one after the other.
type Builder struct {
	// Cache is the folder of finished builds; it may be shared by several processes.
	Cache string
	// Go is the Go command. Its environment (proxy, checksum database, caches) is the user's own.
	Go string
	// Progress is told what happens; it must not be nil.
	Progress Progress
	// Clock tells the time that durations are taken from.
	Clock func() time.Time
}

// Programs says where each component's programs are: component name → folder.
type Programs map[string]string

// Path returns the file of one program.
func (p Programs) Path(component, program string) string { return filepath.Join(p[component], program) }

// ErrBuild is returned when go build itself refused; the text has its last lines.
var ErrBuild = errors.New("a component of the local node does not build")

// ErrNoGo is returned when the Go command does not answer.
var ErrNoGo = errors.New("no Go command")

// Ensure builds what the cache does not have and returns where everything is. An interrupted build leaves nothing in
// the cache under a final name.
func (b *Builder) Ensure(ctx context.Context, components []Component) (Programs, error) {
	programs, missing, err := b.plan(ctx, components)
	if err != nil {
		return nil, err
	}
	if len(missing) == 0 {
		return programs, nil
	}
	if err := os.MkdirAll(b.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder (choose another with --cache): %w", err)
	}
	unlock, err := lock(filepath.Join(b.Cache, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := b.sweep(); err != nil {
		return nil, err
	}
	for i, c := range missing {
		if c.complete(programs[c.Name]) {
			continue // Another process built it while this one waited for the lock.
		}
		b.Progress.Building(c.Name+" "+c.Version, i+1, len(missing))
		start := b.Clock()
		if err := b.build(ctx, c, programs[c.Name]); err != nil {
			return nil, fmt.Errorf("build %s: %w", c.Name, err)
		}
		b.Progress.Built(c.Name+" "+c.Version, b.Clock().Sub(start))
	}
	return programs, nil
}

// Missing lists what Ensure would build.
func (b *Builder) Missing(ctx context.Context, components []Component) ([]Component, error) {
	_, missing, err := b.plan(ctx, components)
	return missing, err
}

func (b *Builder) plan(ctx context.Context, components []Component) (Programs, []Component, error) {
	version, err := b.goVersion(ctx)
	if err != nil {
		return nil, nil, err
	}
	programs := Programs{}
	var missing []Component
	for _, c := range components {
		key, err := c.Key(version)
		if err != nil {
			return nil, nil, err
		}
		programs[c.Name] = filepath.Join(b.Cache, c.Name+"-"+key)
		if !c.complete(programs[c.Name]) {
			missing = append(missing, c)
		}
	}
	return programs, missing, nil
}

// sweep removes what builds left that were killed; the caller holds the lock.
func (b *Builder) sweep() error {
	left, err := filepath.Glob(filepath.Join(b.Cache, buildingPrefix+"*"))
	if err != nil {
		return err
	}
	for _, folder := range left {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("remove an unfinished build: %w", err)
		}
	}
	return nil
}

func (b *Builder) goVersion(ctx context.Context) (string, error) {
	command := exec.CommandContext(ctx, b.Go, "env", "GOVERSION", "GOOS", "GOARCH")
	// A go.mod of where the user stands may choose another Go than the one that builds.
	command.Dir, command.Env = os.TempDir(), append(os.Environ(), "GOWORK=off")
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s env: %w", ErrNoGo, b.Go, err)
	}
	return strings.Join(strings.Fields(string(out)), " "), nil
}

func (c Component) complete(folder string) bool {
	for _, program := range c.Programs {
		if _, err := os.Stat(filepath.Join(folder, program)); err != nil {
			return false
		}
	}
	return true
}

func (b *Builder) build(ctx context.Context, c Component, final string) error {
	work, err := os.MkdirTemp(b.Cache, buildingPrefix+c.Name+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	source, out := filepath.Join(work, "source"), filepath.Join(work, "out")
	if err := c.extract(source); err != nil {
		return fmt.Errorf("write its sources: %w", err)
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	args := []string{
		"build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags=" + c.Tags,
		"-ldflags=" + c.linkerFlags(), "-o", out + string(filepath.Separator), c.Package,
	}
	if err := b.goCommand(ctx, source, args, nil); err != nil {
		return err
	}
	for module, folder := range c.Data {
		if err := b.copyData(ctx, source, module, folder, out); err != nil {
			return err
		}
	}
	if !c.complete(out) {
		return fmt.Errorf("the build left out one of %s", strings.Join(c.Programs, ", "))
	}
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return os.Rename(out, final)
}

func (c Component) linkerFlags() string {
	flags := []string{"-s", "-w"}
	for _, variable := range c.Variables {
		flags = append(flags, "-X", variable)
	}
	return strings.Join(flags, " ")
}

// copyData copies one folder of YAML out of a module that the component requires.
func (b *Builder) copyData(ctx context.Context, source, module, folder, out string) error {
	var listed bytes.Buffer
	if err := b.goCommand(ctx, source, []string{"mod", "download", "-json", module}, &listed); err != nil {
		return fmt.Errorf("fetch module %s: %w", module, err)
	}
	var found struct{ Dir string }
	if err := json.Unmarshal(listed.Bytes(), &found); err != nil {
		return fmt.Errorf("find module %s: %w", module, err)
	}
	target := filepath.Join(out, filepath.Base(folder))
	if err := os.CopyFS(target, os.DirFS(filepath.Join(found.Dir, folder))); err != nil {
		return fmt.Errorf("copy %s of module %s: %w", folder, module, err)
	}
	return nil
}

// goCommand runs the Go command in a group of its own, so that an interrupt ends its compilers too.
func (b *Builder) goCommand(ctx context.Context, folder string, args []string, stdout io.Writer) error {
	command := exec.CommandContext(ctx, b.Go, args...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	lines := &lineCounter{progress: b.Progress}
	command.Stdout, command.Stderr = stdout, lines
	err := command.Run()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: go %s: %w\n%s", ErrBuild, args[0], err, lines.tail())
	}
	return nil
}

const (
	tailLines      = 15
	buildingPrefix = "building-"
)

// lineCounter counts the lines that go build -v writes and keeps the last of them.
type lineCounter struct {
	progress Progress
	count    atomic.Int64
	rest     []byte
	last     []string
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	scanner := bufio.NewScanner(bytes.NewReader(l.rest))
	scanner.Buffer(nil, 1<<20)
	complete := bytes.LastIndexByte(l.rest, '\n') + 1
	for consumed := 0; consumed < complete && scanner.Scan(); {
		consumed += len(scanner.Bytes()) + 1
		l.last = append(l.last, scanner.Text())
		l.progress.Advanced(int(l.count.Add(1)))
	}
	if len(l.last) > tailLines {
		l.last = append([]string(nil), l.last[len(l.last)-tailLines:]...)
	}
	l.rest = append([]byte(nil), l.rest[complete:]...)
	return len(p), nil
}

func (l *lineCounter) tail() string { return strings.Join(l.last, "\n") }

// lock waits for the exclusive right to write into the cache; the kernel gives it back if the process dies.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the cache: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	return func() { _ = file.Close() }, nil
}
