// Package script is the build.Builder that runs a command of the project's own; it must not push, though the command may.
//
// The command runs in the project's folder, with the variables of environ beside those of the process, and leaves one of two things: an
// OCI image layout with one entry in $SLUICE_OUTPUT; or, as the last line of its standard output, the reference of an image that it
// pushed. A reference is resolved to its digest in the registry that holds it, so that a release never names an image that is not there.
package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/variables"
)

var _ build.Builder = (*Builder)(nil)

// grace is what the command and its children get to end after an interrupt.
const grace = 5 * time.Second

// Options of the builder.
type Options struct {
	// Resolve asks the registry for the digest that a reference names, sha256:…; for one by digest it makes sure that it is there.
	// It must be set where scripts print references.
	Resolve func(ctx context.Context, reference string) (string, error)
	// Environ is the environment that commands inherit. Default: that of the process.
	Environ []string
	// Secrets are taken out of what commands print. Default: none is known.
	Secrets *variables.Masker
}

// Builder builds images by commands. It is safe for concurrent use as far as the commands are.
type Builder struct{ o Options }

// New makes a builder.
func New(o Options) *Builder {
	if o.Secrets == nil {
		o.Secrets = &variables.Masker{}
	}
	return &Builder{o: o}
}

// Build runs the command once.
func (b *Builder) Build(ctx context.Context, req build.Request, dir string) (build.Image, error) {
	if req.Image.Script == nil || len(req.Image.Script.Run) == 0 {
		return build.Image{}, fault.New(fault.Usage, "run the script of image "+req.Name, "it names no command")
	}
	op := "run " + req.Image.Script.Run[0]
	output, err := filepath.Abs(filepath.Join(dir, req.Name))
	if err != nil {
		return build.Image{}, fault.Wrap(fault.Internal, op, err)
	}
	if err := os.Mkdir(output, 0o755); err != nil {
		return build.Image{}, fault.Wrap(fault.Internal, op, err)
	}
	last, err := b.run(ctx, op, req, output)
	if err != nil {
		return build.Image{}, err
	}
	left, err := os.ReadDir(output)
	if err != nil {
		return build.Image{}, fault.Wrap(fault.Internal, op, err)
	}
	if len(left) > 0 {
		digest, err := only(output)
		if err != nil {
			return build.Image{}, fault.New(fault.Usage, op, "what it left in $SLUICE_OUTPUT is no OCI image layout of one image: %w", err).
				WithHint("write index.json with one entry, oci-layout and blobs/ there, or leave the folder empty and print a reference")
		}
		return build.Image{Layout: output, Digest: digest}, nil
	}
	return b.reference(ctx, op, last)
}

// run runs the command and returns the last line of its standard output.
func (b *Builder) run(ctx context.Context, op string, req build.Request, output string) (string, error) {
	command := req.Image.Script.Run
	program := command[0]
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(req.Dir, filepath.FromSlash(program))
	}
	program, err := exec.LookPath(program)
	if err == nil {
		program, err = filepath.Abs(program)
	}
	if err != nil {
		hint := "is it installed where the build runs?"
		if errors.Is(err, fs.ErrPermission) {
			hint = "make it executable: chmod +x " + command[0]
		}
		return "", fault.New(fault.Usage, op, "%w", err).WithHint("%s", hint)
	}
	cmd := exec.CommandContext(ctx, program, command[1:]...)
	cmd.Dir = req.Dir
	cmd.Env = environ(b.o.Environ, req, output)
	// A group of its own: an interrupt must reach what the command started, too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = grace
	said := &transcript{say: req.Say, secrets: b.o.Secrets}
	stdout := &lines{to: said, keep: true}
	stderr := &lines{to: said}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Run()
	stdout.end()
	stderr.end()
	if cmd.Process != nil {
		// Whatever it left running belongs to this build, and ends with it.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	switch {
	case ctx.Err() != nil:
		return "", fault.Wrap(fault.Interrupted, op, ctx.Err())
	case err != nil:
		return "", fault.New(fault.Usage, op, "%w%s", err, said.told())
	}
	return stdout.last, nil
}

// environ is the environment of the command: the process's, the script's own, and what it is asked for.
func environ(inherited []string, req build.Request, output string) []string {
	if inherited == nil {
		inherited = os.Environ()
	}
	all := append([]string{}, inherited...)
	for name, value := range req.Image.Script.Env {
		all = append(all, name+"="+value)
	}
	return append(all,
		"SLUICE_SERVICE="+req.Service, "SLUICE_IMAGE="+req.Name, "SLUICE_VERSION="+req.Version, "SLUICE_COMMIT="+req.Commit,
		"SLUICE_PLATFORMS="+strings.Join(req.Image.Platforms, ","), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", req.Epoch().Unix()), "SLUICE_OUTPUT="+output)
}

// reference pins the reference that the command printed.
func (b *Builder) reference(ctx context.Context, op, printed string) (build.Image, error) {
	const cure = "leave an OCI image layout in $SLUICE_OUTPUT, or print the reference of the pushed image as the last line"
	if printed == "" {
		return build.Image{}, fault.New(fault.Usage, op, "it ended well, but left no image: $SLUICE_OUTPUT is empty, and it printed nothing").WithHint(cure)
	}
	// Strict: a reference without host or tag would silently mean Docker Hub and latest.
	ref, err := name.ParseReference(printed, name.StrictValidation)
	if err != nil {
		return build.Image{}, fault.New(fault.Usage, op, "its last line %.200q is no image reference", b.o.Secrets.String(printed)).WithHint(cure)
	}
	if tag, ok := ref.(name.Tag); ok && tag.TagStr() == "latest" {
		return build.Image{}, fault.New(fault.Usage, op, "it pushed %s: the tag latest names something else tomorrow", printed).
			WithHint("tag it with $SLUICE_VERSION (with _ for +), or print its digest")
	}
	if b.o.Resolve == nil {
		return build.Image{}, fault.New(fault.Internal, op, "nothing resolves %s", printed)
	}
	digest, err := b.o.Resolve(ctx, printed)
	if fault.Is(err, fault.NotFound) {
		return build.Image{}, fault.New(fault.Usage, op, "it printed %s, but the registry holds no such image", printed).WithHint("push it before its reference is printed")
	}
	if err != nil {
		return build.Image{}, &fault.Error{Op: op + ": resolve " + printed, Kind: fault.KindOf(err), Err: err, Hint: fault.HintOf(err)}
	}
	if wanted, ok := ref.(name.Digest); ok && wanted.DigestStr() != digest {
		return build.Image{}, fault.New(fault.Fatal, op, "the registry answers %s with %s", printed, digest)
	}
	return build.Image{Reference: ref.Context().Name() + "@" + digest, Digest: digest}, nil
}
