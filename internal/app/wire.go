package app

import (
	"context"
	"fmt"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy/helm"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/gate/helmtest"
	"github.com/sluice-dev/sluice/internal/gate/http"
	"github.com/sluice-dev/sluice/internal/guard"
	"github.com/sluice-dev/sluice/internal/rollout"
	"github.com/sluice-dev/sluice/internal/store/kube"
	"github.com/sluice-dev/sluice/internal/traffic"
	"github.com/sluice-dev/sluice/internal/traffic/gateway"
	"github.com/sluice-dev/sluice/internal/traffic/nginx"
	"github.com/sluice-dev/sluice/internal/traffic/service"
	"github.com/sluice-dev/sluice/internal/variables"
	variablestore "github.com/sluice-dev/sluice/internal/variables/kubernetes"
)

// closeTimeout bounds what an adapter may do when it is closed.
const closeTimeout = 10 * time.Second

// wire puts the adapters into a place.
func (a *App) wire(p *Place, c *cluster) error {
	deployer, err := helm.New(c.config, nil)
	if err != nil {
		return err
	}
	deployer.Hide, deployer.Allowed = a.o.Secrets.String, c.allowedKinds
	gates, err := a.gates(p, c)
	if err != nil {
		return err
	}
	p.keeper = variablestore.NewKeeper(c.client)
	objects, err := dynamic.NewForConfig(c.config)
	if err != nil {
		return fault.Wrap(fault.Usage, "connect to the cluster", err)
	}
	p.Routers = a.routers(objects, c)
	p.referrer = a.referrer(objects, c, p.Environment)
	supply := &supply{
		releaser: deployer, keeper: p.keeper, secrets: a.o.Secrets, log: a.o.Log, known: map[variables.Query]variables.Variable{},
		store: func(ctx context.Context, release *v1alpha1.Release, environment string) (variables.Store, error) {
			return a.store(ctx, environment, release.Environments[environment], released(release))
		},
		referrer: func(release *v1alpha1.Release, environment string) variables.Referrer {
			return a.referrer(objects, c, release.Environments[environment])
		},
	}
	p.Releaser, p.Versions = supply, supply.Versions
	term := kube.DefaultTerm
	if c.interval > 0 {
		p.Releaser, term = unwatched{supply}, slowTerm
	}
	p.Store = masked{kube.New(c.client), a.o.Secrets}
	p.Locker = kube.NewLocker(c.client, kube.LockerOptions{Term: term, Watching: func(holder string, most time.Duration) {
		a.o.Log(fmt.Sprintf("%s in %s is locked by %s; watching for up to %s whether that run is alive", p.Key.Service, p.Key.Environment, holder, most))
	}})
	p.guard = guard.New(guard.Options{Sources: a.meters(c, p.Key.Environment), Now: a.o.Now})
	p.Machine = rollout.New(rollout.Options{
		Store: p.Store, Releaser: p.Releaser, Routers: p.Routers, Gates: gates, Releases: a,
		Guard: p.guard, Announce: a.o.Announce, Observed: a.o.Observed, Now: a.o.Now, Interval: c.interval,
	})
	return nil
}

func (a *App) routers(objects dynamic.Interface, c *cluster) map[v1alpha1.Router]traffic.Router {
	callers := service.New(c.client, a.o.Now)
	return map[v1alpha1.Router]traffic.Router{
		v1alpha1.RouterService: callers,
		v1alpha1.RouterGateway: gateway.New(objects, callers, a.o.Now),
		v1alpha1.RouterNginx:   nginx.New(c.client, callers, a.o.Now),
	}
}

// gates makes the gates that specifications ask for. The clients behind them live as long as the place.
func (a *App) gates(p *Place, c *cluster) (gate.Factory, error) {
	server, err := apiServerOf(c.config)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "connect to the cluster of environment "+p.Key.Environment, err)
	}
	prober := http.New(http.Options{APIServer: server, Now: a.o.Now, Secrets: a.o.Secrets})
	tester, err := helmtest.New(c.config, helmtest.Options{Hide: a.o.Secrets.String})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		return tester.Close(ctx)
	})
	return func(spec v1alpha1.Gate) (gate.Gate, error) {
		switch {
		case spec.HTTP != nil:
			return prober.Gate(spec)
		case spec.HelmTest != nil:
			return tester.Gate(spec)
		}
		return nil, fault.New(fault.Usage, "gate "+spec.DisplayName(), "is of no kind that this version knows").
			WithHint("a release made by a newer sluice needs that one to deploy it")
	}, nil
}

// apiServerOf is the way to Services through the API server's proxy.
func apiServerOf(config *rest.Config) (*http.APIServer, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	return &http.APIServer{Base: base, Transport: transport}, nil
}
