// Package app is the wiring: it turns options into connected adapters and closes them in reverse order; it must not decide anything about a rollout.
package app

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/rollout"
)

// Options are what a run brings along.
type Options struct {
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

// App holds what was opened. It is not safe for concurrent use.
type App struct {
	o       Options
	closers []func() error
}

// New fills in the defaults; it opens nothing.
func New(o Options) *App {
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &App{o: o}
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
