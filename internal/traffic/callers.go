package traffic

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
)

// Callers is the router of those that call a service inside the cluster by a stable name, to which weights do not reach.
// Routers with weights move it last.
type Callers interface {
	Router
	// Ready says whether a Service of the namespace has a ready endpoint.
	Ready(ctx context.Context, namespace, service string) (bool, error)
}

// MayLead refuses, with fault.Transient, to lead users from a slot that answers to one that does not.
func MayLead(ctx context.Context, c Callers, t Target, from, to v1alpha1.Slot) error {
	for _, s := range t.Routes[to].Services {
		before := t.Routes[from].SlotService(s.Name)
		if from == to || before == "" {
			continue
		}
		if ready, err := c.Ready(ctx, t.Namespace, s.SlotService); err != nil || ready {
			if err != nil {
				return err
			}
			continue
		}
		if serving, err := c.Ready(ctx, t.Namespace, before); err != nil {
			return err
		} else if serving {
			return fault.New(fault.Transient, "shift traffic", "Service %s of slot %s has no ready endpoint, so traffic stays at slot %s", s.SlotService, to, from)
		}
	}
	return nil
}

// SlotOf tells which slot a Service leads to, and whether it leads to one at all. A stable name leads where callers are.
func (t Target) SlotOf(service string, callers v1alpha1.Slot) (v1alpha1.Slot, bool) {
	stable := false
	for _, slot := range v1alpha1.Slots() {
		for _, s := range t.Routes[slot].Services {
			if s.SlotService == service {
				return slot, true
			}
			stable = stable || s.Name == service
		}
	}
	switch {
	case !stable:
		return v1alpha1.SlotNone, false
	case callers != v1alpha1.SlotNone:
		return callers, true
	default:
		return v1alpha1.SlotDirect, true
	}
}
