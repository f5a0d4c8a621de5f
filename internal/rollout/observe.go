package rollout

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// Observation is what one tick saw of the world. Nothing in it is taken from the record.
type Observation struct {
	Slots   map[v1alpha1.Slot]deploy.Slot
	Traffic traffic.State
	// Gates are the answers at the current step, in the order of the plan.
	Gates []v1alpha1.GateResult
	// Judgement is what the guard says; nil where nothing is judged.
	Judgement *v1alpha1.Judgement
	// Entry is the answer of the entry gates; Pending only.
	Entry v1alpha1.GateResult
	// Older is the unfinished rollout that this one waits for; Newer says that a newer one waits.
	Older *v1alpha1.Rollout
	Newer bool
	// Verified is the last rollout here that passed its gates.
	Verified *v1alpha1.Rollout
}

// observe looks at slots and traffic.
func (m *Machine) observe(ctx context.Context, r v1alpha1.Rollout) (Observation, error) {
	var o Observation
	scope := deploy.Scope{Service: r.Service, Environment: r.Environment, Namespace: r.Namespace}
	seen, err := m.o.Releaser.Observe(ctx, scope)
	if err != nil {
		return o, err
	}
	o.Slots = seen.Slots
	if router, ok := m.o.Routers[r.Plan.Router]; ok && r.Plan.Slots {
		if o.Traffic, err = router.Split(ctx, m.target(r, o)); err != nil {
			return o, err
		}
	} else {
		o.Traffic = traffic.State{Split: withoutRouter(r, o)}
	}
	return o, nil
}

// inPhase adds what only the rollout's phase asks for: other rollouts, entry gates, gates.
func (m *Machine) inPhase(ctx context.Context, r v1alpha1.Rollout, o Observation) (Observation, error) {
	if err := m.observeOthers(ctx, r, &o); err != nil {
		return o, err
	}
	if r.Phase == v1alpha1.Pending && m.o.Entry != nil {
		var err error
		if o.Entry, err = m.o.Entry(ctx, r); err != nil {
			return o, err
		}
	}
	// What the guard is shown comes first, and what it says last: gates take their time.
	o.Judgement = m.judge(ctx, r, o)
	if o.Gates = m.ask(ctx, r, o); len(o.Gates) > 0 {
		o.Judgement = m.judge(ctx, r, o)
	}
	return o, nil
}

// withoutRouter is the split of a service that no router serves: the candidate counts as live once it runs.
func withoutRouter(r v1alpha1.Rollout, o Observation) v1alpha1.Split {
	if r.Candidate == v1alpha1.SlotNone {
		return v1alpha1.Split{}
	}
	if !r.Plan.Slots || r.Phase != v1alpha1.RollingBack || r.Return.Slot == v1alpha1.SlotNone {
		if _, ok := o.Slots[r.Candidate]; ok {
			return v1alpha1.Only(r.Candidate)
		}
		return v1alpha1.Split{}
	}
	return v1alpha1.Only(r.Return.Slot)
}

// observeOthers looks at the other rollouts where they matter: before the first act and while the old slot is kept.
func (m *Machine) observeOthers(ctx context.Context, r v1alpha1.Rollout, o *Observation) error {
	if r.Phase != v1alpha1.Pending && r.Phase != v1alpha1.Settling {
		return nil
	}
	records, err := m.o.Store.List(ctx, store.KeyOf(r))
	if err != nil {
		return err
	}
	for _, other := range records {
		switch {
		case other.Rollout.Phase.Final() || other.Rollout.Number == r.Number:
		case other.Rollout.Number > r.Number:
			o.Newer = true
		default:
			older := other.Rollout
			o.Older = &older
		}
	}
	if last, ok := LastVerified(records); ok {
		o.Verified = &last
	}
	return nil
}

// ask puts the gates of the current step to the candidate, or to the slot a rollback returned to in place.
// An answer that passed in this step is not asked for again.
func (m *Machine) ask(ctx context.Context, r v1alpha1.Rollout, o Observation) []v1alpha1.GateResult {
	specs := gatesOf(r)
	if len(specs) == 0 || !readyForGates(r, o) {
		return nil
	}
	subject := gate.Subject{
		Service: r.Service, Environment: r.Environment, Namespace: r.Namespace, Rollout: r.Number,
		Slot: r.Candidate, Entry: r.Plan.Entry, Router: r.Plan.Router, Step: r.Step, Services: o.Slots[r.Candidate].Routes.Services,
	}
	if r.Plan.Slots && o.Traffic.Split.Header == r.Candidate {
		subject.Header = r.Plan.Header.OrDefault()
	}
	if r.Phase == v1alpha1.Analyzing {
		var cancel context.CancelFunc
		ctx, cancel = m.untilBad(ctx, r)
		defer cancel()
	}
	results := make([]v1alpha1.GateResult, 0, len(specs))
	for _, spec := range specs {
		result := m.askOne(ctx, r, spec, subject)
		if ctx.Err() != nil {
			break // the guard has called the question off: there is no answer
		}
		results = append(results, result)
		if result.Verdict == v1alpha1.Failed {
			break
		}
	}
	return results
}

func (m *Machine) askOne(ctx context.Context, r v1alpha1.Rollout, spec v1alpha1.Gate, subject gate.Subject) v1alpha1.GateResult {
	name := spec.DisplayName()
	for _, known := range r.Results {
		if known.Gate == name && known.Step == gateStep(r) && known.Verdict == v1alpha1.Passed {
			return known
		}
	}
	result := v1alpha1.GateResult{Gate: name, Step: gateStep(r), At: m.o.Now()}
	g, err := m.o.Gates(spec)
	if err == nil {
		result.Verdict, result.Evidence, err = g.Check(ctx, subject)
	}
	if err != nil {
		// Not being able to find out is neither a pass nor a failure; the step's deadline ends it.
		result.Verdict, result.Evidence = v1alpha1.Waiting, err.Error()
	}
	return result
}

// gateStep separates the answers of the way back from those of the way forward.
func gateStep(r v1alpha1.Rollout) int {
	if r.Phase == v1alpha1.RollingBack {
		return -1
	}
	return r.Step
}

// gatesOf lists the gates of the current step: the environment's, then the step's own.
// Tests of the slot itself do not depend on traffic and are asked once, at the first step.
func gatesOf(r v1alpha1.Rollout) []v1alpha1.Gate {
	var gates []v1alpha1.Gate
	switch {
	case r.Phase == v1alpha1.Analyzing:
		for _, g := range r.Plan.Gates {
			if g.HelmTest == nil || r.Step == 0 {
				gates = append(gates, g)
			}
		}
		gates = append(gates, r.Plan.Steps[r.Step].Gates...)
	case r.Phase == v1alpha1.RollingBack && !r.Plan.Slots && r.Return.Slot != v1alpha1.SlotNone && !r.Return.Foreign:
		for _, g := range r.Plan.Gates {
			if g.HelmTest == nil {
				gates = append(gates, g)
			}
		}
	}
	return gates
}

func readyForGates(r v1alpha1.Rollout, o Observation) bool {
	if !o.Slots[r.Candidate].IsReady() {
		return false
	}
	if r.Phase == v1alpha1.RollingBack {
		return restored(r, o.Slots[r.Candidate])
	}
	return o.Traffic.Split.Equal(Planned(r, r.Step)) && !o.Traffic.Transition
}

// track keeps what only time can tell: since when the candidate is not ready, and the answers of the gates.
func track(r v1alpha1.Rollout, o Observation, now time.Time) v1alpha1.Rollout {
	underTraffic := r.Phase == v1alpha1.Shifting || r.Phase == v1alpha1.Analyzing || r.Phase == v1alpha1.Settling
	switch {
	case !underTraffic || o.Slots[r.Candidate].IsReady():
		r.UnreadySince = time.Time{}
	case r.UnreadySince.IsZero():
		r.UnreadySince = now
	}
	results := append([]v1alpha1.GateResult(nil), r.Results...)
	for _, result := range o.Gates {
		results = upsert(results, result)
	}
	r.Results = results
	if j := o.Judgement; j != nil && worthWriting(r.Judgement, *j) {
		r.Judgement = j
	}
	return r
}

// checkpoint is how old a written judgement may be: what a driver that dies has counted since then is lost.
const checkpoint = 10 * time.Second

func worthWriting(known *v1alpha1.Judgement, j v1alpha1.Judgement) bool {
	if known == nil || known.Decision != j.Decision || known.Verdict != j.Verdict || known.Step != j.Step || known.Enough != j.Enough {
		return true
	}
	// A run whose clock is behind that of the one before writes as well.
	return j.At.Sub(known.At) >= checkpoint || j.At.Before(known.At)
}

func upsert(results []v1alpha1.GateResult, result v1alpha1.GateResult) []v1alpha1.GateResult {
	for i, known := range results {
		if known.Gate != result.Gate || known.Step != result.Step {
			continue
		}
		if known.Verdict != result.Verdict || known.Evidence != result.Evidence {
			results[i] = result
		}
		return results
	}
	return append(results, result)
}

func (m *Machine) target(r v1alpha1.Rollout, o Observation) traffic.Target {
	routes := map[v1alpha1.Slot]v1alpha1.Routes{}
	for slot, seen := range o.Slots {
		routes[slot] = seen.Routes
	}
	return traffic.Target{
		Service: r.Service, Environment: r.Environment, Namespace: r.Namespace,
		Header: r.Plan.Header.OrDefault(), Routes: routes, Convergence: r.Plan.Traffic.Convergence.D(),
	}
}
