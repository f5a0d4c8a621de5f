package rollout

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/deploy"
	"github.com/sluice-dev/sluice/internal/deploy/deploytest"
	"github.com/sluice-dev/sluice/internal/fault"
)

// watching is a fake releaser that tells of changes.
type watching struct {
	*deploytest.Fake
	changes chan struct{}
}

func (w watching) Watch(context.Context, deploy.Scope) <-chan struct{} { return w.changes }

// TestChangesShortenTheRest drives beside somebody who tells of changes: what is waited for beyond a moment may end early.
func TestChangesShortenTheRest(t *testing.T) {
	w := newTheatre(t)
	options := w.machine().o
	options.Releaser = watching{w.releaser, make(chan struct{})}
	advance := options.Sleep
	open := 0
	options.Sleep = func(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
		if wake != nil {
			open++
		} else if d > calm {
			t.Errorf("a rest of %s that no change shortens", d)
		}
		return advance(ctx, d, wake)
	}
	r, err := New(options).Run(t.Context(), w.start("1", "blueGreen"), DriveOptions{Locker: w.locker, Holder: "ann", WaitSettled: true})
	if err != nil || r.Phase != v1alpha1.Succeeded || open == 0 {
		t.Errorf("%s after %d rests with an open ear: %v", r.Phase, open, err)
	}
}

// TestSlowClustersAreLookedAtSeldom drives where every look takes long: no rest is shorter, but what follows a move follows at once.
func TestSlowClustersAreLookedAtSeldom(t *testing.T) {
	w := newTheatre(t)
	options := w.machine().o
	options.Interval = 5 * time.Second
	advance := options.Sleep
	rests := 0
	options.Sleep = func(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
		if d > 0 {
			rests++
		}
		if d > 0 && d < options.Interval {
			t.Errorf("a rest of %s", d)
		}
		return advance(ctx, d, wake)
	}
	r, err := New(options).Run(t.Context(), w.start("1", "blueGreen"), DriveOptions{Locker: w.locker, Holder: "ann", WaitSettled: true})
	if err != nil || r.Phase != v1alpha1.Succeeded || rests == 0 {
		t.Errorf("%s after %d rests: %v", r.Phase, rests, err)
	}
}

// TestAnOutageIsWaitedOut holds that changes do not make the driver ask sooner an edge that is away.
func TestAnOutageIsWaitedOut(t *testing.T) {
	w := newTheatre(t)
	m := w.machine()
	changes := make(chan struct{})
	m.o.Sleep = func(_ context.Context, _ time.Duration, wake <-chan struct{}) error {
		if wake != nil {
			t.Error("a change may end the rest")
		}
		return nil
	}
	o := outage{watched: true, wake: changes}
	away := fault.New(fault.Unreachable, "look", "away")
	d, err := o.rest(w.now(), v1alpha1.Rollout{}, Decision{}, away)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.rest(t.Context(), d, o); err != nil {
		t.Fatal(err)
	}
	if _, err := o.rest(w.now().Add(outageLimit+1), v1alpha1.Rollout{}, Decision{}, away); !errors.Is(err, away) {
		t.Errorf("after %s: %v", outageLimit, err)
	}
}

func TestSleepEndsEarly(t *testing.T) {
	wake := make(chan struct{}, 1)
	wake <- struct{}{}
	if err := sleep(t.Context(), time.Hour, wake); err != nil {
		t.Errorf("woken: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleep(ctx, time.Hour, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestPause(t *testing.T) {
	for name, c := range map[string]struct {
		phase   v1alpha1.Phase
		d       Decision
		watched bool
		want    time.Duration
	}{
		"a move":             {v1alpha1.Shifting, Decision{Moved: true, Rest: time.Second}, true, 0},
		"the end":            {v1alpha1.Succeeded, Decision{}, true, 0},
		"time alone":         {v1alpha1.Shifting, Decision{Row: "11a", Rest: 300 * time.Millisecond}, false, 300 * time.Millisecond},
		"much time":          {v1alpha1.Analyzing, Decision{Row: "14", Rest: time.Hour}, false, idleTick},
		"gates":              {v1alpha1.Analyzing, Decision{Row: "14"}, false, idleTick},
		"pods, told about":   {v1alpha1.Deploying, Decision{Row: "6"}, true, idleTick},
		"pods, nobody tells": {v1alpha1.Deploying, Decision{Row: "6"}, false, busyTick},
	} {
		if got := pause(v1alpha1.Rollout{Phase: c.phase}, c.d, c.watched); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestAMoveNeedsNoOtherLook counts how often the world is looked at for a release in place without gates: before the first act, which
// follows at once, and until the pods are ready, after which nothing is waited for.
func TestAMoveNeedsNoOtherLook(t *testing.T) {
	w := newTheatre(t)
	looks := 0
	w.releaser.Hook(func(_ context.Context, c deploytest.Call) error {
		if c.Verb == deploytest.Observe && c.Moment == deploytest.Before {
			looks++
		}
		return w.cross()
	})
	s := w.start("1", "direct")
	s.Environment.Gates = nil
	r, err := w.machine().Run(t.Context(), s, DriveOptions{Locker: w.locker, Holder: "ann"})
	if err != nil || r.Phase != v1alpha1.Succeeded {
		t.Fatalf("%s: %v", r.Phase, err)
	}
	// One to plan, one to begin and act, and then until the fake's pods are ready.
	if waiting := 1; looks > 3+waiting {
		t.Errorf("looked %d times", looks)
	}
}
