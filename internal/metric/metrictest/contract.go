// Package metrictest holds the contract of metric.Source, and a source in memory; it must not know real adapters.
package metrictest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/sluice-dev/sluice/api/v1alpha1"
	"github.com/sluice-dev/sluice/internal/fault"
	"github.com/sluice-dev/sluice/internal/metric"
)

// World is a source, and what stands behind it. Slot blue is live, green the candidate.
type World struct {
	Source metric.Source
	// Serve lets a slot answer requests, of which some fail and others are slow.
	Serve func(t *testing.T, slot v1alpha1.Slot, requests, failed, slow uint64)
	// Advance lets so much time pass that the next reading is a new one.
	Advance func(t *testing.T)
	// Down takes the source away, or brings it back.
	Down func(t *testing.T, down bool)
	// Restart lets what counts begin anew at zero. Nil where that cannot happen.
	Restart func(t *testing.T)
	// Knows says that the source knows of slots before they had a request.
	Knows bool
	// Late says that it knows a process from its first request on only: what that had counted until then belongs to nobody.
	Late bool
	// Asks says that the source sends the requests by itself, to every slot and as many as it likes: Serve says how the next are answered.
	Asks bool
	// Slow says that the source counts slow requests, Codes that it counts by status code.
	Slow, Codes bool
}

const (
	blue  = v1alpha1.SlotBlue
	green = v1alpha1.SlotGreen
)

// Contract checks what every source promises. World is called once for each check.
func Contract(t *testing.T, world func(t *testing.T) World) {
	for name, check := range map[string]func(*testing.T, World){
		"no data is not zero": noData, "counts": counts, "only on live": onlyLive, "down": down, "restart": restart,
		"an ended context": ended, "at the same time": concurrent,
	} {
		t.Run(name, func(t *testing.T) { check(t, world(t)) })
	}
}

// Read reads, after time has passed, and fails the test where there is no reading.
func (w World) Read(t *testing.T) metric.Reading {
	t.Helper()
	w.Advance(t)
	r, err := w.Source.Read(t.Context())
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	w.check(t, r)
	return r
}

func (w World) check(t *testing.T, r metric.Reading) {
	t.Helper()
	if r.Since.IsZero() || r.At.Before(r.Since) {
		t.Errorf("it counted from %s to %s", r.Since, r.At)
	}
	for _, slot := range []v1alpha1.Slot{blue, green} {
		c, there := r.Slots[slot]
		if !there || c.Failed > c.Requests || c.Slow > c.Requests {
			t.Errorf("slot %s has %+v (%v)", slot, c, there)
		}
		var sum uint64
		for _, n := range r.Codes[slot] {
			sum += n
		}
		if w.Codes && sum != c.Requests {
			t.Errorf("slot %s: %d requests, but by code %v", slot, c.Requests, r.Codes[slot])
		}
	}
}

// begin serves something on live, so that the source knows of it, and reads.
func (w World) begin(t *testing.T) metric.Reading {
	t.Helper()
	if _, err := w.Source.Read(t.Context()); err != nil && !errors.Is(err, metric.ErrNoData) {
		t.Fatal(err)
	}
	w.Serve(t, blue, 3, 1, 0)
	return w.Read(t)
}

// grown compares two readings.
func (w World) grown(t *testing.T, slot v1alpha1.Slot, from, to metric.Reading, requests, failed, slow uint64) {
	t.Helper()
	if !from.Since.Equal(to.Since) {
		t.Errorf("it counts since %s and then since %s", from.Since, to.Since)
	}
	if to.At.Before(from.At) {
		t.Errorf("the later reading is of %s, the earlier of %s", to.At, from.At)
	}
	a, b := from.Slots[slot], to.Slots[slot]
	if !w.Slow {
		slow = 0
	}
	if w.Asks && b.Requests-a.Requests >= requests {
		requests = b.Requests - a.Requests
	}
	if b.Requests-a.Requests != requests || b.Failed-a.Failed != failed || b.Slow-a.Slow != slow {
		t.Errorf("slot %s grew from %+v to %+v, want %d requests, %d failed, %d slow", slot, a, b, requests, failed, slow)
	}
}

func noData(t *testing.T, w World) {
	if w.Knows {
		t.Skip("it knows of slots before they had a request")
	}
	r, err := w.Source.Read(t.Context())
	if !errors.Is(err, metric.ErrNoData) || errors.Is(err, metric.ErrDown) || !fault.Is(err, fault.Waiting) {
		t.Fatalf("it gave %+v, %v", r, err)
	}
	if len(r.Slots) != 0 {
		t.Errorf("with the error came %+v", r)
	}
	w.Serve(t, green, 5, 2, 1)
	first := w.Read(t)
	if c := first.Slots[green]; !w.Late && (c.Requests != 5 || c.Failed != 2) {
		t.Errorf("what came after the first look is counted as %+v", c)
	}
	w.Serve(t, green, 5, 2, 1)
	w.grown(t, green, first, w.Read(t), 5, 2, 1)
}

func counts(t *testing.T, w World) {
	first := w.begin(t)
	w.Serve(t, blue, 10, 1, 2)
	w.Serve(t, green, 4, 2, 1)
	second := w.Read(t)
	w.grown(t, blue, first, second, 10, 1, 2)
	w.grown(t, green, first, second, 4, 2, 1)
	third := w.Read(t)
	w.grown(t, blue, second, third, 0, 0, 0)
	w.grown(t, green, second, third, 0, 0, 0)
	if first.Cost.Requests == 0 || first.Cost.Bytes == 0 {
		t.Errorf("it cost nothing: %+v", first.Cost)
	}
}

func onlyLive(t *testing.T, w World) {
	if w.Asks {
		t.Skip("it asks every slot")
	}
	first := w.begin(t)
	w.Serve(t, blue, 10, 0, 0)
	second := w.Read(t)
	w.grown(t, blue, first, second, 10, 0, 0)
	if c := second.Slots[green]; c.Requests != 0 {
		t.Errorf("the candidate had no request, and %+v is counted", c)
	}
}

func down(t *testing.T, w World) {
	first := w.begin(t)
	w.Down(t, true)
	w.Advance(t)
	r, err := w.Source.Read(t.Context())
	if !errors.Is(err, metric.ErrDown) || errors.Is(err, metric.ErrNoData) || !fault.Is(err, fault.Unreachable) {
		t.Fatalf("it gave %+v, %v", r, err)
	}
	if fault.HintOf(err) == "" {
		t.Errorf("it does not say what to do: %v", err)
	}
	w.Down(t, false)
	w.Serve(t, green, 2, 1, 0)
	second := w.Read(t)
	w.grown(t, blue, first, second, 0, 0, 0)
	w.grown(t, green, first, second, 2, 1, 0)
}

func restart(t *testing.T, w World) {
	if w.Restart == nil {
		t.Skip("what it counts by does not restart")
	}
	w.begin(t)
	// Sources that know no more than the counters see a restart where they fall.
	w.Serve(t, blue, 20, 10, 10)
	w.Serve(t, green, 20, 10, 10)
	first := w.Read(t)
	w.Restart(t)
	w.Serve(t, blue, 9, 3, 2)
	w.Serve(t, green, 1, 1, 0)
	second := w.Read(t)
	w.grown(t, blue, first, second, 9, 3, 2)
	w.grown(t, green, first, second, 1, 1, 0)
}

func ended(t *testing.T, w World) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := w.Source.Read(ctx); !fault.Is(err, fault.Interrupted) || errors.Is(err, metric.ErrDown) {
		t.Errorf("cancelled, it gave %+v, %v", r, err)
	}
	over, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if r, err := w.Source.Read(over); !fault.Is(err, fault.Unreachable) || !errors.Is(err, metric.ErrDown) {
		t.Errorf("out of time, it gave %+v, %v", r, err)
	}
}

func concurrent(t *testing.T, w World) {
	first := w.begin(t)
	w.Serve(t, blue, 5, 0, 0)
	w.Advance(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	var latest time.Time
	for range 8 {
		wait.Go(func() {
			r, err := w.Source.Read(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else if r.At.After(latest) {
				latest = r.At
			}
		})
	}
	wait.Wait()
	second := w.Read(t)
	w.grown(t, blue, first, second, 5, 0, 0)
	if second.At.Before(latest) {
		t.Errorf("a reading is of %s, an earlier one of %s", second.At, latest)
	}
}
