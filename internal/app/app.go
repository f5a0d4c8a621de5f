// Package app is the wiring: it turns options into connected adapters and closes them in reverse order; it must not decide anything about a rollout.
package app

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/identity/azure"
	"github.com/sluice-dev/sluice/internal/identity/pipeline"
	"github.com/sluice-dev/sluice/internal/registry/oci"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/sign/sigstore"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Options are what a run brings along.
type Options struct {
	// Secrets learns of every secret that is met, and takes them out of what others said. Default: one of its own.
	Secrets *variables.Masker
	// LookupEnv reads the process's environment.
	LookupEnv func(string) (string, bool)
	// Dir is the folder that relative paths in environments are relative to: that of sluice.yaml, else the working folder.
	Dir string
	// Executable is the path of the running binary; plugins are looked for beside it.
	Executable string
	// Context and Kubeconfig replace those of every environment; "" keeps them.
	Context, Kubeconfig string
	// Registry replaces the project's; "" keeps it.
	Registry string
	// Version of the running sluice, for provenance.
	Version string
	// Rebuild builds also images that were built from the same inputs before.
	Rebuild bool
	// Buildkit is the address of a BuildKit that replaces the project's; "" keeps it.
	Buildkit string
	// Parallel is how many images are built at once. Default: the number of processors.
	Parallel int
	// Log takes one line for people about what takes long.
	Log func(line string)
	// Announce and Observed are the machine's; see rollout.Options.
	Announce func(ctx context.Context, r v1alpha1.Rollout, e v1alpha1.Event) error
	Observed func(r v1alpha1.Rollout, o rollout.Observation, d rollout.Decision)
	Now      func() time.Time
}

// App holds what was opened. Only builds may go on at once.
type App struct {
	o       Options
	oci     *oci.Registry
	closers []func() error
	public  sigstore.PublicGood
	// pipeline says which job this is, azure who this run is there.
	pipeline *pipeline.Tokens
	azure    *azure.Chain
	// places bound how many images are worked on at once, of all builds together.
	places chan struct{}
	// signs makes who signs, learns the credentials that Git has: once, for all builds together.
	signs  onceSigner
	learns sync.Once
	mu     sync.Mutex
	// loaded are the releases that were fetched, by their reference: what a digest names never changes.
	loaded map[string]*v1alpha1.Release
	// found are the clusters in Azure, each with the way to it once that is known.
	found map[v1alpha1.AKS]*sought
	read  read
}

// New fills in the defaults; it opens nothing.
func New(o Options) *App {
	if o.Secrets == nil {
		o.Secrets = &variables.Masker{}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Parallel < 1 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	a := &App{o: o, places: make(chan struct{}, o.Parallel), loaded: map[string]*v1alpha1.Release{}, found: map[v1alpha1.AKS]*sought{}}
	a.pipeline = pipeline.New(pipeline.Options{LookupEnv: o.LookupEnv, Clock: clock{now: o.Now}, Learn: o.Secrets.Add})
	a.azure = azure.New(azure.Options{LookupEnv: o.LookupEnv, Pipeline: a.pipeline, Learn: o.Secrets.Add, Now: o.Now})
	a.oci = oci.New(oci.Options{Secrets: o.Secrets, Identity: a.azure, Now: o.Now})
	return a
}

// Close closes what was opened, the last one first.
func (a *App) Close() error {
	var errs []error
	for len(a.closers) > 0 {
		last := len(a.closers) - 1
		errs = append(errs, a.closers[last]())
		a.closers = a.closers[:last]
	}
	return errors.Join(errs...)
}
