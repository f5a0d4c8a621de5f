package kube

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

var _ store.Lease = (*Lease)(nil)

// Lease is a held lock that renews itself.
//
// It counts as valid for five sixths of its term from the moment before its last renewal was sent. Nobody can have seen
// that renewal earlier, so nobody takes over before a whole term; the sixth between is for an act that was just begun.
type Lease struct {
	locker     *Locker
	generation int64
	valid      time.Duration
	stop       context.CancelFunc
	stopped    chan struct{}
	lost       chan struct{}

	mu      sync.Mutex
	object  *coordinationv1.Lease
	renewed time.Time
	over    bool
}

// begin starts to renew; began is when the write that took the lease was sent.
func (l *Locker) begin(object *coordinationv1.Lease, began time.Time) *Lease {
	ctx, stop := context.WithCancel(context.Background())
	lease := &Lease{
		locker: l, generation: transitions(object), valid: l.o.Term * 5 / 6,
		stop: stop, stopped: make(chan struct{}), lost: make(chan struct{}), object: object, renewed: began,
	}
	go lease.keep(ctx)
	return lease
}

// Generation is the Lease's leaseTransitions.
func (l *Lease) Generation() int64 { return l.generation }

// Lost is closed when the lease could not be renewed in time, was taken over, or was released.
func (l *Lease) Lost() <-chan struct{} { return l.lost }

// Valid asks this process's clocks. The monotonic one goes on while a process is stopped, and the wall clock while the
// machine sleeps; a lease is over when either says so.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && l.left() <= 0 {
		l.end()
	}
	return !l.over
}

// left is what remains of the validity. It is called under the lock.
func (l *Lease) left() time.Duration {
	now := l.locker.o.Now()
	return l.valid - max(now.Sub(l.renewed), now.Round(0).Sub(l.renewed.Round(0)))
}

// end is called under the lock.
func (l *Lease) end() {
	if !l.over {
		l.over = true
		close(l.lost)
	}
}

// keep renews every third of a term, sooner after a failure, until the lease is lost or released.
func (l *Lease) keep(ctx context.Context) {
	defer close(l.stopped)
	wait := l.locker.o.Term / 3
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if !l.Valid() {
			return
		}
		wait = l.renew(ctx)
	}
}

// renew writes the Lease once, and says how long to wait until the next time.
func (l *Lease) renew(ctx context.Context) time.Duration {
	l.mu.Lock()
	left := l.left()
	l.mu.Unlock()
	// Not beyond the end of the validity, so that Lost is closed when it is due.
	ctx, cancel := context.WithTimeout(ctx, max(0, left))
	defer cancel()
	began := l.locker.o.Now()
	object, err := l.write(ctx, func(spec *coordinationv1.LeaseSpec) {
		at := metav1.NewMicroTime(began)
		spec.RenewTime = &at
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.object, l.renewed = object, began
		return l.locker.o.Term / 3
	case fault.Is(err, fault.Locked):
		l.end()
		return 0
	}
	return max(0, min(l.locker.o.Term/15, l.left()))
}

// write changes the Lease and returns it as written; fault.Locked where it is gone or somebody else's.
func (l *Lease) write(ctx context.Context, change func(*coordinationv1.LeaseSpec)) (*coordinationv1.Lease, error) {
	l.mu.Lock()
	object := l.object.DeepCopy()
	l.mu.Unlock()
	key := store.Key{Service: object.Name[len("sluice."):], Namespace: object.Namespace}
	for {
		change(&object.Spec)
		written, err := l.locker.update(ctx, object)
		switch {
		case err == nil:
			return written, nil
		case !fault.Is(err, fault.Conflict):
			return nil, lostIfGone(err)
		}
		// An answer of ours that got lost, or somebody's annotation: only holder and generation say whose it is.
		if object, err = l.locker.get(ctx, key); err != nil {
			return nil, lostIfGone(err)
		}
		if !held(object) || transitions(object) != l.generation {
			return nil, fault.New(fault.Locked, "write the lock", "lease %s/%s was taken over", object.Namespace, object.Name)
		}
	}
}

// lostIfGone turns the news that the Lease is gone into the loss of it; every other error is one of finding out.
func lostIfGone(err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.Locked, "write the lock", err)
	}
	return err
}

// Release stops the renewal and empties the Lease, which stays for its generation. A lost lease is left alone.
func (l *Lease) Release(ctx context.Context) error {
	l.stop()
	<-l.stopped
	if !l.Valid() {
		return nil
	}
	_, err := l.write(ctx, func(spec *coordinationv1.LeaseSpec) {
		nobody := ""
		spec.HolderIdentity = &nobody
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end()
	if fault.Is(err, fault.Locked) {
		return nil
	}
	return err
}
