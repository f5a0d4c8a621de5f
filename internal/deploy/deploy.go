// Package deploy is the port to whatever brings a copy of a service into a slot; it must not wait for pods, which is the rollout machine's business.
package deploy

import (
	"context"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Scope names a service in an environment.
type Scope struct {
	Service     string
	Environment string
	Namespace   string
}

// State of a slot.
type State string

// The states of a slot.
const (
	Absent   State = "absent"   // nothing there
	Retired  State = "retired"  // the Helm release is kept, no pods are wanted
	Deployed State = "deployed" // carries a digest
	Pending  State = "pending"  // an act of ours was cut off or is under way
	Broken   State = "broken"   // the last act failed
)

// Slot is what is observed of one slot.
type Slot struct {
	State State
	// DeployDigest the slot carries; empty for a foreign one.
	DeployDigest string
	Release      v1alpha1.ReleaseRef
	// Rollout is the number of the rollout that deployed it.
	Rollout      int
	HelmRevision int
	// Foreign says that Helm installed it without Sluice.
	Foreign bool
	// Desired is the sum of the replicas wanted, Ready the sum of ready endpoints with the observed generation current.
	Desired, Ready int
	// Current says that the controllers have observed the newest generation of every workload and rolled it out.
	Current bool
	Facts   []v1alpha1.PodFact
	// Routes that this slot's chart rendered.
	Routes v1alpha1.Routes
}

// IsReady says that the slot's pods carry its load. Nothing wanted is never ready.
func (s Slot) IsReady() bool {
	return s.State == Deployed && s.Current && s.Desired > 0 && s.Ready >= s.Desired
}

// Fatal returns the first fact that does not heal by waiting.
func (s Slot) Fatal() (v1alpha1.PodFact, bool) {
	for _, f := range s.Facts {
		if f.Fatal {
			return f, true
		}
	}
	return v1alpha1.PodFact{}, false
}

// Observation is what is observed of a service's slots. Absent slots have no entry.
type Observation struct {
	Slots map[v1alpha1.Slot]Slot
}

// Request is one deployment: a release into a slot.
type Request struct {
	Scope
	Slot v1alpha1.Slot
	// Live is the slot that serves users now; SlotNone at a first installation.
	Live v1alpha1.Slot
	// Release with its files and chart; ignored where Restore is set.
	Release *v1alpha1.Release
	Ref     v1alpha1.ReleaseRef
	// DeployDigest is written to the slot and observed again.
	DeployDigest string
	// Variables are the versions of the service's variables, by their names; Settings are what the chart is told about them, by paths in
	// its values. Ignored where Restore is set.
	Variables map[string]string
	Settings  map[string]string
	// Tainted names a hidden variable whose content a text holds; "" for none. A deployment that would write such a text where others can
	// read it fails with fault.Fatal. Nil: no variable is hidden.
	Tainted func(text string) (variable string)
	Plan    v1alpha1.Plan
	// Restore brings the slot back to what it was, from what the cluster stores: the newest revision that carries its digest
	// (a foreign one carries none), else its Helm revision; and the replicas. The slot then carries the target's digest.
	Restore *v1alpha1.ReturnTarget
	// Cause says in one line what is deployed, by whom and why. It is written to workloads where Kubernetes looks for it,
	// unless the chart says it itself, and never to pods: the same digest means the same pods, whatever the cause.
	Cause string
	// Rollout and Generation (of the lease) are written to the slot; a newer generation found there refuses the request.
	Rollout    int
	Generation int64
}

// RetireRequest frees a slot.
type RetireRequest struct {
	Scope
	Slot v1alpha1.Slot
	// Live is the slot that serves users; the routes are given back to it where it is the direct one.
	Live v1alpha1.Slot
	// Remove uninstalls the slot; otherwise its Helm history is kept and only its pods are freed.
	Remove     bool
	Plan       v1alpha1.Plan
	Rollout    int
	Generation int64
}

// Releaser brings copies of a service into slots and takes them out again. Every method is absolute and idempotent, and none waits for pods.
//
// Deploy fails with fault.Locked where a foreign Helm operation is pending, with fault.Fatal where trying again cannot help
// (a chart that does not render, names that collide, a failed hook), with fault.Conflict where a newer lease generation has been here.
type Releaser interface {
	Observe(ctx context.Context, scope Scope) (Observation, error)
	Deploy(ctx context.Context, req Request) error
	Retire(ctx context.Context, req RetireRequest) error
}
