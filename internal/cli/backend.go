package cli

import (
	"context"
	"fmt"
	"os"
	"os/user"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/app"
	"github.com/sluice-dev/sluice/internal/check"
	"github.com/sluice-dev/sluice/internal/config"
	"github.com/sluice-dev/sluice/internal/doctor"
	"github.com/sluice-dev/sluice/internal/plan"
	"github.com/sluice-dev/sluice/internal/release"
	"github.com/sluice-dev/sluice/internal/seal"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Backend is what the commands need to have done for them; app provides it, tests put ports in memory behind it.
type Backend interface {
	// Build builds a service's images and makes the release of them. It may be called concurrently.
	Build(ctx context.Context, req app.BuildRequest) (app.Built, error)
	// Try builds and tests what a release would be made of, and pushes nothing; with images, all are made and scanned. It may be called concurrently.
	Try(ctx context.Context, req app.BuildRequest, images bool) (app.Tried, error)
	// Check looks at services in environments, and asks nobody.
	Check(ctx context.Context, file *config.File, services, environments []string) (check.Report, error)
	// Plan tells which services a change touches and what is done for them.
	Plan(ctx context.Context, req plan.Request) (plan.Plan, error)
	// Release finds a release by the name a person gives it.
	Release(ctx context.Context, name string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error)
	// Promote copies a release to the registry of an environment, where that has one of its own, and returns it as it is there.
	Promote(ctx context.Context, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef, environment string) (*v1alpha1.Release, v1alpha1.ReleaseRef, error)
	// Releases lists the releases of a service, the highest version first.
	Releases(ctx context.Context, service string) ([]release.Entry, error)
	// Predecessor is the release before a release in its repository, nil for the first.
	Predecessor(ctx context.Context, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef) (*release.Entry, error)
	// Parts lists what a release is made of and what refers to it; with verify everything is read and compared with its digest.
	Parts(ctx context.Context, rel *v1alpha1.Release, ref v1alpha1.ReleaseRef, verify bool) ([]release.Part, error)
	// Open connects to an environment's cluster and verifies which one it is.
	Open(ctx context.Context, service, environment string, env v1alpha1.Environment) (*app.Place, error)
	// Diagnose gathers what can be found out about the way to environments; it writes nothing.
	Diagnose(ctx context.Context, req app.DiagnoseRequest) ([]doctor.Facts, error)
	// Variables opens the store that holds an environment's variables.
	Variables(ctx context.Context, environment string, env v1alpha1.Environment) (variables.Store, error)
	// Verify checks what a release must prove before it may come to an environment; project is nil where there is no file.
	Verify(ctx context.Context, project *v1alpha1.Project, release *v1alpha1.Release, ref v1alpha1.ReleaseRef, environment string) ([]seal.Proof, error)
	Close() error
}

// backend opens the backend for one command. dir is the project's folder, progress hears of every rollout; more options change what is set.
func (inv *invocation) backend(dir, registry string, p progress, more ...func(*app.Options)) Backend {
	o := app.Options{
		Secrets: inv.secrets, LookupEnv: inv.LookupEnv, Dir: dir, Executable: inv.Executable,
		Context: inv.cluster.context, Kubeconfig: inv.cluster.kubeconfig, Registry: registry,
		Buildkit: inv.building.buildkit, Parallel: int(inv.building.parallel),
		Log:      p.Note,
		Version:  buildVersion().Version,
		Announce: func(_ context.Context, r v1alpha1.Rollout, e v1alpha1.Event) error { p.Event(r, e); return nil },
		Observed: p.Observed, Now: inv.Now,
	}
	for _, change := range more {
		change(&o)
	}
	return inv.Process.Backend(o)
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
