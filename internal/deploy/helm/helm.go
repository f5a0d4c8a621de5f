// Package helm brings a service's copies into slots as ordinary Helm releases; it must not wait for pods nor decide where traffic goes.
package helm

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
)

// maxHistory is how many revisions Helm keeps per release; the deployed one is always among them.
const maxHistory = 20

// defaultTimeout bounds the chart's hooks where the plan has no timeout.
const defaultTimeout = 5 * time.Minute

// Releaser implements deploy.Releaser with Helm 4 and server-side apply. It keeps nothing of the cluster between calls: every method reads it first.
type Releaser struct {
	config *rest.Config
	kube   kubernetes.Interface
	meta   metadata.Interface
	log    slog.Handler
	// Hide takes secrets out of what pods say, before it is cut to be evidence. Nil: none is known.
	Hide func(text string) string
	// Allowed is asked before anything is written. Nil: everything is allowed.
	Allowed Permission
	// rehearsed is the hash of what was rehearsed last: what Preflight has tried need not be tried again a moment later.
	rehearsed atomic.Value
}

var _ deploy.Releaser = (*Releaser)(nil)

// New makes a Releaser for the cluster of config. Helm's own log goes to log; nil drops it.
func New(config *rest.Config, log slog.Handler) (*Releaser, error) {
	if log == nil {
		log = slog.DiscardHandler
	}
	// Helm names its field manager in a variable of its own package, and after the program where that is empty.
	kube.ManagedFieldsManager = helmManager
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "connect to the cluster", err)
	}
	meta, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fault.Wrap(fault.Usage, "connect to the cluster", err)
	}
	return &Releaser{config: config, kube: client, meta: meta, log: log}, nil
}

// Deploy implements deploy.Releaser.
func (r *Releaser) Deploy(ctx context.Context, req deploy.Request) error {
	op := fmt.Sprintf("deploy %s", req.Slot.HelmRelease(req.Service))
	s, err := r.open(ctx, req.Scope, req.Generation)
	if err != nil {
		return classify(ctx, op, err)
	}
	defer s.close()
	if req.Restore != nil {
		return classify(ctx, op, s.restore(req))
	}
	return classify(ctx, op, s.deploy(req))
}

// Preflight tells what can be known of a deployment before anything is written: whether the chart renders,
// whether its names collide between the slots, whether it has objects that cannot live in a slot, and whether a
// first installation would compete with what others serve.
func (r *Releaser) Preflight(ctx context.Context, req deploy.Request) error {
	op := fmt.Sprintf("check the chart of %s", req.Service)
	s, err := r.open(ctx, req.Scope, req.Generation)
	if err != nil {
		return classify(ctx, op, err)
	}
	defer s.close()
	if err := s.locked(req.Slot.HelmRelease(req.Service)); err != nil {
		return classify(ctx, op, err)
	}
	b, err := s.design(req)
	if err == nil {
		err = s.refuseForbidden(b)
	}
	if err == nil {
		err = s.refuseOccupied(b)
	}
	if err == nil {
		err = s.rehearse(b)
	}
	return classify(ctx, op, err)
}

// session is one call: the history it found, the actions it may use, and the fence around its writes.
type session struct {
	*Releaser
	// kube writes behind the session's guard, unlike the Releaser's own.
	kube    kubernetes.Interface
	ctx     context.Context
	scope   deploy.Scope
	history history
	getter  *getter
	caps    *capabilities
	stamp   stamp
	// definitions says that the chart brings kinds of its own.
	definitions bool
	// anyValues leaves out the comparison of values with schemas.
	anyValues bool
	// created says that a revision was written since it was last reset.
	created bool
	close   context.CancelFunc
}

// stamp is what every revision written by the session carries.
type stamp struct {
	generation int64
}

// open reads the history of the service's releases and refuses what comes from an older driver.
func (r *Releaser) open(ctx context.Context, scope deploy.Scope, generation int64, fences ...fence) (*session, error) {
	look := func(ctx context.Context) (history, error) {
		h, err := r.readHistory(ctx, scope)
		if err != nil {
			return nil, err
		}
		for _, f := range fences {
			if err := f(ctx, scope, generation); err != nil {
				return nil, err
			}
		}
		return h, h.fence(generation)
	}
	h, err := look(ctx)
	if err != nil {
		return nil, err
	}
	// Helm goes on in the background when its context ends; its transport must not.
	inner, cancel := context.WithCancel(ctx)
	g := newGetter(inner, r.config, scope.Namespace, func() error {
		_, err := look(inner)
		return err
	})
	client, err := kubernetes.NewForConfig(g.config)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return &session{
		Releaser: r, kube: client, ctx: inner, scope: scope, history: h, getter: g, caps: &capabilities{getter: g},
		stamp: stamp{generation: generation}, close: cancel,
	}, nil
}

// actions returns Helm's configuration; every revision that is created through it carries labels.
func (s *session) actions(labels map[string]string) (*action.Configuration, error) {
	caps, err := s.caps.get()
	if err != nil {
		return nil, err
	}
	return newActions(s, labels, caps), nil
}
