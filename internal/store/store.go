// Package store is the port to the records of rollouts and to the lock; it must not interpret what it keeps.
package store

import (
	"context"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
)

// Key names the rollouts of a service in an environment.
type Key struct {
	Service     string
	Environment string
	Namespace   string
}

// KeyOf is the key under which a rollout is kept.
func KeyOf(r v1alpha1.Rollout) Key {
	return Key{Service: r.Service, Environment: r.Environment, Namespace: r.Namespace}
}

// Record is a rollout with the version under which it was read.
type Record struct {
	Rollout v1alpha1.Rollout
	Version string
}

// Store keeps one record per rollout.
//
// Get and Update fail with fault.NotFound where the record is absent; Create and Update with fault.Conflict where
// somebody else was first. List is sorted by number, newest first.
type Store interface {
	Get(ctx context.Context, key Key, number int) (Record, error)
	List(ctx context.Context, key Key) ([]Record, error)
	Create(ctx context.Context, rollout v1alpha1.Rollout) (Record, error)
	Update(ctx context.Context, record Record) (Record, error)
	Delete(ctx context.Context, key Key, number int) error
}

// Lease is a held lock. Generation grows with every change of holder.
type Lease interface {
	Generation() int64
	// Valid says, by the process's own clock and without a call, that nobody else can hold the lock yet.
	// A process that was frozen wakes with an expired lease before Lost is closed: ask right before an act.
	Valid() bool
	// Lost is closed when the lease could not be renewed in time, was taken over or released. It is never valid again then.
	Lost() <-chan struct{}
	// Release gives the lease back; releasing a lost lease changes nothing.
	Release(ctx context.Context) error
}

// LockState is who holds a lock, for people.
type LockState struct {
	Holder    string
	RenewedAt time.Time
	Expired   bool
}

// Locker grants one lease per key.
//
// Acquire watches a held lease for one term: renewed, it fails with fault.Locked naming the holder; not renewed, it takes over.
type Locker interface {
	Acquire(ctx context.Context, key Key, holder string) (Lease, error)
	// Forget removes what a released lock leaves behind; a held lock stays. For services that are removed for good.
	Forget(ctx context.Context, key Key) error
	// Holder returns the lock's state; a zero one where nobody holds it.
	Holder(ctx context.Context, key Key) (LockState, error)
}
