package kube_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
	"github.com/sluice-dev/sluice/internal/store/kube"
	"github.com/sluice-dev/sluice/internal/store/storetest"
)

func TestLockerContract(t *testing.T) {
	server := newAPIServer()
	storetest.Locker(t, "ns", synctest.Test, func(t *testing.T) storetest.Process {
		l := &link{server: server}
		return storetest.Process{
			Locker: kube.NewLocker(l.client(t), kube.LockerOptions{}),
			Stop:   func(store.Key) { l.set(func(l *link) { l.cut = true }) },
		}
	})
}

// process is a locker with its link, for what only this adapter can show.
func process(t *testing.T, server *apiServer, o kube.LockerOptions) (*link, *kube.Locker) {
	t.Helper()
	l := &link{server: server}
	return l, kube.NewLocker(l.client(t), o)
}

func grab(t *testing.T, l *kube.Locker, key store.Key) store.Lease {
	t.Helper()
	lease, err := l.Acquire(t.Context(), key, "me@host")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lease.Release(context.Background()) })
	return lease
}

func TestLeaseOutlivesItsTermByRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		_, locker := process(t, server, kube.LockerOptions{})
		lease := grab(t, locker, storetest.Key("ns", "svc"))
		before := server.written()
		time.Sleep(10 * kube.DefaultTerm)
		if !lease.Valid() {
			t.Error("a lease that is renewed has expired")
		}
		if n := server.written() - before; n < 20 || n > 40 {
			t.Errorf("%d renewals in ten terms, want about thirty", n)
		}
	})
}

func TestLeaseExpiresBeforeTheTermIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, locker := process(t, newAPIServer(), kube.LockerOptions{})
		lease := grab(t, locker, storetest.Key("ns", "svc"))
		l.set(func(l *link) { l.cut = true })
		began := time.Now()
		<-lease.Lost()
		if lost := time.Since(began); lost >= kube.DefaultTerm || lost < kube.DefaultTerm/2 {
			t.Errorf("the lease was lost %s after its last renewal, want less than the term of %s", lost, kube.DefaultTerm)
		}
		l.set(func(l *link) { l.cut = false })
		time.Sleep(kube.DefaultTerm)
		if lease.Valid() {
			t.Error("a lost lease is valid again")
		}
	})
}

func TestShortOutageLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, locker := process(t, newAPIServer(), kube.LockerOptions{})
		lease := grab(t, locker, storetest.Key("ns", "svc"))
		time.Sleep(kube.DefaultTerm / 3)
		l.set(func(l *link) { l.cut = true })
		time.Sleep(kube.DefaultTerm / 3)
		l.set(func(l *link) { l.cut = false })
		time.Sleep(5 * kube.DefaultTerm)
		if !lease.Valid() {
			t.Error("the lease was lost over an outage of a third of its term")
		}
	})
}

func TestLostAnswerIsNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, locker := process(t, newAPIServer(), kube.LockerOptions{})
		lease := grab(t, locker, storetest.Key("ns", "svc"))
		l.set(func(l *link) { l.lose = 1 })
		time.Sleep(5 * kube.DefaultTerm)
		if !lease.Valid() {
			t.Error("the lease was lost to its own renewal, whose answer did not come")
		}
	})
}

// TestFrozenProcessWakes: nothing of the process ran for a while, so nobody closed Lost; Valid must know by itself.
func TestFrozenProcessWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frozen atomic.Int64
		_, locker := process(t, newAPIServer(), kube.LockerOptions{Now: func() time.Time { return time.Now().Add(time.Duration(frozen.Load())) }})
		lease := grab(t, locker, storetest.Key("ns", "svc"))
		frozen.Store(int64(kube.DefaultTerm))
		select {
		case <-lease.Lost():
			t.Fatal("Lost is closed although nothing ran; the test shows nothing")
		default:
		}
		if lease.Valid() {
			t.Error("a process that slept over its lease believes in it")
		}
		<-lease.Lost()
	})
}

// TestForcedTakeover: somebody gave the lock away by hand; the holder must notice, and not write over it.
func TestForcedTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, locker := process(t, newAPIServer(), kube.LockerOptions{})
		lease := grab(t, locker, storetest.Key("ns", "svc"))
		leases := l.client(t).CoordinationV1().Leases("ns")
		object, err := leases.Get(t.Context(), "sluice.svc", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		you, generation := "you", int32(lease.Generation())+1
		object.Spec.HolderIdentity, object.Spec.LeaseTransitions = &you, &generation
		if _, err := leases.Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		<-lease.Lost()
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if object, err = leases.Get(t.Context(), "sluice.svc", metav1.GetOptions{}); err != nil {
			t.Fatal(err)
		}
		if *object.Spec.HolderIdentity != you {
			t.Errorf("the lock given to somebody else is held by %q", *object.Spec.HolderIdentity)
		}
	})
}

func TestTakeoverIgnoresOtherClocks(t *testing.T) {
	for name, skew := range map[string]time.Duration{"the holder's clock is late": -time.Hour, "the holder's clock is early": time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := newAPIServer()
				key := storetest.Key("ns", "svc")
				_, skewed := process(t, server, kube.LockerOptions{Now: func() time.Time { return time.Now().Add(skew) }})
				lease := grab(t, skewed, key)
				_, other := process(t, server, kube.LockerOptions{})
				if _, err := other.Acquire(t.Context(), key, "you"); !fault.Is(err, fault.Locked) {
					t.Errorf("Acquire beside a holder that renews: %v, want fault.Locked", err)
				}
				if !lease.Valid() {
					t.Error("the holder lost its lease")
				}
			})
		})
	}
}

func TestAnnotationIsNoRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		key := storetest.Key("ns", "svc")
		l, locker := process(t, server, kube.LockerOptions{})
		first := grab(t, locker, key)
		l.set(func(l *link) { l.cut = true })
		bystander := (&link{server: server}).client(t)
		go func() {
			time.Sleep(kube.DefaultTerm / 2)
			object, err := bystander.CoordinationV1().Leases("ns").Get(context.Background(), "sluice.svc", metav1.GetOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			object.Annotations = map[string]string{"somebody": "was here"}
			if _, err := bystander.CoordinationV1().Leases("ns").Update(context.Background(), object, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
		}()
		_, other := process(t, server, kube.LockerOptions{})
		second, err := other.Acquire(t.Context(), key, "you")
		if err != nil {
			t.Fatalf("a dead holder's lease was not taken over: %v", err)
		}
		if second.Generation() != first.Generation()+1 {
			t.Errorf("generation %d after %d", second.Generation(), first.Generation())
		}
		if err := second.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestDeletedLeaseIsLostAndItsGenerationGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		key := storetest.Key("ns", "svc")
		l, locker := process(t, server, kube.LockerOptions{})
		r := storetest.Rollout(key, 1)
		r.Generation = 41
		if _, err := kube.New(l.client(t)).Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		first := grab(t, locker, key)
		if first.Generation() != 42 {
			t.Errorf("generation %d, want one above the records' 41", first.Generation())
		}
		if err := l.client(t).CoordinationV1().Leases("ns").Delete(t.Context(), "sluice.svc", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		<-first.Lost()
		if first.Valid() {
			t.Error("the lease of a deleted Lease is valid")
		}
	})
}

func TestWatchSurvivesAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		key := storetest.Key("ns", "svc")
		dead, locker := process(t, server, kube.LockerOptions{})
		grab(t, locker, key)
		dead.set(func(l *link) { l.cut = true })
		var told atomic.Int32
		watcher, other := process(t, server, kube.LockerOptions{Watching: func(holder string, most time.Duration) {
			if holder != "me@host" || most != kube.DefaultTerm {
				t.Errorf("told of %s for %s", holder, most)
			}
			told.Add(1)
		}})
		time.AfterFunc(kube.DefaultTerm/10, func() { watcher.set(func(l *link) { l.cut = true }) })
		time.AfterFunc(kube.DefaultTerm/2, func() { watcher.set(func(l *link) { l.cut = false }) })
		lease, err := other.Acquire(t.Context(), key, "you")
		if err != nil {
			t.Fatal(err)
		}
		if told.Load() != 1 {
			t.Errorf("told %d times that a lock is watched, want once", told.Load())
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newAPIServer()
		key := storetest.Key("ns", "svc")
		dead, locker := process(t, server, kube.LockerOptions{})
		grab(t, locker, key)
		dead.set(func(l *link) { l.cut = true })
		_, other := process(t, server, kube.LockerOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := other.Acquire(ctx, key, "you"); !fault.Is(err, fault.Interrupted) {
			t.Errorf("interrupted while watching: %v, want fault.Interrupted", err)
		}
	})
}
