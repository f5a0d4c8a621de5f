// Package traffic is the port to whatever splits requests between slots; it must not know how slots are deployed.
package traffic

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// DefaultConvergence is how long a written route is given to reach the proxies where nothing else is said.
const DefaultConvergence = 5 * time.Second

// Target names a service's routes: what every deployed slot's chart rendered.
type Target struct {
	Service     string
	Environment string
	Namespace   string
	Header      v1alpha1.Header
	// Routes by slot.
	Routes map[v1alpha1.Slot]v1alpha1.Routes
	// Convergence is how long a write is given to reach the proxies before the next one may build on it. Zero: DefaultConvergence.
	Convergence time.Duration
}

// State is what is observed of the traffic.
type State struct {
	// Split as written. Nil weights: no route exists. Weights without any slot: the route leads to neither slot.
	Split v1alpha1.Split
	// Transition says that the objects are one of the router's own intermediate states on the way between two splits: Shift again.
	Transition bool
	// Wait is for how long only time stands between the routes as they are and convergence, or the router's next write; 0 where it is
	// not time that lacks.
	Wait time.Duration
	// Lag says in words what but time the proxies lack to serve the split as written; "" for nothing.
	Lag string
	// Generation of the lease under which the routes were last written.
	Generation int64
	// Foreign says what a foreign hand changed, in words; "" for nothing.
	Foreign string
}

// Converged says that the proxies serve the split as written.
func (s State) Converged() bool { return s.Wait == 0 && s.Lag == "" }

// Shift is a wanted split.
type Shift struct {
	Target
	Split v1alpha1.Split
	// Generation of the lease; objects stamped with a newer one refuse the shift with fault.Conflict.
	Generation int64
}

// Router moves traffic. Every method is absolute and idempotent; a host never lacks a main route to a ready slot.
//
// Shift makes the conditional writes that are safe now and returns without waiting. Where a later write depends on the proxies
// having followed an earlier one, Split reports a Transition until Shift was called often enough.
//
// Shift fails with fault.Conflict where somebody else wrote first or under a newer generation, with fault.Usage where an object of
// the same name belongs to somebody else or the router cannot express the split, with fault.Transient where the slot has no ready
// endpoints yet. In none of these cases has traffic left the slot it was at.
type Router interface {
	Split(ctx context.Context, target Target) (State, error)
	Shift(ctx context.Context, shift Shift) error
	// Remove deletes what the router owns: routes, canaries and stable Services.
	Remove(ctx context.Context, target Target, generation int64) error
}
