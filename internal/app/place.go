package app

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/variables"
)

// Place is one service in one environment whose cluster has been reached and is the right one: all that a command needs to look there or to move something.
type Place struct {
	Key         store.Key
	Environment v1alpha1.Environment
	// Identity is the cluster's: the UID of its kube-system namespace, else the URL of its API server.
	Identity string
	Store    store.Store
	Locker   store.Locker
	Releaser deploy.Releaser
	Routers  map[v1alpha1.Router]traffic.Router
	Machine  *rollout.Machine
	// Prepare makes the namespace where it is missing and pins the cluster's identity where none is named. It is the first write, and says what
	// it did. Missing rights are an error, and an analysis that is wrong in itself; a way back takes fewer rights, and is not analyzed.
	Prepare func(ctx context.Context, start rollout.Start) (Prepared, error)
	// Versions says which version of each variable a release gets, and what is to be said of them. recorded are those that it ran with, on
	// the way back; nil for the current ones.
	Versions func(ctx context.Context, release *v1alpha1.Release, environment string, recorded map[string]string) (map[string]string, []string, error)
	// Allowed returns an error that names the rights which are missing for a deployment into the place, or its removal.
	Allowed func(ctx context.Context) error
	// Forget removes what Prepare wrote but the namespace, when the last service has left.
	Forget func(ctx context.Context) error

	guard    *guard.Guard
	keeper   variables.Keeper
	referrer variables.Referrer
}

// Prepared is what Prepare did.
type Prepared struct {
	NamespaceCreated bool
	IdentityPinned   bool
}

// Scope names the place for a releaser.
func (p *Place) Scope() deploy.Scope {
	return deploy.Scope{Service: p.Key.Service, Environment: p.Key.Environment, Namespace: p.Key.Namespace}
}

// Open connects to the cluster of an environment and verifies which one it is. It writes nothing.
func (a *App) Open(ctx context.Context, service, environment string, env v1alpha1.Environment) (*Place, error) {
	spec := a.override(env.Cluster)
	c, err := a.connect(ctx, environment, spec)
	if err != nil {
		return nil, err
	}
	if err := c.verify(environment, spec); err != nil {
		return nil, err
	}
	pinned, err := c.pinned(ctx, c.client, environment, env.Namespace)
	if err != nil {
		return nil, err
	}
	p := &Place{
		Key:         store.Key{Service: service, Environment: environment, Namespace: env.Namespace},
		Environment: env, Identity: c.name(),
		Allowed: func(ctx context.Context) error { return c.allowed(ctx, env.Namespace, deploymentRights(env.Strategy)) },
		Forget:  func(ctx context.Context) error { return c.forget(ctx, env.Namespace) },
	}
	p.Prepare = func(ctx context.Context, start rollout.Start) (Prepared, error) {
		if err := c.allowedIn(ctx, env, start.Back); err != nil {
			return Prepared{}, err
		}
		if err := p.analyzable(ctx, start); err != nil {
			return Prepared{}, err
		}
		return c.prepare(ctx, environment, env.Namespace, pinned || spec.Identity != "")
	}
	return p, a.wire(p, c)
}

// override replaces where the cluster is found; which one it must be stays as it is.
func (a *App) override(spec v1alpha1.Cluster) v1alpha1.Cluster {
	if a.o.Context != "" {
		spec.Context, spec.InCluster, spec.AKS = a.o.Context, false, nil
	}
	if a.o.Kubeconfig != "" {
		spec.Kubeconfig, spec.InCluster, spec.AKS = a.o.Kubeconfig, false, nil
	}
	return spec
}

func (c *cluster) prepare(ctx context.Context, environment, namespace string, known bool) (Prepared, error) {
	created, err := ensureNamespace(ctx, c.client, environment, namespace)
	if err != nil {
		return Prepared{}, err
	}
	if known {
		return Prepared{NamespaceCreated: created}, nil
	}
	if err := c.pin(ctx, c.client, environment, namespace); err != nil {
		return Prepared{NamespaceCreated: created}, err
	}
	return Prepared{NamespaceCreated: created, IdentityPinned: true}, nil
}
