package memory_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store/memory"
	"github.com/sluice-dev/sluice/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Store(t, "ns", memory.New(nil))
	locker := memory.NewLocker(nil, nil)
	storetest.Locker(t, "ns", nil, func(*testing.T) storetest.Process {
		return storetest.Process{Locker: locker, Stop: locker.Stop}
	})
}

func TestHookBeforeAndAfter(t *testing.T) {
	boom := errors.New("boom")
	for _, done := range []bool{false, true} {
		s := memory.New(func(_ context.Context, c memory.Call) error {
			if c.Verb == memory.Create && c.Done == done {
				return boom
			}
			return nil
		})
		key := storetest.Key("ns", "svc")
		if _, err := s.Create(t.Context(), storetest.Rollout(key, 1)); !errors.Is(err, boom) {
			t.Errorf("done=%v: %v, want the hook's error", done, err)
		}
		_, err := s.Get(t.Context(), key, 1)
		if written := !fault.Is(err, fault.NotFound); written != done {
			t.Errorf("done=%v: the record is written: %v", done, written)
		}
	}
}

func TestExpire(t *testing.T) {
	l := memory.NewLocker(nil, nil)
	key := storetest.Key("ns", "svc")
	lease, err := l.Acquire(t.Context(), key, "me")
	if err != nil {
		t.Fatal(err)
	}
	l.Expire(key)
	if lease.Valid() {
		t.Error("an expired lease is valid")
	}
	select {
	case <-lease.Lost():
	default:
		t.Error("an expired lease is not lost")
	}
	if s, err := l.Holder(t.Context(), key); err != nil || !s.Expired || s.Holder != "me" {
		t.Errorf("state %+v, %v, want expired, held by me", s, err)
	}
}

func TestReleaseAfterForget(t *testing.T) {
	l := memory.NewLocker(nil, nil)
	key := storetest.Key("ns", "svc")
	lease, err := l.Acquire(t.Context(), key, "me")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := lease.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := l.Forget(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
}
