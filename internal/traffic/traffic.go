// Package traffic is the port to whatever splits requests between slots; it must not know how slots are deployed.
package traffic

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Target names a service's routes: what every deployed slot's chart rendered.
type Target struct {
	Service     string
	Environment string
	Namespace   string
	Header      v1alpha1.Header
	// Routes by slot.
	Routes map[v1alpha1.Slot]v1alpha1.Routes
}

// State is what is observed of the traffic.
type State struct {
	// Split as written. Nil weights: no route exists.
	Split v1alpha1.Split
	// Transition says that the objects are one of the router's own intermediate states on the way between two splits.
	Transition bool
	// Converged says that the proxies serve the split as written.
	Converged bool
	// Generation of the lease under which the routes were last written.
	Generation int64
	// Foreign says what a foreign hand changed, in words; "" for nothing.
	Foreign string
}

// Shift is a wanted split.
type Shift struct {
	Target
	Split v1alpha1.Split
	// Generation of the lease; objects stamped with a newer one refuse the shift with fault.Conflict.
	Generation int64
}

// Router moves traffic. Every method is absolute and idempotent; a host never lacks a main route to a ready slot.
// Shift makes one or more conditional writes and returns; Split tells whether the proxies follow.
type Router interface {
	Split(ctx context.Context, target Target) (State, error)
	Shift(ctx context.Context, shift Shift) error
	// Remove deletes what the router owns: routes, canaries and stable Services.
	Remove(ctx context.Context, target Target, generation int64) error
}
