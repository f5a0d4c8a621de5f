package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/gatetest"
	"github.com/sluice-dev/sluice/internal/plan"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/memory"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/traffic/traffictest"
	"github.com/sluice-dev/sluice/internal/variables"
)

const projectFile = `apiVersion: sluice.dev/v1alpha1
kind: Project
name: calculator
registry: localhost:5000/calculator
services:
  calculator: {chart: chart}
environments:
  dev:
    cluster: {context: nowhere}
    namespace: calculator-dev
    strategy: {direct: {}}
  prod:
    after: [dev]
    cluster: {context: nowhere}
    namespace: calculator-prod
    entry: http://calculator.example.com
    strategy: {blueGreen: {traffic: {nginx: {}}, keepOld: 10m}}
    gates: [{http: {path: /ping}}]
`

// world is a fake: a project's folder, and in-memory ports in place of clusters and a registry. Its clock is moved only by waiting.
type world struct {
	t        *testing.T
	dir      string
	now      time.Time
	clock    sync.Mutex
	releases map[string]*v1alpha1.Release
	store    *memory.Store
	locker   *memory.Locker
	releaser *deploytest.Fake
	router   *traffictest.Fake
	gate     gate.Gate
	// slept is called at every wait of the machine.
	slept    func()
	prepared int
	// back is what the last preparation was told.
	back bool
	// away is the environment whose cluster does not answer.
	away string
	// verify is asked before anything is touched. Default: nothing is required.
	verify func(project *v1alpha1.Project, release *v1alpha1.Release, environment string) ([]seal.Proof, error)
	// sealed is what builds report, broken why services cannot be built.
	sealed seal.Report
	broken map[string]error
	mu     sync.Mutex
	// versions of variables that releases get, and what is said of them.
	versions map[string]string
	notices  []string
	// damage is what is wrong with releases in the registry.
	damage string
	// variables is the store of every environment. Default: what the file says.
	variables variables.Store
	// environment of the process.
	environment map[string]string
	// ciReads says that a CI system reads standard error itself.
	ciReads bool
	// building is called before a build. Default: nothing happens.
	building func(say func(string)) error
	// real takes app in place of the fake.
	real bool
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, dir: t.TempDir(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), releases: map[string]*v1alpha1.Release{},
		gate: gatetest.NewScript(gatetest.Pass()), slept: func() {}, environment: map[string]string{},
	}
	w.store, w.locker = memory.New(nil), memory.NewLocker(w.time, nil)
	w.releaser, w.router = deploytest.NewFake(w.time), traffictest.NewFake(traffictest.Options{Now: w.time})
	w.write("chart/Chart.yaml", "apiVersion: v2\nname: calculator\nversion: 0.0.0\n")
	w.write("sluice.yaml", projectFile)
	return w
}

// time is what the world's clock shows. The heartbeat of a log looks at it while a rollout lets it pass.
func (w *world) time() time.Time {
	w.clock.Lock()
	defer w.clock.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.clock.Lock()
	defer w.clock.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// result of one command line.
type result struct {
	code           int
	stdout, stderr string
}

// run executes a command line.
func (w *world) run(args ...string) result { return w.runCtx(context.Background(), args...) }

func (w *world) runCtx(ctx context.Context, args ...string) result {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(ctx, Process{
		Args: args, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Dir: w.dir,
		LookupEnv: func(name string) (string, bool) { value, ok := w.environment[name]; return value, ok },
		Now:       w.time,
		Environ: func() (all []string) {
			for name, value := range w.environment {
				all = append(all, name+"="+value)
			}
			return all
		},
		CIReads: func() bool { return w.ciReads },
		Backend: func(o app.Options) Backend {
			if w.real {
				return app.New(o)
			}
			return &backend{world: w, o: o}
		},
		Exec: func(string, []string) error { return nil },
	})
	return result{code, stdout.String(), stderr.String()}
}

// must runs a command line that has to end with a code.
func (w *world) must(code int, args ...string) result {
	w.t.Helper()
	r := w.run(args...)
	if r.code != code {
		w.t.Fatalf("sluice %s ended with %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

// backend is a fake of app over the world.
type backend struct {
	*world
	o app.Options
}

func (b *backend) Close() error { return nil }

func digestOf(version string) string {
	return "sha256:" + strings.Repeat("0", 64-2*len(version)) + hexOf(version)
}

func hexOf(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte("0123456789abcdef"[c>>4])
		b.WriteByte("0123456789abcdef"[c&15])
	}
	return b.String()
}

// Build "builds" a release of the file as it is.
func (b *backend) Build(_ context.Context, req app.BuildRequest) (app.Built, error) {
	file, service, version := req.File, req.Service, req.Version
	if b.building != nil {
		if err := b.building(b.o.Log); err != nil {
			return app.Built{}, err
		}
	}
	if version == "" {
		version = "1.0.0"
	}
	release := &v1alpha1.Release{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRelease, Service: service, Version: version,
		Spec: file.Project.Services[service], Environments: file.Project.Environments,
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.broken[service]; err != nil {
		return app.Built{Seal: b.sealed}, err
	}
	b.releases[service+":"+version] = release
	return app.Built{Release: release, Ref: b.ref(release), Seal: b.sealed}, nil
}

// Try "tests" a service, and with images "makes" them.
func (b *backend) Try(_ context.Context, req app.BuildRequest, images bool) (app.Tried, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.broken[req.Service]; err != nil {
		return app.Tried{Scans: b.sealed.Scans}, err
	}
	tried := app.Tried{Tried: release.Tried{Tests: map[string]v1alpha1.Tests{"web": {Passed: 3}}}}
	if images {
		tried.Version, tried.Images, tried.Scans = "1.0.0-dev.1", map[string]string{"web": digestOf("1.0.0")}, b.sealed.Scans
	}
	return tried, nil
}

// Check is the real one: it needs files only.
func (b *backend) Check(ctx context.Context, file *config.File, services, environments []string) (check.Report, error) {
	return app.New(b.o).Check(ctx, file, services, environments)
}

// Plan is the real one: it needs Git only.
func (b *backend) Plan(ctx context.Context, req plan.Request) (plan.Plan, error) {
	return app.New(b.o).Plan(ctx, req)
}

// Diagnose is the real one: where nobody answers is what it tells.
func (b *backend) Diagnose(ctx context.Context, req app.DiagnoseRequest) ([]doctor.Facts, error) {
	return app.New(b.o).Diagnose(ctx, req)
}

// Variables is the real one for files, which need no cluster.
func (b *backend) Variables(ctx context.Context, environment string, env v1alpha1.Environment) (variables.Store, error) {
	if b.variables != nil {
		return b.variables, nil
	}
	return app.New(b.o).Variables(ctx, environment, env)
}

func (b *backend) Verify(_ context.Context, project *v1alpha1.Project, release *v1alpha1.Release, _ v1alpha1.ReleaseRef, environment string) ([]seal.Proof, error) {
	if b.verify == nil {
		return nil, nil
	}
	return b.verify(project, release, environment)
}

func (b *backend) ref(release *v1alpha1.Release) v1alpha1.ReleaseRef {
	d := digestOf(release.Version)
	return v1alpha1.ReleaseRef{Ref: "localhost:5000/calculator/" + release.Service + "@" + d, Digest: d, Version: release.Version}
}

func (b *backend) Release(_ context.Context, name string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	for short, release := range b.releases {
		ref := b.ref(release)
		if name == short || name == ref.Ref || strings.HasSuffix(name, "/"+release.Service+"@"+ref.Digest) || name == release.Service+"@"+ref.Digest {
			return release, ref, nil
		}
	}
	return nil, v1alpha1.ReleaseRef{}, fault.New(fault.NotFound, "find release", "no %s", name)
}

// Load is rollout.Releases.
func (b *backend) Load(ctx context.Context, ref v1alpha1.ReleaseRef) (*v1alpha1.Release, error) {
	release, _, err := b.Release(ctx, ref.Ref)
	return release, err
}

// Promote is a fake that only says where the copy would lie.
func (b *backend) Promote(_ context.Context, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef, environment string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error) {
	if prefix := rel.Environments[environment].Registry; prefix != "" {
		ref.Ref = prefix + "/" + rel.Service + "@" + ref.Digest
	}
	return rel, ref, nil
}

func (b *backend) Releases(_ context.Context, service string) ([]release.Entry, error) {
	entries := []release.Entry{}
	for _, rel := range b.releases {
		if rel.Service == service {
			entries = append(entries, release.Entry{Version: rel.Version, Ref: b.ref(rel).Ref, Digest: b.ref(rel).Digest})
		}
	}
	return entries, nil
}

// Predecessor is the release before a release: the highest of the versions that sort below it as texts.
func (b *backend) Predecessor(_ context.Context, rel *v1alpha1.Release, _ v1alpha1.ReleaseRef) (found *release.Entry, err error) {
	for _, other := range b.releases {
		if other.Service == rel.Service && other.Version < rel.Version && (found == nil || found.Version < other.Version) {
			found = &release.Entry{Version: other.Version, Commit: other.Source.Commit}
		}
	}
	return found, nil
}

func (b *backend) Parts(_ context.Context, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef, verify bool) ([]release.Part, error) {
	part := release.Part{Name: "release", Ref: ref.Ref, Referrers: map[string]int{"application/vnd.example.seal": 2}, Signers: []string{"job (issuer https://ci.example)"}}
	if verify {
		part.Referrers, part.Manifests, part.Blobs, part.Bytes, part.Error = nil, 1, 2, 1234, b.damage
	}
	return []release.Part{part, {Name: "chart", Ref: rel.Chart}}, nil
}

func (b *backend) Open(_ context.Context, service, environment string, env v1alpha1.Environment) (*app.Place, error) {
	if b.away == environment {
		return nil, fault.New(fault.Unreachable, "connect", "nobody answers")
	}
	routers := map[v1alpha1.Router]traffic.Router{v1alpha1.RouterNginx: b.router}
	return &app.Place{
		Key: store.Key{Service: service, Environment: environment, Namespace: env.Namespace}, Environment: env, Identity: "uid-1",
		Store: b.store, Locker: b.locker, Releaser: b.releaser, Routers: routers,
		Versions: func(context.Context, *v1alpha1.Release, string, map[string]string) (map[string]string, []string, error) {
			return b.versions, b.notices, nil
		},
		Machine: rollout.New(rollout.Options{
			Store: b.store, Releaser: b.releaser, Routers: routers, Releases: b,
			Gates:    func(v1alpha1.Gate) (gate.Gate, error) { return b.gate, nil },
			Announce: b.o.Announce, Observed: b.o.Observed, Now: b.o.Now,
			Sleep: func(ctx context.Context, d time.Duration, _ <-chan struct{}) error {
				b.pass(max(d, 250*time.Millisecond))
				b.slept()
				return ctx.Err()
			},
		}),
		Prepare: func(_ context.Context, start rollout.Start) (app.Prepared, error) {
			b.prepared++
			b.back = start.Back
			return app.Prepared{}, nil
		},
		Allowed: func(context.Context) error { return nil },
		Forget:  func(context.Context) error { return nil },
	}, nil
}

// records of an environment, newest first.
func (w *world) records(environment string) []v1alpha1.Rollout {
	w.t.Helper()
	list, err := w.store.List(context.Background(), store.Key{Service: "calculator", Environment: environment, Namespace: "calculator-" + environment})
	if err != nil {
		w.t.Fatal(err)
	}
	var rollouts []v1alpha1.Rollout
	for _, record := range list {
		rollouts = append(rollouts, record.Rollout)
	}
	return rollouts
}

// phases of an environment's rollouts, newest first.
func (w *world) phases(environment string) string {
	var phases []string
	for _, r := range w.records(environment) {
		phases = append(phases, string(r.Phase))
	}
	return strings.Join(phases, " ")
}

// live is the slot that serves users, and the version it carries.
func (w *world) live(environment string) (v1alpha1.Slot, string) {
	scope := deploy.Scope{Service: "calculator", Environment: environment, Namespace: "calculator-" + environment}
	slots := w.releaser.Peek(scope).Slots
	if environment == "dev" {
		return v1alpha1.SlotDirect, slots[v1alpha1.SlotDirect].Release.Version
	}
	slot := w.router.Peek(traffic.Target{Service: "calculator", Environment: environment, Namespace: scope.Namespace}).Split.Live()
	return slot, slots[slot].Release.Version
}

// decode reads a JSON result.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var doc T
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("stdout is no single JSON document: %v\n%s", err, text)
	}
	return doc
}
