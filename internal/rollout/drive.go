package rollout

import (
	"context"
	"errors"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

// How long the driver rests between two ticks, and how long it takes to leave things in order.
const (
	// calm is the shortest rest after a tick that changed nothing: changes that come together are looked at once.
	calm = 100 * time.Millisecond
	// busyTick is the rest while something is expected of the cluster that nobody tells about, idleTick the longest rest.
	busyTick    = 250 * time.Millisecond
	idleTick    = time.Second
	leaveGrace  = 10 * time.Second
	lastWords   = 5 * time.Second
	maxBackoff  = 10 * time.Second
	outageLimit = 2 * time.Minute
)

// Watcher is an optional part of a Releaser: it tells that what Observe sees may have changed, so that the driver need not ask as often.
// It may miss changes, and ends with ctx.
type Watcher interface {
	Watch(ctx context.Context, scope deploy.Scope) <-chan struct{}
}

// DriveOptions say how a foreground run drives.
type DriveOptions struct {
	Locker store.Locker
	// Holder names this run in the lease, for people: user@host/pid.
	Holder string
	// WaitSettled drives until the old slot is retired; otherwise the run ends when the release is verified and the old slot is only kept.
	WaitSettled bool
}

// Run takes the lease, begins the rollout (or goes on with an unfinished one of the same content) and drives it.
func (m *Machine) Run(ctx context.Context, s Start, o DriveOptions) (v1alpha1.Rollout, error) {
	return m.underLease(ctx, s.Key, o, func(ctx context.Context, lease store.Lease) (v1alpha1.Rollout, error) {
		if err := m.catchUp(ctx, s.Key, lease); err != nil {
			return v1alpha1.Rollout{}, err
		}
		if r, err := m.makeRoom(ctx, s, lease, o); err != nil {
			return r, err
		}
		r, err := m.begin(ctx, s, lease)
		if err != nil || r.Phase.Final() {
			return r, err
		}
		return m.loop(ctx, s.Key, r.Number, lease, o)
	})
}

// catchUp announces what a driver that died at the very end had no time to tell.
func (m *Machine) catchUp(ctx context.Context, key store.Key, lease store.Lease) error {
	records, err := m.o.Store.List(ctx, key)
	if err != nil {
		return err
	}
	for _, record := range records {
		if r := record.Rollout; r.Phase.Final() && r.Announced < lastSeq(r) {
			if _, _, err := m.Step(ctx, key, r.Number, lease); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeRoom ends an older unfinished rollout of other content before the new one is planned, because what is live depends on it:
// a verified one keeps its slot, an unverified one is taken back.
func (m *Machine) makeRoom(ctx context.Context, s Start, lease store.Lease, o DriveOptions) (v1alpha1.Rollout, error) {
	digest, err := Digest(s.Ref, s.Key.Environment, s.Environment, s.Variables)
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	for {
		records, err := m.o.Store.List(ctx, s.Key)
		if err != nil {
			return v1alpha1.Rollout{}, err
		}
		older, ok := Active(records)
		if !ok || resumable(older, digest) {
			return older, nil
		}
		if older.Phase != v1alpha1.RollingBack && !has((&view{r: older}).requested(v1alpha1.RequestSupersede, v1alpha1.RequestAbort, v1alpha1.RequestRollback)) {
			request := v1alpha1.Request{Kind: v1alpha1.RequestSupersede, By: s.By, At: m.o.Now(), Reason: s.Ref.Version + " is to be deployed"}
			if _, err := m.Request(ctx, s.Key, request); err != nil {
				return older, err
			}
		}
		o.WaitSettled = true
		if older, err = m.loop(ctx, s.Key, older.Number, lease, o); err != nil {
			return older, err
		}
	}
}

// resumable says that a start with this content goes on with the unfinished rollout.
func resumable(r v1alpha1.Rollout, digest string) bool {
	return r.DeployDigest == digest && r.Phase != v1alpha1.RollingBack && len(r.Requests) == 0
}

// Drive takes the lease and drives an existing rollout to its end, or until it only waits without need of a driver.
func (m *Machine) Drive(ctx context.Context, key store.Key, number int, o DriveOptions) (v1alpha1.Rollout, error) {
	return m.underLease(ctx, key, o, func(ctx context.Context, lease store.Lease) (v1alpha1.Rollout, error) {
		return m.loop(ctx, key, number, lease, o)
	})
}

// Request records what a person asks of the oldest unfinished rollout; its driver honours it at the next tick.
func (m *Machine) Request(ctx context.Context, key store.Key, request v1alpha1.Request) (v1alpha1.Rollout, error) {
	for {
		records, err := m.o.Store.List(ctx, key)
		if err != nil {
			return v1alpha1.Rollout{}, err
		}
		active, ok := Active(records)
		if !ok {
			return v1alpha1.Rollout{}, fault.New(fault.NotFound, string(request.Kind), "no unfinished rollout of %s in %s", key.Service, key.Environment)
		}
		record, err := m.o.Store.Get(ctx, key, active.Number)
		if err != nil {
			return active, err
		}
		record.Rollout.Requests = append(record.Rollout.Requests, request)
		if record, err = m.o.Store.Update(ctx, record); !fault.Is(err, fault.Conflict) {
			return record.Rollout, err
		}
	}
}

// underLease runs with a context that outlives the caller's by a grace in which the current call may end,
// and that is cancelled at once when the lease is lost.
func (m *Machine) underLease(ctx context.Context, key store.Key, o DriveOptions, run func(context.Context, store.Lease) (v1alpha1.Rollout, error)) (v1alpha1.Rollout, error) {
	lease, err := o.Locker.Acquire(ctx, key, o.Holder)
	if err != nil {
		return v1alpha1.Rollout{}, err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(lastWords, 12*m.o.Interval))
		defer cancel()
		// A lease that cannot be given back expires by itself.
		_ = lease.Release(last)
	}()
	graceful, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(max(leaveGrace, 6*m.o.Interval), cancel) })
	defer stop()
	return run(interrupted{Context: graceful, caller: ctx}, lease)
}

// interrupted is a context in its grace: calls go on, but the loop asks stopping() and ends.
type interrupted struct {
	context.Context
	caller context.Context
}

func stopping(ctx context.Context) error {
	if i, ok := ctx.(interrupted); ok {
		return i.caller.Err()
	}
	return ctx.Err()
}

// loop ticks the oldest unfinished rollout until the wanted one needs no driver any more.
func (m *Machine) loop(ctx context.Context, key store.Key, number int, lease store.Lease, o DriveOptions) (v1alpha1.Rollout, error) {
	out, stop := m.lookOut(ctx, key, number)
	defer stop()
	outage := outage{watched: out.watched, wake: out.wake}
	for {
		if err := stopping(ctx); err != nil {
			record, getErr := m.o.Store.Get(ctx, key, number)
			if getErr != nil {
				return v1alpha1.Rollout{}, fault.Wrap(fault.Interrupted, "rollout", err)
			}
			return record.Rollout, fault.Wrap(fault.Interrupted, "rollout", err)
		}
		r, d, err := m.tick(ctx, key, number, lease)
		rest, err := outage.rest(m.o.Now(), r, d, err)
		if err != nil {
			return r, err
		}
		if outage.since.IsZero() && r.Number == number && finished(r, o) {
			return r, nil
		}
		if d.Waits && r.Number == number {
			return r, fault.New(fault.Waiting, "rollout of "+r.Release.Version+" to "+r.Environment, "%s", d.Message).
				WithHint("traffic stays at %s, and nobody looks at it meanwhile", planned(r))
		}
		if err := m.rest(callerOf(ctx), rest, outage); err != nil && stopping(ctx) == nil {
			return r, err
		}
	}
}

// lookOut lets the guard go on looking while a tick waits, and passes on what the cluster tells of changes, until the returned function is called.
func (m *Machine) lookOut(ctx context.Context, key store.Key, number int) (*lookout, func()) {
	ctx, cancel := context.WithCancel(ctx)
	out := m.lookouts.begin(ctx, key, number, m.o.Guard, m.changes(ctx, key))
	return out, func() {
		cancel()
		m.lookouts.end(key, number)
	}
}

// changes is nil where nobody tells of changes.
func (m *Machine) changes(ctx context.Context, key store.Key) <-chan struct{} {
	watcher, ok := m.o.Releaser.(Watcher)
	if !ok {
		return nil
	}
	return watcher.Watch(ctx, deploy.Scope{Service: key.Service, Environment: key.Environment, Namespace: key.Namespace})
}

// rest waits for the time to pass or for a change, which does not shorten an outage.
func (m *Machine) rest(ctx context.Context, d time.Duration, o outage) error {
	if d > 0 {
		d = max(d, m.o.Interval)
	}
	if o.wake == nil || !o.since.IsZero() || d <= calm {
		return m.o.Sleep(ctx, d, nil)
	}
	if err := m.o.Sleep(ctx, calm, nil); err != nil {
		return err
	}
	return m.o.Sleep(ctx, d-calm, o.wake)
}

// tick moves an older unfinished rollout first: it has been asked to make room.
func (m *Machine) tick(ctx context.Context, key store.Key, number int, lease store.Lease) (v1alpha1.Rollout, Decision, error) {
	if !lease.Valid() {
		return v1alpha1.Rollout{}, Decision{}, fault.New(fault.Locked, "rollout", "the lease was lost to another run")
	}
	r, d, err := m.Step(ctx, key, number, lease)
	if err != nil || r.Phase != v1alpha1.Pending {
		return r, d, err
	}
	records, err := m.o.Store.List(ctx, key)
	if err != nil {
		return r, d, err
	}
	if older, ok := Active(records); ok && older.Number < number && len(older.Requests) > 0 {
		return m.Step(ctx, key, older.Number, lease)
	}
	return r, d, nil
}

// finished says whether a foreground run may end.
func finished(r v1alpha1.Rollout, o DriveOptions) bool {
	if r.Phase.Final() {
		return r.Announced == lastSeq(r)
	}
	// Settling needs no driver once it only waits; with nothing left to wait for it is driven to its end.
	waits := r.Phase == v1alpha1.Settling && r.Plan.Slots && r.Return.Slot != v1alpha1.SlotNone && r.Plan.KeepOld > 0
	return waits && !o.WaitSettled && len(r.Requests) == 0
}

func lastSeq(r v1alpha1.Rollout) int {
	if len(r.History) == 0 {
		return r.Announced
	}
	return r.History[len(r.History)-1].Seq
}

// outage decides how long to rest, and when an edge has been away for too long to go on in the foreground.
type outage struct {
	since time.Time
	wait  time.Duration
	// watched says that somebody tells of what happens in the cluster, wake ends a rest early.
	watched bool
	wake    <-chan struct{}
}

func (o *outage) rest(now time.Time, r v1alpha1.Rollout, d Decision, err error) (time.Duration, error) {
	switch {
	case err == nil:
		o.since, o.wait = time.Time{}, 0
		return pause(r, d, o.watched), nil
	case fault.Is(err, fault.Conflict):
		// Somebody else wrote the record, for example a request: read it again.
		return busyTick, nil
	case errors.Is(err, context.Canceled), !fault.Retry(err):
		return 0, err
	}
	if o.since.IsZero() {
		o.since = now
	}
	if now.Sub(o.since) > outageLimit {
		return 0, err
	}
	o.wait = min(max(2*o.wait, busyTick), maxBackoff)
	return o.wait, nil
}

func pause(r v1alpha1.Rollout, d Decision, watched bool) time.Duration {
	switch {
	case d.Moved, r.Phase.Final():
		// What follows a move depends on no new fact of the world.
		return 0
	case d.Rest > 0:
		return min(d.Rest, idleTick)
	case d.Row == "14" || d.Row == "17" || d.Row == "3" || watched:
		return idleTick
	default:
		return busyTick
	}
}

func callerOf(ctx context.Context) context.Context {
	if i, ok := ctx.(interrupted); ok {
		return i.caller
	}
	return ctx
}

func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	case <-wake:
		return nil
	}
}
