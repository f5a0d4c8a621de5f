package kube

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

var _ store.Locker = (*Locker)(nil)

// DefaultTerm is how long a lease holds without renewal.
const DefaultTerm = 30 * time.Second

// rushes bounds how often a free lock is tried for when others are quicker each time.
const rushes = 10

// LockerOptions are what a Locker may be told; the zero value is good.
type LockerOptions struct {
	// Term of a lease. Default DefaultTerm.
	Term time.Duration
	// Now tells the time, wall and monotonic. Default time.Now.
	Now func() time.Time
	// Watching is told that a held lock is about to be watched, and for how long at most, so that a person is not left in silence.
	Watching func(holder string, most time.Duration)
}

// Locker keeps one Lease sluice.<service> per namespace; its leaseTransitions are the generation.
//
// Clocks of other machines are never compared with: a lease is over when it was seen unchanged for a term by this
// process's own clock.
type Locker struct {
	client kubernetes.Interface
	o      LockerOptions
}

// NewLocker returns a locker in the cluster that the client talks to.
func NewLocker(client kubernetes.Interface, o LockerOptions) *Locker {
	if o.Term <= 0 {
		o.Term = DefaultTerm
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Watching == nil {
		o.Watching = func(string, time.Duration) {}
	}
	return &Locker{client: client, o: o}
}

// Acquire takes a free lock at once. A held one it watches for a term: renewed, it fails with fault.Locked; not renewed,
// it takes over. The lease is renewed in the background until it is released or lost.
func (l *Locker) Acquire(ctx context.Context, key store.Key, holder string) (store.Lease, error) {
	for range rushes {
		lease, err := l.try(ctx, key, holder)
		if err == nil {
			return lease, nil
		}
		if !fault.Is(err, fault.Conflict) {
			return nil, err
		}
	}
	return nil, fault.New(fault.Locked, "acquire the lock", "others were quicker to take lease %s/%s, %d times", key.Namespace, leaseName(key), rushes)
}

func (l *Locker) try(ctx context.Context, key store.Key, holder string) (*Lease, error) {
	seen, err := l.get(ctx, key)
	switch {
	case fault.Is(err, fault.NotFound):
		return l.create(ctx, key, holder)
	case err != nil:
		return nil, err
	case held(seen):
		if seen, err = l.watch(ctx, key, seen); err != nil {
			return nil, err
		}
	}
	return l.take(ctx, key, holder, seen)
}

// get gives up on an answer after a sixth of the term: a lock must not hang on a dead connection.
func (l *Locker) get(ctx context.Context, key store.Key) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Term/6)
	defer cancel()
	object, err := l.client.CoordinationV1().Leases(key.Namespace).Get(ctx, leaseName(key), metav1.GetOptions{})
	return object, failed("look at the lock", "lease", key.Namespace, leaseName(key), err)
}

// create makes the Lease. Its generation starts above that of every record: a Lease that somebody deleted must not let
// generations begin anew, or every route stamped with a higher one would refuse its owner.
func (l *Locker) create(ctx context.Context, key store.Key, holder string) (*Lease, error) {
	records, err := New(l.client).list(ctx, key.Namespace, labels.Set{v1alpha1.LabelService: key.Service})
	if err != nil {
		return nil, err
	}
	generation := int64(1)
	for _, r := range records {
		generation = max(generation, r.Rollout.Generation+1)
	}
	began := l.o.Now()
	object := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name: leaseName(key), Namespace: key.Namespace,
			Labels: map[string]string{"app.kubernetes.io/managed-by": v1alpha1.FieldManager, v1alpha1.LabelService: key.Service},
		},
		Spec: l.spec(holder, generation, began),
	}
	options := metav1.CreateOptions{FieldManager: v1alpha1.FieldManager}
	created, err := l.client.CoordinationV1().Leases(key.Namespace).Create(ctx, object, options)
	if err != nil {
		return nil, failed("acquire the lock", "lease", key.Namespace, object.Name, err)
	}
	return l.begin(created, began), nil
}

// take replaces exactly the Lease that was seen; whoever else wrote to it since makes this a fault.Conflict.
func (l *Locker) take(ctx context.Context, key store.Key, holder string, seen *coordinationv1.Lease) (*Lease, error) {
	began := l.o.Now()
	object := seen.DeepCopy()
	object.Spec = l.spec(holder, transitions(seen)+1, began)
	taken, err := l.update(ctx, object)
	if err != nil {
		return nil, err
	}
	return l.begin(taken, began), nil
}

func (l *Locker) update(ctx context.Context, object *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Term/6)
	defer cancel()
	options := metav1.UpdateOptions{FieldManager: v1alpha1.FieldManager}
	updated, err := l.client.CoordinationV1().Leases(object.Namespace).Update(ctx, object, options)
	return updated, failed("write the lock", "lease", object.Namespace, object.Name, err)
}

func (l *Locker) spec(holder string, generation int64, at time.Time) coordinationv1.LeaseSpec {
	// Whole seconds, rounded up: others must not think the term shorter than it is.
	seconds := int32((l.o.Term + time.Second - 1) / time.Second)
	now := metav1.NewMicroTime(at)
	transitions := int32(generation)
	return coordinationv1.LeaseSpec{
		HolderIdentity: &holder, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now, LeaseTransitions: &transitions,
	}
}

// watch looks at a held lease until it was seen unchanged for a term, and returns it; one that is renewed is locked.
func (l *Locker) watch(ctx context.Context, key store.Key, seen *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	// The holder may have written a longer term than ours; its word counts.
	term := l.o.Term
	if seconds := seen.Spec.LeaseDurationSeconds; seconds != nil {
		term = max(term, time.Duration(*seconds)*time.Second)
	}
	since := l.o.Now()
	l.o.Watching(*seen.Spec.HolderIdentity, term)
	tick := time.NewTicker(term / 30)
	defer tick.Stop()
	var outage error
	for l.o.Now().Sub(since) < term {
		select {
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Interrupted, "watch the lock", ctx.Err())
		case <-tick.C:
		}
		now, err := l.get(ctx, key)
		if outage = err; err != nil {
			// One lost answer must not end the watch; a last one does, below.
			if fault.Retry(err) {
				continue
			}
			return nil, err
		}
		if !held(now) {
			return now, nil
		}
		if renewed(seen, now) {
			return nil, locked(key, now)
		}
		seen = now
	}
	return seen, outage
}

func locked(key store.Key, object *coordinationv1.Lease) error {
	return fault.New(fault.Locked, "acquire the lock", "%s in namespace %s is locked by %s, which is alive", key.Service, key.Namespace, *object.Spec.HolderIdentity).
		WithHint("wait until it is done; `sluice status` shows what it does, and `sluice abort` asks it to take its rollout back")
}

// Holder returns who holds the lock, for people: Expired compares the holder's clock with ours, and decides nothing.
func (l *Locker) Holder(ctx context.Context, key store.Key) (store.LockState, error) {
	object, err := l.get(ctx, key)
	switch {
	case fault.Is(err, fault.NotFound):
		return store.LockState{}, nil
	case err != nil:
		return store.LockState{}, err
	case !held(object):
		return store.LockState{}, nil
	}
	state := store.LockState{Holder: *object.Spec.HolderIdentity}
	if object.Spec.RenewTime != nil {
		state.RenewedAt = object.Spec.RenewTime.Time
	}
	state.Expired = l.o.Now().Sub(state.RenewedAt) > l.o.Term
	return state, nil
}

// Forget deletes exactly the free Lease that was seen.
func (l *Locker) Forget(ctx context.Context, key store.Key) error {
	object, err := l.get(ctx, key)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case held(object):
		return nil
	}
	err = l.client.CoordinationV1().Leases(key.Namespace).Delete(ctx, object.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &object.UID, ResourceVersion: &object.ResourceVersion},
	})
	if err = failed("forget the lock", "lease", key.Namespace, object.Name, err); fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

func leaseName(key store.Key) string { return fmt.Sprintf("sluice.%s", key.Service) }

func held(object *coordinationv1.Lease) bool {
	return object.Spec.HolderIdentity != nil && *object.Spec.HolderIdentity != ""
}

func transitions(object *coordinationv1.Lease) int64 {
	if object.Spec.LeaseTransitions == nil {
		return 0
	}
	return int64(*object.Spec.LeaseTransitions)
}

// renewed compares what only a holder writes; somebody's new annotation is no renewal.
func renewed(before, after *coordinationv1.Lease) bool {
	return transitions(before) != transitions(after) ||
		!before.Spec.RenewTime.Equal(after.Spec.RenewTime) ||
		*before.Spec.HolderIdentity != *after.Spec.HolderIdentity
}
