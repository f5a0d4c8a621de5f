// Package storetest holds the contract that every store and locker keeps; it must not be imported by anything but tests.
package storetest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/store"
)

// Key names the records that the contract writes, in a namespace.
func Key(namespace, service string) store.Key {
	return store.Key{Service: service, Environment: "prod", Namespace: namespace}
}

// Rollout returns a record with every kind of content.
func Rollout(key store.Key, number int) v1alpha1.Rollout {
	at := time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)
	return v1alpha1.Rollout{
		APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.KindRollout,
		Service: key.Service, Environment: key.Environment, Namespace: key.Namespace, Number: number,
		Release:      v1alpha1.ReleaseRef{Ref: "localhost:5000/x@sha256:" + strings.Repeat("a", 64), Digest: "sha256:" + strings.Repeat("a", 64), Version: "1.2.3"},
		DeployDigest: "sha256:" + strings.Repeat("b", 64),
		Plan: v1alpha1.Plan{
			Strategy: "canary", Router: v1alpha1.RouterGateway, Slots: true, Timeout: v1alpha1.Duration(5 * time.Minute),
			Steps: []v1alpha1.Step{{Weight: 0}, {Weight: 100, Hold: v1alpha1.Duration(time.Second)}},
			Gates: []v1alpha1.Gate{{HTTP: &v1alpha1.HTTPGate{Path: "/", Expect: v1alpha1.HTTPExpect{JSON: []byte(`{"a":[1,2]}`)}}}},
		},
		Candidate: v1alpha1.SlotGreen, Return: v1alpha1.ReturnTarget{Slot: v1alpha1.SlotBlue, HelmRevision: 3},
		Phase: v1alpha1.Shifting, Step: 1, CreatedAt: at, PhaseSince: at,
		Results:  []v1alpha1.GateResult{{Gate: "http /", Verdict: v1alpha1.Passed, Evidence: "200 <&> “ok”\n", At: at}},
		Requests: []v1alpha1.Request{{Kind: v1alpha1.RequestAbort, By: "me", At: at}},
		History:  []v1alpha1.Event{{Seq: 1, At: at, Phase: v1alpha1.Pending, Row: "2", Message: "go"}},
		Holder:   "me@here", Generation: 7,
	}
}

// Store runs the contract of stores. Every subtest works under a service of its own in the namespace.
func Store(t *testing.T, namespace string, s store.Store) {
	t.Run("absent", func(t *testing.T) { absent(t, s, Key(namespace, "absent")) })
	t.Run("round trip", func(t *testing.T) { roundTrip(t, s, Key(namespace, "round")) })
	t.Run("create once", func(t *testing.T) { createOnce(t, s, Key(namespace, "once")) })
	t.Run("compare and swap", func(t *testing.T) { compareAndSwap(t, s, Key(namespace, "swap")) })
	t.Run("one of many writers wins", func(t *testing.T) { oneWins(t, s, Key(namespace, "race")) })
	t.Run("list", func(t *testing.T) { list(t, s, Key(namespace, "list")) })
	t.Run("delete", func(t *testing.T) { remove(t, s, Key(namespace, "delete")) })
	t.Run("bounded", func(t *testing.T) { bounded(t, s, Key(namespace, "bounded")) })
	t.Run("refuses another version", func(t *testing.T) { refuses(t, s, Key(namespace, "refuses")) })
}

func absent(t *testing.T, s store.Store, key store.Key) {
	if _, err := s.Get(t.Context(), key, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("Get of an absent record: %v, want fault.NotFound", err)
	}
	if _, err := s.Update(t.Context(), store.Record{Rollout: Rollout(key, 1), Version: "1"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("Update of an absent record: %v, want fault.NotFound", err)
	}
	if l, err := s.List(t.Context(), key); err != nil || len(l) != 0 {
		t.Errorf("List of nothing = %d records, %v", len(l), err)
	}
	if err := s.Delete(t.Context(), key, 1); err != nil {
		t.Errorf("Delete of an absent record: %v", err)
	}
}

func roundTrip(t *testing.T, s store.Store, key store.Key) {
	want := Rollout(key, 12)
	created := create(t, s, want)
	got, err := s.Get(t.Context(), key, 12)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.Rollout); d != "" {
		t.Errorf("read something else than written (-written +read):\n%s", d)
	}
	if got.Version != created.Version || got.Version == "" {
		t.Errorf("version read is %q, that of Create was %q", got.Version, created.Version)
	}
	got.Rollout.History[0].Message = "changed by the reader"
	again, err := s.Get(t.Context(), key, 12)
	if err != nil {
		t.Fatal(err)
	}
	if again.Rollout.History[0].Message != "go" {
		t.Error("a reader's change reached the store without Update")
	}
}

func createOnce(t *testing.T, s store.Store, key store.Key) {
	create(t, s, Rollout(key, 1))
	other := Rollout(key, 1)
	other.Holder = "somebody else"
	if _, err := s.Create(t.Context(), other); !fault.Is(err, fault.Conflict) {
		t.Errorf("second Create: %v, want fault.Conflict", err)
	}
	if r, err := s.Get(t.Context(), key, 1); err != nil || r.Rollout.Holder != "me@here" {
		t.Errorf("after the refused Create the holder is %q, %v", r.Rollout.Holder, err)
	}
}

func compareAndSwap(t *testing.T, s store.Store, key store.Key) {
	first := create(t, s, Rollout(key, 1))
	next := first
	next.Rollout.Phase = v1alpha1.Analyzing
	second, err := s.Update(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if second.Version == first.Version {
		t.Error("Update left the version as it was")
	}
	stale := first
	stale.Rollout.Phase = v1alpha1.RollingBack
	if _, err := s.Update(t.Context(), stale); !fault.Is(err, fault.Conflict) {
		t.Errorf("Update of a stale record: %v, want fault.Conflict", err)
	}
	if r, err := s.Get(t.Context(), key, 1); err != nil || r.Rollout.Phase != v1alpha1.Analyzing {
		t.Errorf("after the refused Update the phase is %q, %v", r.Rollout.Phase, err)
	}
	second.Rollout.Step++
	if _, err := s.Update(t.Context(), second); err != nil {
		t.Errorf("Update with the version that Update returned: %v", err)
	}
}

func oneWins(t *testing.T, s store.Store, key store.Key) {
	base := create(t, s, Rollout(key, 1))
	const writers = 8
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() {
			r := base
			r.Rollout.Holder = fmt.Sprintf("writer %d", i)
			_, errs[i] = s.Update(t.Context(), r)
		})
	}
	wg.Wait()
	won := -1
	for i, err := range errs {
		switch {
		case err == nil && won >= 0:
			t.Errorf("writers %d and %d both replaced version %s", won, i, base.Version)
		case err == nil:
			won = i
		case !fault.Is(err, fault.Conflict):
			t.Errorf("writer %d: %v, want fault.Conflict", i, err)
		}
	}
	r, err := s.Get(t.Context(), key, 1)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("writer %d", won); r.Rollout.Holder != want {
		t.Errorf("the record is that of %q, the winner is %q", r.Rollout.Holder, want)
	}
}

func list(t *testing.T, s store.Store, key store.Key) {
	for _, n := range []int{2, 10, 1, 9} {
		create(t, s, Rollout(key, n))
	}
	create(t, s, Rollout(store.Key{Service: key.Service + "-other", Environment: key.Environment, Namespace: key.Namespace}, 3))
	records, err := s.List(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var numbers []int
	for _, r := range records {
		numbers = append(numbers, r.Rollout.Number)
		if r.Version == "" {
			t.Errorf("rollout %d is listed without a version", r.Rollout.Number)
		}
	}
	if d := cmp.Diff([]int{10, 9, 2, 1}, numbers); d != "" {
		t.Errorf("numbers, newest first (-want +got):\n%s", d)
	}
}

func remove(t *testing.T, s store.Store, key store.Key) {
	create(t, s, Rollout(key, 1))
	if err := s.Delete(t.Context(), key, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), key, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("Get after Delete: %v, want fault.NotFound", err)
	}
}

func bounded(t *testing.T, s store.Store, key store.Key) {
	r := Rollout(key, 1)
	long := "first " + strings.Repeat("\x01", 100_000) + " last"
	for i := range 1000 {
		r.History = append(r.History, v1alpha1.Event{Seq: i + 2, Phase: v1alpha1.Pending, Message: long})
		r.Results = append(r.Results, v1alpha1.GateResult{Gate: "g", Verdict: v1alpha1.Failed, Evidence: long})
		r.Evidence = append(r.Evidence, long)
	}
	r.Announced = 1001
	got := create(t, s, r).Rollout
	if len(got.History) == 0 || got.History[len(got.History)-1].Seq != 1001 {
		t.Fatalf("the newest of the history is gone; %d entries are left", len(got.History))
	}
	if m := got.History[len(got.History)-1].Message; !strings.HasPrefix(m, "first ") || !strings.HasSuffix(m, " last") || len(m) > 4096 {
		t.Errorf("a long message keeps neither its ends nor a bound: %d bytes", len(m))
	}
	if len(r.History) != 1001 || r.History[500].Message != long {
		t.Error("the caller's own record was trimmed")
	}
}

func refuses(t *testing.T, s store.Store, key store.Key) {
	r := Rollout(key, 1)
	r.APIVersion = "sluice.dev/v9"
	if _, err := s.Create(t.Context(), r); err == nil || !strings.Contains(err.Error(), "sluice.dev/v9") {
		t.Errorf("Create of an unknown apiVersion: %v, want an error that names it", err)
	}
	if _, err := s.Get(t.Context(), key, 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("the refused record is there: %v", err)
	}
}

// create fails the test where the record cannot be created.
func create(t *testing.T, s store.Store, r v1alpha1.Rollout) store.Record {
	t.Helper()
	record, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return record
}
