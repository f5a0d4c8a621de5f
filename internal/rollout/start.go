package rollout

import (
	"context"
	"fmt"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

// Start asks for a rollout.
type Start struct {
	Key         store.Key
	Release     v1alpha1.Release
	Ref         v1alpha1.ReleaseRef
	Environment v1alpha1.Environment
	// Variables are the versions of the variables that the release gets, by their names.
	Variables map[string]string
	// By is who asked, Reason why; it may be empty.
	By, Reason string
	// Back says that this is a rollback to an earlier release: one step, and the live topology is kept.
	Back bool
}

// Preflight is an optional part of a Releaser: what can be known before anything is written.
type Preflight interface {
	Preflight(ctx context.Context, req deploy.Request) error
}

// begin returns the rollout that a start asks for: an unfinished one of the same content, the live one
// where there is nothing to do, or a new record in Pending. It writes nothing else.
func (m *Machine) begin(ctx context.Context, s Start, lease store.Lease) (v1alpha1.Rollout, error) {
	digest, err := Digest(s.Ref, s.Key.Environment, s.Environment, s.Variables)
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	records, err := m.o.Store.List(ctx, s.Key)
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	number := 1
	for _, record := range records {
		number = max(number, record.Rollout.Number+1)
	}
	if active, ok := Active(records); ok && resumable(active, digest) {
		return active, nil
	}
	r, live, err := m.draft(ctx, s, digest, number, records)
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	if last, ok := LastVerified(records); ok && last.DeployDigest == digest && live.DeployDigest == digest &&
		live.IsReady() && last.Plan.Strategy == r.Plan.Strategy {
		return last, nil
	}
	r.Holder, r.Generation = s.By, lease.Generation()
	if err := m.preflight(ctx, r, s); err != nil {
		return v1alpha1.Rollout{}, err
	}
	record, err := m.o.Store.Create(ctx, r)
	return record.Rollout, err
}

// draft plans a rollout from what is live now.
func (m *Machine) draft(ctx context.Context, s Start, digest string, number int, records []store.Record) (v1alpha1.Rollout, deploy.Slot, error) {
	now := m.o.Now()
	r := v1alpha1.Rollout{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRollout,
		Service: s.Key.Service, Environment: s.Key.Environment, Namespace: s.Key.Namespace, Number: number,
		Release: s.Ref, DeployDigest: digest, Variables: s.Variables, Plan: expand(s.Environment, s.Release.Spec),
		Phase: v1alpha1.Pending, CreatedAt: now, PhaseSince: now, Back: s.Back,
		By: s.By, Reason: s.Reason,
	}
	last, verified := LastVerified(records)
	if verified && s.Back {
		steps := last.Plan
		steps.Gates, steps.Entry, steps.Timeout = r.Plan.Gates, r.Plan.Entry, r.Plan.Timeout
		// It was verified here before: whoever goes back does not wait for evidence again.
		steps.Spec, steps.Analysis = r.Plan.Spec, nil
		r.Plan = oneStep(steps)
	}
	o, live, err := m.look(ctx, r, records)
	if err != nil {
		return r, deploy.Slot{}, err
	}
	if r.Plan.Strategy == "direct" && live != v1alpha1.SlotNone && live != v1alpha1.SlotDirect {
		if !verified || !last.Plan.Slots {
			return r, deploy.Slot{}, fault.New(fault.Usage, "plan", "slot %s of service %s is live in namespace %s, but no record says how its traffic is routed",
				live, s.Key.Service, s.Key.Namespace).WithHint("deploy once with the strategy that made the slots, then change it to direct")
		}
		r.Plan = leaveSlots(r.Plan, last.Plan)
	}
	r.Candidate = candidateSlot(r.Plan, live)
	r.Return = v1alpha1.ReturnTarget{Slot: live}
	switch {
	case live == v1alpha1.SlotNone && !s.Back:
		r.Plan = firstInstallation(r.Plan)
	case live == v1alpha1.SlotNone || r.Plan.Slots && s.Back:
		r.Plan = oneStep(r.Plan)
	}
	r.History = appendEvent(nil, v1alpha1.Event{
		At: now, Phase: v1alpha1.Pending, Row: "0", Message: fmt.Sprintf("%s into %s, requested by %s", s.Ref.Version, s.Key.Environment, because(s.By, s.Reason)),
	}, 0)
	return r, o.Slots[live], nil
}

// look finds the live slot, also by the routes of the last rollout where the plan's own router does not know it.
func (m *Machine) look(ctx context.Context, r v1alpha1.Rollout, records []store.Record) (Observation, v1alpha1.Slot, error) {
	probe := r
	if last, ok := LastVerified(records); ok && last.Plan.Slots {
		probe.Plan.Router, probe.Plan.Slots = last.Plan.Router, true
	}
	o, err := m.observe(ctx, probe)
	if err != nil {
		return o, v1alpha1.SlotNone, err
	}
	if last, ok := LastVerified(records); ok {
		o.Verified = &last
	}
	return o, liveSlot(o), nil
}

func (m *Machine) preflight(ctx context.Context, r v1alpha1.Rollout, s Start) error {
	checker, ok := m.o.Releaser.(Preflight)
	if !ok {
		return nil
	}
	err := checker.Preflight(ctx, deploy.Request{
		Scope: deploy.Scope{Service: r.Service, Environment: r.Environment, Namespace: r.Namespace},
		Slot:  r.Candidate, Live: r.Return.Slot, Release: &s.Release, Ref: r.Release, DeployDigest: r.DeployDigest, Variables: r.Variables, Plan: r.Plan, Rollout: r.Number, Generation: r.Generation,
		Cause: changeCause(r, s.Release.Source),
	})
	if fault.Is(err, fault.Fatal) {
		// What can never work was found out before anything was changed.
		return fault.Wrap(fault.Refused, "", err)
	}
	return err
}
