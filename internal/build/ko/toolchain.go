package ko

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

// grace is what the toolchain gets to end after an interrupt.
const grace = 5 * time.Second

// toolchain runs the go program for one package, in its folder, so that the module's own go.mod (and go.work) decide.
type toolchain struct {
	op, program, dir string
	environ          []string
}

func (b *Builder) toolchain(op, dir string) (toolchain, error) {
	program, err := exec.LookPath("go")
	if err != nil {
		return toolchain{}, fault.New(fault.Usage, op, "the program go is not installed").WithHint("install Go from https://go.dev/dl")
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return toolchain{}, fault.New(fault.Usage, op, "there is no folder %s", dir).WithHint("name the folder of the main package under ko:, relative to sluice.yaml")
	case err != nil:
		return toolchain{}, fault.Wrap(fault.Usage, op, err)
	case !info.IsDir():
		return toolchain{}, fault.New(fault.Usage, op, "%s is a file", dir).WithHint("name the folder of the main package, not a file in it")
	}
	environ := b.o.Environ
	if environ == nil {
		environ = os.Environ()
	}
	return toolchain{op: op, program: program, dir: dir, environ: environ}, nil
}

// checkMain says what the folder is where it is no main package.
func (t toolchain) checkMain(ctx context.Context) error {
	out, err := t.run(ctx, v1.Platform{OS: "linux", Architecture: "amd64"}, "list", "-e", "-find", "-json=Name,Error", ".")
	if err != nil {
		return err
	}
	var found struct {
		Name  string
		Error *struct{ Err string }
	}
	if err := json.Unmarshal(out, &found); err != nil {
		return fault.New(fault.Internal, t.op, "read what `go list` says: %w", err)
	}
	switch {
	case found.Name == "main":
		return nil
	case found.Name != "":
		return fault.New(fault.Usage, t.op, "%s holds package %s, no main package", t.dir, found.Name).
			WithHint("name the folder whose Go files say `package main` under ko:")
	case found.Error != nil:
		return fault.New(fault.Usage, t.op, "%s", found.Error.Err).WithHint("name the folder whose Go files say `package main` under ko:")
	default:
		return fault.New(fault.Usage, t.op, "%s holds no Go files", t.dir).WithHint("name the folder whose Go files say `package main` under ko:")
	}
}

// compile builds the package into a static binary without anything of the machine in it.
func (t toolchain) compile(ctx context.Context, platform v1.Platform, binary string) error {
	_, err := t.run(ctx, platform, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", binary, ".")
	return err
}

// run runs go for a platform. What it says of a failure is the error: it names file and line.
func (t toolchain) run(ctx context.Context, platform v1.Platform, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, t.program, args...)
	// Asked to end, it takes its temporary files along; what does not end then is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	cmd.Dir = t.dir
	cmd.Env = platformEnviron(t.environ, platform)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return nil, fault.Wrap(fault.Interrupted, t.op, ctx.Err())
	}
	said := strings.TrimSpace(stderr.String())
	if said == "" {
		said = err.Error()
	}
	var end build.Tail
	end.Add(said)
	e := fault.New(fault.Usage, t.op, "go %s in %s failed for %s:\n%s", args[0], t.dir, platform, end.String())
	if strings.Contains(said, "go.mod file not found") || strings.Contains(said, "cannot find main module") {
		return nil, e.WithHint("run `go mod init` in the sources' folder")
	}
	return nil, e
}

// platformEnviron is the environment with the target set, and without what would make the result depend on the machine.
func platformEnviron(environ []string, platform v1.Platform) []string {
	set := map[string]string{
		"GOOS": platform.OS, "GOARCH": platform.Architecture, "CGO_ENABLED": "0",
		"GOAMD64": "v1", "GOARM64": "v8.0", "GOARM": "7", "GO386": "sse2",
	}
	switch {
	case platform.Variant == "":
	case platform.Architecture == "arm":
		set["GOARM"] = strings.TrimPrefix(platform.Variant, "v")
	case platform.Architecture == "amd64":
		set["GOAMD64"] = platform.Variant
	}
	out := slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		_, ok := set[name]
		return ok
	})
	for name, value := range set {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}
