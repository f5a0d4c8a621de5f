// Package rollout is the state machine that brings a release into an environment, or takes it back; it must not know Kubernetes, Helm or a router.
package rollout

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/gate"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// Releases loads a release with its files and chart.
type Releases interface {
	Load(ctx context.Context, ref v1alpha1.ReleaseRef) (*v1alpha1.Release, error)
}

// Options are the machine's edges.
type Options struct {
	Store    store.Store
	Releaser deploy.Releaser
	Routers  map[v1alpha1.Router]traffic.Router
	Gates    gate.Factory
	Releases Releases
	// Guard judges the requests of plans with an analysis; nil where there is none.
	Guard Guard
	// Entry asks the entry gates of a pending rollout; nil asks none.
	Entry func(ctx context.Context, r v1alpha1.Rollout) (v1alpha1.GateResult, error)
	// Announce tells people of one event, at least once for each; an error makes it come again.
	Announce func(ctx context.Context, r v1alpha1.Rollout, e v1alpha1.Event) error
	// Observed is called at every tick, for a live view; nil for none.
	Observed func(r v1alpha1.Rollout, o Observation, d Decision)
	// Now is the clock and Sleep the only wait, which a message on wake ends early. Defaults: the real ones.
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration, wake <-chan struct{}) error
	// Interval is the shortest rest between two looks at a cluster, and the measure of all other waits, where looking takes long. Default:
	// none.
	Interval time.Duration
}

// Machine moves rollouts. Step is one tick; Run and Resume loop over it.
type Machine struct {
	o        Options
	lookouts lookouts
}

// New fills in the defaults.
func New(o Options) *Machine {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Announce == nil {
		o.Announce = func(context.Context, v1alpha1.Rollout, v1alpha1.Event) error { return nil }
	}
	if o.Observed == nil {
		o.Observed = func(v1alpha1.Rollout, Observation, Decision) {}
	}
	return &Machine{o: o}
}

// Step is one tick: load, observe, decide, record by compare-and-swap, act, announce.
// The write before the act is both the log and the fence: a driver that lost its lease fails here.
func (m *Machine) Step(ctx context.Context, key store.Key, number int, lease store.Lease) (v1alpha1.Rollout, Decision, error) {
	record, err := m.o.Store.Get(ctx, key, number)
	if err != nil {
		return v1alpha1.Rollout{}, Decision{}, err
	}
	if record, err = m.announce(ctx, record); err != nil {
		return record.Rollout, Decision{}, err
	}
	if record.Rollout.Phase.Final() {
		return record.Rollout, Decision{Next: record.Rollout.Phase}, nil
	}
	if lease.Generation() < record.Rollout.Generation {
		return record.Rollout, Decision{}, fault.New(fault.Locked, "rollout", "another run (%s) has taken over", record.Rollout.Holder)
	}
	before := record.Rollout
	if lease.Generation() > before.Generation {
		// Another run drives from here: what a run waits for begins with it.
		record.Rollout.DrivenSince = m.o.Now()
	}
	next, observation, decision, err := m.decide(ctx, record.Rollout)
	if err != nil {
		return before, Decision{}, err
	}
	record.Rollout = m.testify(ctx, next, decision)
	record.Rollout.Generation = lease.Generation()
	if changed(before, record.Rollout) {
		if record, err = m.o.Store.Update(ctx, record); err != nil {
			return before, decision, err
		}
	}
	if decision.Act != NoAct {
		// An act may take minutes, in a chart's hooks: people hear of it before.
		if record, err = m.announce(ctx, record); err != nil {
			return record.Rollout, decision, err
		}
		record, err = m.act(ctx, record, observation, decision, lease)
		if err != nil {
			return record.Rollout, decision, err
		}
	}
	record, err = m.announce(ctx, record)
	return record.Rollout, decision, err
}

// decide observes and decides until something is to be done or waited for: a move by itself changes nothing in the world, so that
// only what the new phase asks for besides is looked at before the next decision. The way back, and what follows the answers of gates,
// which take their time, begin with a fresh look.
func (m *Machine) decide(ctx context.Context, r v1alpha1.Rollout) (v1alpha1.Rollout, Observation, Decision, error) {
	world, err := m.observe(ctx, r)
	if err != nil {
		return r, world, Decision{}, err
	}
	moved := false
	for {
		o, err := m.inPhase(ctx, r, world)
		if err != nil && moved {
			// What was decided so far stands, and is written; the next tick asks again.
			return r, world, Decision{Moved: true, Next: r.Phase, Step: r.Step}, nil
		}
		if err != nil {
			return r, o, Decision{}, err
		}
		now := m.o.Now()
		tracked := track(r, o, now)
		d := Decide(tracked, o, now)
		m.o.Observed(tracked, o, d)
		r = advance(tracked, o, d, now)
		if fresh := r.Phase == v1alpha1.RollingBack || len(o.Gates) > 0; !d.Moved || d.Act != NoAct || r.Phase.Final() || fresh {
			d.Moved = d.Moved || moved
			return r, o, d, nil
		}
		moved = true
	}
}

// announce tells of every event not yet told, then remembers how far it came.
func (m *Machine) announce(ctx context.Context, record store.Record) (store.Record, error) {
	last := record.Rollout.Announced
	for _, event := range record.Rollout.History {
		if event.Seq <= last {
			continue
		}
		if err := m.o.Announce(ctx, record.Rollout, event); err != nil {
			return record, fault.Wrap(fault.Transient, "announce", err)
		}
		record.Rollout.Announced = event.Seq
	}
	if record.Rollout.Announced == last {
		return record, nil
	}
	return m.o.Store.Update(ctx, record)
}
