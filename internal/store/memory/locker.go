package memory

import (
	"context"
	"sync"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

var (
	_ store.Locker = (*Locker)(nil)
	_ store.Lease  = (*Lease)(nil)
)

// Locker grants leases within the process. Time does not pass in it: a lease counts as renewed until Stop says that its
// holder no longer renews, and Acquire then takes it over at once, as if it had watched for a term.
type Locker struct {
	hook Hook
	now  func() time.Time

	mu    sync.Mutex
	locks map[store.Key]*lock
}

// lock is what all holders of one key share; it survives them, so that generations only grow.
type lock struct {
	generation int64
	lease      *Lease
	since      time.Time
}

// Lease is a lock held in memory.
type Lease struct {
	locker     *Locker
	key        store.Key
	holder     string
	generation int64
	stopped    bool
	over       bool
	lost       chan struct{}
}

// NewLocker returns a locker with no locks held; hook and now may be nil.
func NewLocker(now func() time.Time, hook Hook) *Locker {
	if hook == nil {
		hook = func(context.Context, Call) error { return nil }
	}
	if now == nil {
		now = time.Now
	}
	return &Locker{hook: hook, now: now, locks: map[store.Key]*lock{}}
}

// Acquire grants the lease, or fails with fault.Locked where a holder that renews has it.
func (l *Locker) Acquire(ctx context.Context, key store.Key, holder string) (store.Lease, error) {
	const op = "acquire the lock"
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.Interrupted, op, err)
	}
	if err := l.hook(ctx, Call{Verb: Acquire, Key: key}); err != nil {
		return nil, err
	}
	lease, err := l.grant(key, holder)
	if err != nil {
		return nil, err
	}
	if err := l.hook(ctx, Call{Verb: Acquire, Key: key, Done: true}); err != nil {
		return nil, err
	}
	return lease, nil
}

func (l *Locker) grant(key store.Key, holder string) (*Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.locks[key]
	if k == nil {
		k = &lock{}
		l.locks[key] = k
	}
	if k.lease != nil && !k.lease.stopped {
		return nil, fault.New(fault.Locked, "acquire the lock", "%s in %s is locked by %s", key.Service, key.Environment, k.lease.holder)
	}
	k.lease.end()
	k.generation++
	k.since = l.now()
	k.lease = &Lease{locker: l, key: key, holder: holder, generation: k.generation, lost: make(chan struct{})}
	return k.lease, nil
}

// Forget starts the generations anew; a held lock stays.
func (l *Locker) Forget(ctx context.Context, key store.Key) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Interrupted, "forget the lock", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.locks[key]; k != nil && k.lease == nil {
		delete(l.locks, key)
	}
	return nil
}

// Holder returns who holds the lock.
func (l *Locker) Holder(ctx context.Context, key store.Key) (store.LockState, error) {
	if err := ctx.Err(); err != nil {
		return store.LockState{}, fault.Wrap(fault.Interrupted, "look at the lock", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.locks[key]
	if k == nil || k.lease == nil {
		return store.LockState{}, nil
	}
	if k.lease.stopped {
		return store.LockState{Holder: k.lease.holder, RenewedAt: k.since, Expired: true}, nil
	}
	return store.LockState{Holder: k.lease.holder, RenewedAt: l.now()}, nil
}

// Stop makes the present holder stop renewing, as a killed or frozen process does: the next Acquire takes over. The lease
// stays valid in its holder's eyes until then, or until Expire.
func (l *Locker) Stop(key store.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.locks[key]; k != nil && k.lease != nil {
		k.lease.stopped = true
	}
}

// Expire lets the present holder's term run out without anybody taking over.
func (l *Locker) Expire(key store.Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.locks[key]; k != nil && k.lease != nil {
		k.lease.stopped = true
		k.lease.end()
	}
}

// end is called under the locker's lock; a nil lease has ended.
func (l *Lease) end() {
	if l != nil && !l.over {
		l.over = true
		close(l.lost)
	}
}

// Generation grows with every change of holder.
func (l *Lease) Generation() int64 { return l.generation }

// Valid says that nobody took the lease over and that its term is not over.
func (l *Lease) Valid() bool {
	l.locker.mu.Lock()
	defer l.locker.mu.Unlock()
	return !l.over
}

// Lost is closed when the lease was taken over or expired.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Release gives the lease back.
func (l *Lease) Release(ctx context.Context) error {
	if err := l.locker.hook(ctx, Call{Verb: Release, Key: l.key}); err != nil {
		return err
	}
	l.free()
	return l.locker.hook(ctx, Call{Verb: Release, Key: l.key, Done: true})
}

func (l *Lease) free() {
	l.locker.mu.Lock()
	defer l.locker.mu.Unlock()
	if k := l.locker.locks[l.key]; k != nil && k.lease == l {
		k.lease = nil
	}
	l.end()
}
