package traffictest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/traffic"
)

func subject(o Options) func(t *testing.T) Subject {
	return func(*testing.T) Subject {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		o := o
		o.Now, o.Convergence = func() time.Time { return now }, time.Second
		f := NewFake(o)
		left := -1
		f.Hook(func(_ context.Context, c Call) error {
			switch {
			case c.Moment != Write || left < 0:
				return nil
			case left == 0:
				return ErrBroken
			}
			left--
			return nil
		})
		return Subject{
			Router: f, Target: traffic.Target{Service: "shop", Environment: "test", Namespace: "shop-test"}, AllOrNothing: o.AllOrNothing,
			Advance: func(*testing.T) { now = now.Add(time.Second) },
			Break:   func(_ *testing.T, n int) { left = n },
		}
	}
}

func TestFakeKeepsTheContract(t *testing.T) {
	for name, o := range map[string]Options{"at once": {}, "staged": {Staged: true}, "all or nothing": {AllOrNothing: true}} {
		t.Run(name, func(t *testing.T) { Contract(t, subject(o)) })
	}
}

// TestStagedPromotion spells the states of a promotion out: the canary takes everything before the main route moves, and
// callers inside the cluster come last.
func TestStagedPromotion(t *testing.T) {
	s := subject(Options{Staged: true})(t)
	s.settle(t, v1alpha1.Only(blue), 1)
	s.settle(t, v1alpha1.Between(blue, green, 0), 1)
	f := s.Router.(*Fake)
	before := len(f.History(s.Target))
	s.settle(t, v1alpha1.Only(green), 1)
	all, none := map[v1alpha1.Slot]int{green: 100}, v1alpha1.SlotNone
	var got []Served
	for _, served := range f.History(s.Target)[before:] {
		served.At, served.Generation = time.Time{}, 0
		got = append(got, served)
	}
	want := []Served{
		{Split: v1alpha1.Split{Weights: all, Header: green}, Callers: blue},
		{Split: v1alpha1.Split{Weights: all, Header: green}, Callers: blue},
		{Split: v1alpha1.Split{Weights: all, Header: green}, Callers: blue},
		{Split: v1alpha1.Split{Weights: all, Header: none}, Callers: blue},
		{Split: v1alpha1.Split{Weights: all, Header: none}, Callers: green},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states of a promotion (-want +got):\n%s", diff)
	}
}

func TestHookSeesEveryMomentAndStopsACall(t *testing.T) {
	f := NewFake(Options{})
	target := traffic.Target{Service: "shop"}
	stop := errors.New("stop")
	for _, c := range []struct {
		at   Moment
		want v1alpha1.Split
	}{{Before, v1alpha1.Split{}}, {Write, v1alpha1.Split{}}, {After, v1alpha1.Only(blue)}} {
		f.Hook(func(_ context.Context, call Call) error {
			if call.Verb == Shift && call.Moment == c.at {
				return stop
			}
			return nil
		})
		if err := f.Shift(context.Background(), traffic.Shift{Target: target, Split: v1alpha1.Only(blue)}); !errors.Is(err, stop) {
			t.Errorf("%s: got %v, want the hook's error", c.at, err)
		}
		if got := f.Peek(target).Split; !got.Equal(c.want) {
			t.Errorf("%s: split is %s, want %s", c.at, got, c.want)
		}
	}
}

// TestWokenDriver freezes a shift right before its write; another driver comes in between.
func TestWokenDriver(t *testing.T) {
	f := NewFake(Options{})
	target := traffic.Target{Service: "shop"}
	shift := func(slot v1alpha1.Slot, generation int64) error {
		return f.Shift(context.Background(), traffic.Shift{Target: target, Split: v1alpha1.Only(slot), Generation: generation})
	}
	f.Hook(func(_ context.Context, call Call) error {
		if call.Moment == Write && call.Shift.Generation == 1 {
			return shift(blue, 2)
		}
		return nil
	})
	if err := shift(green, 1); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v, want a conflict", err)
	}
	if got := f.Peek(target).Split; !got.Equal(v1alpha1.Only(blue)) {
		t.Errorf("split is %s, want blue", got)
	}
}

func TestForeignHandIsNamed(t *testing.T) {
	s := subject(Options{})(t)
	s.settle(t, v1alpha1.Only(blue), 1)
	s.settle(t, v1alpha1.Between(blue, green, 5), 1)
	f := s.Router.(*Fake)
	f.Tamper(s.Target, 70)
	if state := s.look(t); state.Foreign == "" || !state.Split.Equal(v1alpha1.Between(blue, green, 70)) {
		t.Errorf("after tampering: %+v", state)
	}
	s.settle(t, v1alpha1.Between(blue, green, 5), 1)
}
