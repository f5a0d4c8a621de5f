package deploy

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Testimony is what people would look at first when a new version turned out bad, without any secret.
type Testimony struct {
	// Logs are the last lines of the slot's pods, by POD/CONTAINER.
	Logs map[string]string
	// Differences are the values of the charts in which the slots differ, one in each line: PATH: LIVE → CANDIDATE.
	Differences []string
	// Lacking says in words what could not be looked at; "" for nothing.
	Lacking string
}

// Witness is an optional part of a Releaser: it tells what is to be seen of a candidate beside the live slot, before its pods are gone.
type Witness interface {
	// Testify looks once and never waits. live is SlotNone at a first installation. What it cannot see it says in Testimony.Lacking.
	Testify(ctx context.Context, scope Scope, candidate, live v1alpha1.Slot) Testimony
}
