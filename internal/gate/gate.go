// Package gate is the port to the questions asked of a new version; a gate must not change what it looks at.
package gate

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Subject is what a gate looks at.
type Subject struct {
	Service     string
	Environment string
	Namespace   string
	Rollout     int
	Slot        v1alpha1.Slot
	// Header leads to the slot through Entry; its zero value where the slot has all traffic.
	Header v1alpha1.Header
	Entry  string
	// Router that splits the traffic. Where it knows no headers, the slot is reached by its Services.
	Router v1alpha1.Router
	Step   int
	// Services are the slot's own, for gates that reach it inside the cluster.
	Services []v1alpha1.StableService
}

// Gate answers Passed, Failed or Waiting, always with evidence. An error means that it could not find out, and comes without
// a verdict. Check never outlives its context; what takes long goes on between calls and is reported as Waiting. Asked again
// about the same subject it goes on where it was. It is safe for concurrent use.
type Gate interface {
	Check(ctx context.Context, subject Subject) (v1alpha1.Verdict, string, error)
}

// Factory makes the gate that a specification asks for.
type Factory func(spec v1alpha1.Gate) (Gate, error)
