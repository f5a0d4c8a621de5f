package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

// Process is one process's view of the locks.
type Process struct {
	store.Locker
	// Stop makes the process's leases no longer renewed, as kill -9 or SIGSTOP does.
	Stop func(key store.Key)
}

// Locker runs the contract of lockers. Process makes views on the same locks, as different processes have them.
// Each test runs within bubble, which may replace time; nil for none.
func Locker(t *testing.T, namespace string, bubble func(*testing.T, func(*testing.T)), process func(t *testing.T) Process) {
	if bubble == nil {
		bubble = func(t *testing.T, test func(*testing.T)) { test(t) }
	}
	for name, test := range map[string]func(t *testing.T, key store.Key, a, b Process){
		"free":     acquireFree,
		"renewed":  lockedByRenewed,
		"stopped":  takenOver,
		"released": acquireReleased,
		"frozen":   frozenReleases,
		"forgot":   forgets,
		"context":  cancelled,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { test(t, Key(namespace, "lock-"+name), process(t), process(t)) })
		})
	}
}

func acquireFree(t *testing.T, key store.Key, a, b Process) {
	if s, err := b.Holder(t.Context(), key); err != nil || s != (store.LockState{}) {
		t.Errorf("a free lock is held: %+v, %v", s, err)
	}
	lease := acquire(t, a, key, "a@host")
	if lease.Generation() < 1 {
		t.Errorf("generation %d, want at least 1", lease.Generation())
	}
	valid(t, lease)
	s, err := b.Holder(t.Context(), key)
	if err != nil || s.Holder != "a@host" || s.Expired || s.RenewedAt.IsZero() {
		t.Errorf("the lock's state is %+v, %v, want a@host, not expired", s, err)
	}
	other := key
	other.Service += "-2"
	second := acquire(t, b, other, "b@host")
	valid(t, second)
}

func lockedByRenewed(t *testing.T, key store.Key, a, b Process) {
	lease := acquire(t, a, key, "a@host")
	_, err := b.Acquire(t.Context(), key, "b@host")
	if !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), "a@host") {
		t.Fatalf("acquiring a lock that is renewed: %v, want fault.Locked naming a@host", err)
	}
	valid(t, lease)
	if s, err := b.Holder(t.Context(), key); err != nil || s.Holder != "a@host" {
		t.Errorf("after the refusal the holder is %q, %v", s.Holder, err)
	}
}

func takenOver(t *testing.T, key store.Key, a, b Process) {
	first := acquire(t, a, key, "same@host")
	a.Stop(key)
	second := acquire(t, b, key, "same@host")
	if second.Generation() != first.Generation()+1 {
		t.Errorf("generation went from %d to %d, want one more", first.Generation(), second.Generation())
	}
	if first.Valid() {
		t.Error("two leases are valid at once")
	}
	gone(t, first)
	valid(t, second)
}

func acquireReleased(t *testing.T, key store.Key, a, b Process) {
	first := acquire(t, a, key, "a@host")
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first.Valid() {
		t.Error("a released lease is valid")
	}
	if s, err := b.Holder(t.Context(), key); err != nil || s.Holder != "" {
		t.Errorf("a released lock is held by %q, %v", s.Holder, err)
	}
	second := acquire(t, b, key, "b@host")
	if second.Generation() != first.Generation()+1 {
		t.Errorf("generation went from %d to %d, want one more", first.Generation(), second.Generation())
	}
	if err := first.Release(t.Context()); err != nil {
		t.Errorf("releasing twice: %v", err)
	}
	valid(t, second)
	if _, err := a.Acquire(t.Context(), key, "c@host"); !fault.Is(err, fault.Locked) {
		t.Errorf("the second release gave back the successor's lock: %v, want fault.Locked", err)
	}
}

// forgets: a held lock stays, a free one leaves nothing that stands in anybody's way.
func forgets(t *testing.T, key store.Key, a, b Process) {
	if err := a.Forget(t.Context(), key); err != nil {
		t.Errorf("forgetting a lock that never was: %v", err)
	}
	first := acquire(t, a, key, "a@host")
	if err := b.Forget(t.Context(), key); err != nil {
		t.Errorf("forgetting a held lock: %v", err)
	}
	valid(t, first)
	if err := first.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Forget(t.Context(), key); err != nil {
		t.Errorf("forgetting a free lock: %v", err)
	}
	valid(t, acquire(t, b, key, "b@host"))
}

// frozenReleases: a process that wakes after a takeover gives back nothing that is not its own.
func frozenReleases(t *testing.T, key store.Key, a, b Process) {
	first := acquire(t, a, key, "a@host")
	a.Stop(key)
	second := acquire(t, b, key, "b@host")
	if err := first.Release(t.Context()); err != nil {
		t.Errorf("releasing a lost lease: %v", err)
	}
	valid(t, second)
	if s, err := b.Holder(t.Context(), key); err != nil || s.Holder != "b@host" {
		t.Errorf("after the release of the lost lease the holder is %q, %v", s.Holder, err)
	}
}

func cancelled(t *testing.T, key store.Key, a, _ Process) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Acquire(ctx, key, "a@host"); !fault.Is(err, fault.Interrupted) {
		t.Errorf("Acquire with a cancelled context: %v, want fault.Interrupted", err)
	}
}

func acquire(t *testing.T, p Process, key store.Key, holder string) store.Lease {
	t.Helper()
	lease, err := p.Acquire(t.Context(), key, holder)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context is over by now.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := lease.Release(ctx); err != nil {
			t.Errorf("release at the end: %v", err)
		}
	})
	return lease
}

func valid(t *testing.T, l store.Lease) {
	t.Helper()
	if !l.Valid() {
		t.Error("the lease is not valid")
	}
	select {
	case <-l.Lost():
		t.Error("the lease is lost")
	default:
	}
}

// gone waits for Lost: whoever lost a lease learns it without asking.
func gone(t *testing.T, l store.Lease) {
	t.Helper()
	select {
	case <-l.Lost():
	case <-time.After(time.Minute):
		t.Error("Lost was not closed")
	}
}
