package cli

import (
	"context"
	"fmt"
	"os"
	"os/user"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/config"
)

// Backend is what the commands need to have done for them; app provides it, tests put ports in memory behind it.
type Backend interface {
	// Build builds a service's images and makes the release of them; without a version it is derived from source control.
	Build(ctx context.Context, file *config.File, service, version string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error)
	// Release finds a release by the name a person gives it.
	Release(ctx context.Context, name string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error)
	// Open connects to an environment's cluster and verifies which one it is.
	Open(ctx context.Context, service, environment string, env v1alpha1.Environment) (*app.Place, error)
	Close() error
}

// backend opens the backend for one command. dir is the project's folder, progress hears of every rollout.
func (inv *invocation) backend(dir, registry string, p progress) Backend {
	return inv.Process.Backend(app.Options{
		LookupEnv: inv.LookupEnv, Dir: dir, Executable: inv.Executable,
		Context: inv.cluster.context, Kubeconfig: inv.cluster.kubeconfig, Registry: registry,
		Buildkit: inv.building.buildkit, Parallel: int(inv.building.parallel),
		Log:      p.Note,
		Announce: func(_ context.Context, r v1alpha1.Rollout, e v1alpha1.Event) error { p.Event(r, e); return nil },
		Observed: p.Observed, Now: inv.Now,
	})
}

// by names the person for records: user@host.
func (inv *invocation) by() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}

// holder names this run in the lock.
func (inv *invocation) holder() string { return fmt.Sprintf("%s/%d", inv.by(), os.Getpid()) }
