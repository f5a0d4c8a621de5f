package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/traffic"
)

// watchPeriod is how often a request to abort is looked for while an act blocks, for example in a chart's hooks.
const watchPeriod = time.Second

// errRequested interrupts an act because somebody asked to abort; it is no failure of the act.
var errRequested = errors.New("interrupted by a request")

// act does what was decided. Success is observed at the next tick; only failure is recorded.
func (m *Machine) act(ctx context.Context, record store.Record, o Observation, d Decision, lease store.Lease) (store.Record, error) {
	if !lease.Valid() {
		return record, fault.New(fault.Locked, "rollout", "the lease was lost before %s; nothing was done", d.Act)
	}
	actCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := m.watch(actCtx, cancel, record.Rollout, lease)
	err := m.do(actCtx, record.Rollout, o, d)
	stop()
	if err == nil {
		return record, nil
	}
	if cause := context.Cause(actCtx); cause != nil {
		if errors.Is(cause, errRequested) {
			return record, nil
		}
		return record, cause
	}
	return m.recordFailure(ctx, record, d, err)
}

func (m *Machine) recordFailure(ctx context.Context, record store.Record, d Decision, failure error) (store.Record, error) {
	r := record.Rollout
	r.Attempts++
	if !fault.Retry(failure) {
		r.Attempts = max(r.Attempts, attempts(r))
	}
	r.LastError, r.ErrorKind = failure.Error(), fault.KindOf(failure).String()
	r.History = appendEvent(r.History, v1alpha1.Event{
		At: m.o.Now(), Phase: r.Phase, Step: r.Step, Row: d.Row, Action: string(d.Act),
		Message: fmt.Sprintf("%s failed (%d of %d): %s", d.Act, r.Attempts, attempts(r), r.LastError),
	}, r.Announced)
	record.Rollout = r
	return m.o.Store.Update(ctx, record)
}

func (m *Machine) do(ctx context.Context, r v1alpha1.Rollout, o Observation, d Decision) error {
	scope := deploy.Scope{Service: r.Service, Environment: r.Environment, Namespace: r.Namespace}
	switch d.Act {
	case NoAct:
		return nil
	case DeployAct:
		release, err := m.o.Releases.Load(ctx, r.Release)
		if err != nil {
			return err
		}
		return m.o.Releaser.Deploy(ctx, deploy.Request{
			Scope: scope, Slot: d.Slot, Live: r.Return.Slot, Release: release, Ref: r.Release, DeployDigest: r.DeployDigest,
			Variables: r.Variables, Plan: r.Plan, Rollout: r.Number, Generation: r.Generation, Cause: changeCause(r, release.Source),
		})
	case RestoreAct:
		return m.o.Releaser.Deploy(ctx, deploy.Request{
			Scope: scope, Slot: d.Slot, Live: r.Return.Slot, Ref: r.Return.Release, DeployDigest: r.Return.DeployDigest,
			Plan: r.Plan, Restore: &r.Return, Rollout: r.Number, Generation: r.Generation,
		})
	case ShiftAct:
		return m.shift(ctx, r, o, d.Split)
	case RetireAct, RemoveAct:
		return m.retire(ctx, r, o, d, scope)
	case SupersedeAct:
		return m.supersede(ctx, r, o.Older.Number)
	}
	return fault.New(fault.Internal, "rollout", "unknown act %q", d.Act)
}

func (m *Machine) shift(ctx context.Context, r v1alpha1.Rollout, o Observation, split v1alpha1.Split) error {
	router, ok := m.o.Routers[r.Plan.Router]
	if !ok {
		return fault.New(fault.Fatal, "shift traffic", "no router %q", r.Plan.Router)
	}
	return router.Shift(ctx, traffic.Shift{Target: m.target(r, o), Split: split, Generation: r.Generation})
}

// retire frees a slot. A candidate that is the direct slot, or a first installation, has no history worth keeping.
func (m *Machine) retire(ctx context.Context, r v1alpha1.Rollout, o Observation, d Decision, scope deploy.Scope) error {
	if router, ok := m.o.Routers[r.Plan.Router]; ok && d.Act == RemoveAct {
		if err := router.Remove(ctx, m.target(r, o), r.Generation); err != nil {
			return err
		}
	}
	live := r.Candidate
	if d.Slot == r.Candidate {
		live = r.Return.Slot
	}
	return m.o.Releaser.Retire(ctx, deploy.RetireRequest{
		Scope: scope, Slot: d.Slot, Live: live, Plan: r.Plan, Rollout: r.Number, Generation: r.Generation,
		Remove: d.Act == RemoveAct || d.Slot == v1alpha1.SlotDirect || live == v1alpha1.SlotDirect,
	})
}

func (m *Machine) supersede(ctx context.Context, r v1alpha1.Rollout, older int) error {
	record, err := m.o.Store.Get(ctx, store.KeyOf(r), older)
	if err != nil {
		return err
	}
	record.Rollout.Requests = append(record.Rollout.Requests, v1alpha1.Request{
		Kind: v1alpha1.RequestSupersede, By: r.Holder, At: m.o.Now(), Reason: fmt.Sprintf("rollout %d waits", r.Number),
	})
	_, err = m.o.Store.Update(ctx, record)
	return err
}

// watch cancels the act when the lease is lost or somebody asks to abort. The returned function ends the watch.
func (m *Machine) watch(ctx context.Context, cancel context.CancelCauseFunc, r v1alpha1.Rollout, lease store.Lease) func() {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(watchPeriod)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-lease.Lost():
				cancel(fault.New(fault.Locked, "rollout", "the lease was lost"))
				return
			case <-ticker.C:
				if m.asked(ctx, r) {
					cancel(errRequested)
					return
				}
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// asked looks for requests that came after the act began.
func (m *Machine) asked(ctx context.Context, r v1alpha1.Rollout) bool {
	if r.Phase == v1alpha1.RollingBack || r.Phase == v1alpha1.Settling {
		return false
	}
	record, err := m.o.Store.Get(ctx, store.KeyOf(r), r.Number)
	return err == nil && len(record.Rollout.Requests) > len(r.Requests)
}
