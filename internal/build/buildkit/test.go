package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/sluice-dev/sluice/internal/build"
	"github.com/sluice-dev/sluice/internal/fault"
)

// errStageFailed is a step of the test stage itself that failed: in a stage without ENTRYPOINT the steps are the tests.
var errStageFailed = errors.New("a step of the test stage failed")

// Test builds the test stage, runs its ENTRYPOINT and takes the results out of the container, whatever its exit code.
//
// A stage that does not build is an error. So is a failing step of a stage without ENTRYPOINT, unless it is a step of that very stage:
// those are its tests; BuildKit keeps nothing of a step that failed, so there are no result files then.
func (b *Builder) Test(ctx context.Context, req build.Request, dir string) (build.Tested, error) {
	op := "build stage " + req.Image.TestTarget + " of " + req.Image.Dockerfile
	// Tests run where they can without emulation: on BuildKit's own platform.
	req.Image.Platforms = nil
	job, err := b.prepare(ctx, op, req)
	if err != nil {
		return build.Tested{}, err
	}
	defer job.close()
	run := &testRun{job: job, results: req.Image.TestResults, dir: dir}
	opt := job.options(req.Image.TestTarget)
	attributes := opt.FrontendAttrs
	opt.FrontendAttrs = nil
	statuses, wait := job.follow()
	_, err = job.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		return run.do(ctx, c, attributes)
	}, statuses)
	wait()
	switch {
	case errors.Is(run.failure, errStageFailed) && ctx.Err() == nil:
		name, tail := job.steps.find(failedVertex(run.failure))
		return build.Tested{Reason: "step " + name, Output: tail}, nil
	case fault.Is(run.failure, fault.Usage) && ctx.Err() == nil:
		return build.Tested{}, run.failure
	case run.failure != nil:
		return build.Tested{}, job.failure(ctx, run.failure)
	case err != nil:
		return build.Tested{}, job.failure(ctx, err)
	}
	return run.tested, nil
}

// testRun is one run of a test stage.
type testRun struct {
	job          *job
	results, dir string
	tested       build.Tested
	// failure is kept here because BuildKit's client hands on only the text of an error that a function returns.
	failure error
}

func (t *testRun) do(ctx context.Context, c gateway.Client, attributes map[string]string) (*gateway.Result, error) {
	result, err := c.Solve(ctx, gateway.SolveRequest{Evaluate: true, Frontend: frontend, FrontendOpt: attributes, CacheImports: t.cacheImports()})
	if err != nil {
		t.failure = t.stageFailure(err)
		return nil, err
	}
	if t.failure = t.test(ctx, c, result); t.failure != nil {
		return nil, t.failure
	}
	return gateway.NewResult(), nil
}

func (t *testRun) cacheImports() []gateway.CacheOptionsEntry {
	var entries []gateway.CacheOptionsEntry
	for _, e := range t.job.cacheFrom {
		entries = append(entries, gateway.CacheOptionsEntry{Type: e.Type, Attrs: e.Attrs})
	}
	return entries
}

// stageFailure marks the failure of a step that belongs to the test stage itself.
func (t *testRun) stageFailure(err error) error {
	var solve *errdefs.SolveError
	name, _ := t.job.steps.find(failedVertex(err))
	// Where there is but one stage, BuildKit leaves its name out: "[2/3] RUN …".
	own := regexp.MustCompile(`(?i)^\[(` + regexp.QuoteMeta(t.job.req.Image.TestTarget) + ` )?[0-9]+/[0-9]+\] RUN `)
	if errors.As(err, &solve) && own.MatchString(name) {
		return errors.Join(errStageFailed, err)
	}
	return err
}

func (t *testRun) test(ctx context.Context, c gateway.Client, result *gateway.Result) error {
	stage, err := result.SingleRef()
	if err != nil {
		return err
	}
	var image ocispecs.Image
	if err := json.Unmarshal(result.Metadata[exptypes.ExporterImageConfigKey], &image); err != nil {
		return fmt.Errorf("read the configuration of the stage: %w", err)
	}
	if stage == nil {
		return fault.New(fault.Usage, t.job.op, "the stage %s is empty", t.job.req.Image.TestTarget)
	}
	container, err := c.NewContainer(ctx, gateway.NewContainerRequest{Mounts: []gateway.Mount{{Dest: "/", Ref: stage}}})
	if err != nil {
		return err
	}
	defer func() { _ = container.Release(context.WithoutCancel(ctx)) }()
	t.tested.Passed = true
	if len(image.Config.Entrypoint) > 0 {
		if err := t.run(ctx, container, image.Config); err != nil {
			return err
		}
	}
	if t.results == "" {
		return nil
	}
	caps := c.BuildOpts().Caps
	if err := caps.Supports(gatewaypb.CapGatewayExecFilesystem); err != nil {
		return fault.New(fault.Usage, t.job.op, "%s is too old to hand out the results in %s", t.job.at, t.results).
			WithHint("use a newer one (0.32 does), or take testResults: out and let the exit code judge")
	}
	t.tested.Collected = true
	return t.collect(ctx, container, t.results, t.dir, &budget{files: maxResultFiles, bytes: maxResultBytes})
}

// run runs the stage's entry point as a container of it would.
func (t *testRun) run(ctx context.Context, container gateway.Container, config ocispecs.ImageConfig) error {
	stdout, stderr, output := t.job.steps.writers(t.job.req.Image.TestTarget + " tests")
	cwd := config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	process, err := container.Start(ctx, gateway.StartRequest{
		Args: append(append([]string{}, config.Entrypoint...), config.Cmd...),
		Env:  config.Env, User: config.User, Cwd: cwd, Stdout: stdout, Stderr: stderr,
	})
	if err != nil {
		return err
	}
	err = process.Wait()
	var exit *gatewaypb.ExitError
	tail := output.tail.String()
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case strings.HasPrefix(tail, "runc run failed: unable to start"):
		// The runtime's own exit code is that of a process that ran; its words tell them apart.
		return fault.New(fault.Usage, t.job.op, "its ENTRYPOINT %q does not start: %s", strings.Join(config.Entrypoint, " "), tail)
	case errors.As(err, &exit) && exit.ExitCode < gatewaypb.UnknownExitStatus:
		t.tested.Passed, t.tested.Reason, t.tested.Output = false, fmt.Sprintf("exit code %d", exit.ExitCode), tail
	default:
		return fmt.Errorf("start its ENTRYPOINT %q: %w", strings.Join(config.Entrypoint, " "), err)
	}
	return nil
}

// Bounds of what is taken out of a container. A file travels in one message, of which BuildKit's client takes 16 MiB.
const (
	maxResultFiles = 10_000
	maxResultBytes = 512 << 20
	maxResultFile  = 15 << 20
)

type budget struct {
	files int
	bytes int64
}

// collect copies a folder out of the container. A folder that is not there has no files; what is neither file nor folder stays.
func (t *testRun) collect(ctx context.Context, container gateway.Container, from, to string, left *budget) error {
	entries, err := container.ReadDir(ctx, gateway.ReadDirContainerRequest{ReadDirRequest: gateway.ReadDirRequest{Path: from}})
	if err != nil {
		if from == t.results && strings.Contains(err.Error(), "no such file or directory") {
			return nil
		}
		return fmt.Errorf("list the results in %s: %w", from, err)
	}
	for _, entry := range entries {
		name := path.Base(entry.Path)
		source, target := path.Join(from, name), filepath.Join(to, name)
		mode := fs.FileMode(entry.Mode)
		if left.files--; left.files < 0 {
			return fault.New(fault.Usage, t.job.op, "%s holds more than %d files", t.results, maxResultFiles).WithHint("name a folder of results alone under testResults:")
		}
		switch {
		case mode.IsDir():
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			if err := t.collect(ctx, container, source, target, left); err != nil {
				return err
			}
		case mode.IsRegular():
			if left.bytes -= entry.Size; left.bytes < 0 {
				return fault.New(fault.Usage, t.job.op, "%s holds more than %d MiB", t.results, maxResultBytes>>20).WithHint("name a folder of results alone under testResults:")
			}
			if entry.Size > maxResultFile {
				t.job.req.Say(fmt.Sprintf("%s is left in the test stage: it is larger than %d MiB", source, maxResultFile>>20))
				continue
			}
			if err := fetch(ctx, container, source, target); err != nil {
				return fmt.Errorf("take %s out of the test stage: %w", source, err)
			}
		}
	}
	return nil
}

// fetch copies one file out of the container. BuildKit hands it out in one message, however much of it is asked for.
func fetch(ctx context.Context, container gateway.Container, source, target string) error {
	data, err := container.ReadFile(ctx, gateway.ReadContainerRequest{ReadRequest: gateway.ReadRequest{Filename: source}})
	if err != nil {
		return err
	}
	return os.WriteFile(target, data, 0o644)
}
